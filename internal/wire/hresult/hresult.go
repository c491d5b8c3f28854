// Package hresult knows what the result codes of a Microsoft certification
// authority mean. The same failure arrives in several forms: as an HRESULT in a
// disposition or a return value, as a bare Win32 number or an nca status in an
// RPC fault, as an NTSTATUS from SMB. Normalize brings them to one form; Lookup
// gives its symbolic name, our sentence and what to do about it; Error makes of
// it what a person meets, beside the CA's own words.
//
// The table is in parts, one file each: the CA itself (certsrv.go), certificates
// and signatures (crypt.go), logins (login.go), the directory and the system
// (system.go), RPC and DCOM (rpc.go). Codes are those of MS-ERREF, MS-WCCE,
// MS-CSRA and MS-RPCE.
//
// It decides on numbers only: the CA's text is in the language of its host.
package hresult

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"chancery/internal/ra"
)

// Code is a normalised result code: an HRESULT, or an nca status (0x1C......).
type Code uint32

// Entry is what is known of a code.
type Entry struct {
	Code     Code
	Name     string // symbolic, as Microsoft's headers have it
	Sentence string // what happened, for whoever met it
	Remedy   string // what to do, for whoever can
	Retry    Retry
}

// Retry says whether asking again can help while nobody changes anything.
type Retry uint8

// The kinds of Retry.
const (
	// Final is an answer that will be the same next time.
	Final Retry = iota
	// Later is a condition that passes by itself, or soon by somebody's hand: a
	// service that is restarted, a directory that replicates.
	Later
	// Away is the server or the way to it: it was never asked, or did not answer.
	Away
)

// wait is how long a caller leaves a refusal that passes by itself alone.
const wait = 5 * time.Minute

// Normalize gives the one form of a code: an HRESULT for Win32 numbers, for
// NTSTATUS values with a counterpart and for the forms of access denied; nca
// statuses, and what is unknown, stay as they are.
func Normalize(code uint32) Code {
	if c, ok := aliases[code]; ok {
		return c
	}
	switch {
	case code > 0 && code <= 0xffff: // a Win32 number
		return Code(0x80070000 | code)
	case code&0xf0000000 == 0xd0000000: // HRESULT_FROM_NT, MS-ERREF §2.1
		if c, ok := aliases[code&^0x10000000]; ok {
			return c
		}
	}
	return Code(code)
}

// Is reports whether code, in whatever form, means c.
func (c Code) Is(code uint32) bool { return Normalize(code) == c }

// Error makes the error that a person meets: our sentence, the code with its
// name, the server's own text and the remedy. An answer is RefusedByCA, and
// final unless the code passes by itself; what says that the server was not
// there is Unreachable. The cause is a *Failure, for callers that decide on the
// code.
func Error(code uint32, text string) *ra.Error {
	c := Normalize(code)
	e, ok := table[c]
	if !ok {
		e = Entry{Code: c, Sentence: "The CA answered with a code that is not known here.",
			Remedy: "Look the code up with certutil -error " + c.String() + " on a Windows machine, and at the CA's event log."}
	}
	label := c.String()
	if e.Name != "" {
		label += " " + e.Name
	}
	message := e.Sentence + " (" + label + ")"
	message += Quote(text)
	out := &ra.Error{Kind: ra.RefusedByCA, Message: message, Remedy: e.Remedy, Retry: ra.Never, Err: &Failure{c}}
	switch e.Retry {
	case Later:
		out.Retry = wait
	case Away:
		out.Kind, out.Retry = ra.Unreachable, 0
	}
	return out
}

// Failure is the cause inside an error of Error.
type Failure struct{ Code Code }

// Error gives the code in hex.
func (f *Failure) Error() string { return "result " + f.Code.String() }

// String gives the code in hex, as Microsoft writes it.
func (c Code) String() string { return fmt.Sprintf("0x%08X", uint32(c)) }

// maxText bounds what is shown of the CA's own words, in characters.
const maxText = 500

// Quote is the CA's own text as a sentence that follows ours; empty when it says
// nothing.
func Quote(text string) string {
	text = Clean(text)
	if text == "" {
		return ""
	}
	if last, _ := utf8.DecodeLastRuneInString(text); !strings.ContainsRune(".!?…。", last) {
		text += "."
	}
	return " The CA says: " + text
}

// Clean makes the CA's own text fit to be shown: no control or formatting
// characters, blanks in a row as one, at most 500 characters.
func Clean(text string) string {
	var b strings.Builder
	n, blank := 0, false
	for _, r := range text {
		if r == 0 {
			break // what follows the end of a text is not part of it
		}
		if unicode.IsSpace(r) {
			blank = b.Len() > 0
			continue
		}
		if !unicode.IsPrint(r) {
			continue
		}
		if n >= maxText {
			b.WriteString("…")
			break
		}
		if blank {
			b.WriteByte(' ')
			n, blank = n+1, false
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// table is every entry by its code.
var table = build(certsrv, crypt, login, system, rpc)

func build(parts ...[]Entry) map[Code]Entry {
	out := map[Code]Entry{}
	for _, part := range parts {
		for _, e := range part {
			out[e.Code] = e
		}
	}
	return out
}
