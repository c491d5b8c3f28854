package ndes

import (
	"fmt"
	"net/http"
	"time"
)

// Operation is one of the things the server can be asked for.
type Operation string

// The operations.
const (
	Any    Operation = ""             // of a Fault: whatever comes
	Caps   Operation = "GetCACaps"    // of SCEP
	CACert Operation = "GetCACert"    // of SCEP
	PKI    Operation = "PKIOperation" // of SCEP, by GET or POST
	Page   Operation = "mscep_admin"  // the challenge page, for somebody who has logged on
	help   Operation = "help"         // the SCEP address in a browser
)

// Fault makes the server fail. Faults are kept in a list; each operation takes
// the first that is for it.
type Fault struct {
	At    Operation
	Times int // how often; 0 means once, a negative number for ever
	Act   Act
}

// Act is what happens instead of, or to, the right answer.
type Act struct {
	do   string
	span time.Duration
	n    int
	code uint32
	text string
	body []byte
}

// The acts that have no more to say.
var (
	Stall      = Act{do: "stall"}       // nothing is done and nothing answered until the caller gives up
	CutBefore  = Act{do: "cut before"}  // the line breaks before anything was done
	LoseAnswer = Act{do: "lose answer"} // all is done, and the line breaks before the first octet of the answer
	// ExpiredSigner has the reply of a PKIOperation signed by an RA certificate
	// that has expired.
	ExpiredSigner = Act{do: "expired signer"}
	// HTML answers with a page of somebody else, as a proxy or a logon form does;
	// nothing is done.
	HTML = Body("text/html; charset=utf-8", []byte("<!DOCTYPE html><html><head><title>Sign in</title></head><body><form><input name=user></form></body></html>"))
)

// Slow does what is asked after a while, even if the caller has gone away.
func Slow(span time.Duration) Act { return Act{do: "slow", span: span} }

// Cut does what is asked and breaks the line after n octets of the answer's
// body, whose whole length was announced.
func Cut(n int) Act { return Act{do: "cut", n: n} }

// Status answers with an HTTP status and IIS's page for it; nothing is done.
func Status(code int) Act { return Act{do: "status", n: code} }

// Redirect sends the caller elsewhere; nothing is done.
func Redirect(url string) Act { return Act{do: "redirect", text: url} }

// Body answers 200 with something else; nothing is done.
func Body(media string, body []byte) Act { return Act{do: "body", text: media, body: body} }

// Media does what is asked and names another media type.
func Media(media string) Act { return Act{do: "media", text: media} }

// HRESULT answers 500 with a page that names a Windows error; nothing is done.
func HRESULT(code uint32) Act { return Act{do: "hresult", code: code} }

// Fail adds faults to the list.
func (s *Server) Fail(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		orElse(&f.Times, 1)
		s.faults = append(s.faults, f)
	}
}

// Heal empties the list of faults.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// act takes what an operation has to do from the list.
func (s *Server) act(op Operation) Act {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.faults {
		f := &s.faults[i]
		if f.At != Any && f.At != op || f.Times == 0 {
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		return f.Act
	}
	return Act{}
}

// serve answers an operation, or fails as the list of faults says. What do
// gives is sent whole or not at all unless it is to be cut.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, op Operation, do func(Act) answer) {
	act := s.act(op)
	switch act.do {
	case Stall.do:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case CutBefore.do:
		panic(http.ErrAbortHandler)
	case LoseAnswer.do:
		do(act)
		panic(http.ErrAbortHandler)
	case "slow":
		time.Sleep(act.span)
		do(act).send(w)
	case "cut":
		a := do(act)
		a.cut = min(act.n, len(a.body)-1) + 1
		a.send(w)
	case "status":
		errorPage(act.n, "").send(w)
	case "redirect":
		answer{status: http.StatusFound, media: "text/html", location: act.text}.send(w)
	case "body":
		answer{status: http.StatusOK, media: act.text, body: act.body}.send(w)
	case "media":
		a := do(act)
		a.media = act.text
		a.send(w)
	case "hresult":
		errorPage(http.StatusInternalServerError, hresultText(act.code)).send(w)
	default:
		do(act).send(w)
	}
}

// answer is an HTTP response.
type answer struct {
	status   int
	media    string
	body     []byte
	location string
	cut      int // break the line after cut-1 octets of body; 0: do not
}

func (a answer) send(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Server", "Microsoft-IIS/10.0")
	h.Set("Content-Type", a.media)
	h.Set("Content-Length", fmt.Sprint(len(a.body)))
	if a.location != "" {
		h.Set("Location", a.location)
	}
	w.WriteHeader(a.status)
	if a.cut > 0 {
		w.Write(a.body[:a.cut-1])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	w.Write(a.body) // who has gone away does not read it
}
