package ndes

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// scepPath is where the SCEP server is. Clients add more to it.
const scepPath = "/certsrv/mscep/mscep.dll"

// maxBody is the most a SCEP message by POST may have, in octets: what IIS reads
// ahead for an ISAPI extension, and many times what real ones have.
const maxBody = 48 << 10

// ServeHTTP answers as IIS with NDES behind it does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a, ok := s.tooLong(r); ok {
		a.send(w)
		return
	}
	// Windows takes no notice of letter case in paths.
	path, admin := strings.ToLower(r.URL.Path), strings.ToLower(s.cfg.AdminPath)
	switch {
	case path == scepPath || path == scepPath+"/pkiclient.exe":
		s.serveSCEP(w, r)
	case path == strings.TrimSuffix(admin, "/"):
		answer{status: http.StatusMovedPermanently, media: "text/html", location: s.cfg.AdminPath}.send(w)
	case path == admin:
		s.servePage(w, r)
	default:
		errorPage(http.StatusNotFound, "404.0").send(w)
	}
}

// tooLong tells what http.sys and request filtering do not let through, in the
// order in which they look.
func (s *Server) tooLong(r *http.Request) (answer, bool) {
	size := len(r.Method) + len(r.RequestURI) + len(r.Proto) + len("Host: ") + len(r.Host) + 6
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v) + 4
		}
	}
	switch {
	case size > s.cfg.MaxHeaders:
		return errorPage(http.StatusBadRequest, "The size of the request headers is too long."), true
	case len(r.RequestURI) > s.cfg.MaxURL:
		return errorPage(http.StatusNotFound, "404.14: the URL is too long."), true
	case len(r.URL.RawQuery) > s.cfg.MaxQuery:
		return errorPage(http.StatusNotFound, "404.15: the query string is too long."), true
	}
	return answer{}, false
}

// errorPage is IIS's page for an HTTP status.
func errorPage(status int, detail string) answer {
	title := fmt.Sprintf("%d - %s", status, http.StatusText(status))
	page := fmt.Sprintf("<!DOCTYPE html>\r\n<html><head><title>%s</title></head><body><h1>Server Error</h1><h2>%[1]s</h2><h3>%s</h3></body></html>\r\n",
		title, html.EscapeString(detail))
	return answer{status: status, media: "text/html", body: []byte(page)}
}

func (s *Server) serveSCEP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		errorPage(http.StatusMethodNotAllowed, "405.0").send(w)
		return
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		errorPage(http.StatusBadRequest, "The query is not well formed.").send(w)
		return
	}
	op := Operation(query.Get("operation"))
	if !s.ca.raAlive() {
		errorPage(s.cfg.ExpiredStatus, "").send(w)
		return
	}
	switch op {
	case Caps:
		s.serve(w, r, op, func(Act) answer { return s.caps() })
	case CACert:
		s.serve(w, r, op, func(Act) answer { return s.caCert() })
	case PKI:
		message, err := readMessage(w, r, query)
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			errorPage(http.StatusRequestEntityTooLarge, "413.1").send(w)
			return
		}
		if err != nil {
			errorPage(http.StatusInternalServerError, "").send(w)
			return
		}
		s.serve(w, r, op, func(act Act) answer { return s.pkiOperation(message, act) })
	case "":
		s.serve(w, r, help, func(Act) answer { return s.page(s.text().help) })
	default:
		errorPage(http.StatusInternalServerError, "").send(w)
	}
}

// readMessage takes the message of a PKIOperation. By GET it is base64 with its
// padding, percent-encoded: a raw plus sign is a space, as in every query, and
// white space means nothing in base64, so that a message with one is broken.
func readMessage(w http.ResponseWriter, r *http.Request, query url.Values) ([]byte, error) {
	if r.Method == http.MethodPost {
		return io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	}
	text := strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "").Replace(query.Get("message"))
	return base64.StdEncoding.Strict().DecodeString(text)
}

func (s *Server) caps() answer {
	if s.cfg.NoCaps {
		return errorPage(http.StatusInternalServerError, "")
	}
	return answer{status: http.StatusOK, media: "text/plain", body: []byte(strings.Join(s.cfg.Caps, "\r\n") + "\r\n")}
}

// servePage shows the challenge page to those who may see it.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		errorPage(http.StatusMethodNotAllowed, "405.0").send(w)
		return
	}
	if sub := s.clientCertificate(r); sub != "" {
		errorPage(http.StatusForbidden, sub).send(w)
		return
	}
	account, ok := s.logOn(w, r)
	if !ok {
		return
	}
	s.serve(w, r, Page, func(Act) answer {
		if !s.ca.raAlive() {
			return errorPage(s.cfg.ExpiredStatus, "")
		}
		return s.challengePage(account)
	})
}

// clientCertificate gives IIS's sub-status where the TLS client certificate is
// not as it has to be.
func (s *Server) clientCertificate(r *http.Request) string {
	if s.cfg.ClientRoots == nil {
		return ""
	}
	if r.TLS == nil {
		return "403.4"
	}
	if len(r.TLS.PeerCertificates) == 0 {
		return "403.7"
	}
	between := x509.NewCertPool()
	for _, c := range r.TLS.PeerCertificates[1:] {
		between.AddCert(c)
	}
	if _, err := r.TLS.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: s.cfg.ClientRoots, Intermediates: between,
		CurrentTime: s.cfg.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return "403.16"
	}
	return ""
}
