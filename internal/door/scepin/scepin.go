// Package scepin takes in what a SCEP client sends over HTTP (RFC 8894 §4), the
// same way at every door: the message of a PKIOperation from the query or the
// body, within limits of size and time, whatever media type the client thinks of.
// It decodes no more than that, and decides nothing.
package scepin

import (
	"errors"
	"io"
	"net/http"
	"net/netip"
	"os"
	"time"

	"chancery/internal/wire/scepmsg"
)

// patience is how long a client may take to send its message.
const patience = 20 * time.Second

// Error is an answer outside of SCEP: an HTTP status and a sentence for the
// client.
type Error struct {
	Status int
	Text   string
}

func (e *Error) Error() string { return e.Text }

// ErrNoMessage is the error of a request that holds something else.
var ErrNoMessage = &Error{http.StatusBadRequest, "The request carries no SCEP message."}

// Message reads the message of a PKIOperation. A client has wait to send it, 0
// means 20 seconds. Errors are *Error.
func Message(w http.ResponseWriter, r *http.Request, wait time.Duration) (raw []byte, err error) {
	if r.Method == http.MethodGet {
		raw, err = scepmsg.DecodeQuery(r.URL.RawQuery)
	} else {
		var body []byte
		if body, err = read(w, r, wait); err != nil {
			return nil, err
		}
		raw, err = scepmsg.DecodeBody(body)
	}
	if err != nil {
		return nil, ErrNoMessage
	}
	return raw, nil
}

func read(w http.ResponseWriter, r *http.Request, wait time.Duration) ([]byte, error) {
	tooLarge := &Error{http.StatusRequestEntityTooLarge, "The message is larger than 64 KiB."}
	if r.ContentLength > scepmsg.MaxBodyBytes {
		return nil, tooLarge
	}
	if wait == 0 {
		wait = patience
	}
	// Sockets go by the system's clock. The deadline is taken off again: it
	// would end the request while an authority is asked. A connection that has
	// none is bounded by its server.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(wait))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, scepmsg.MaxBodyBytes))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &Error{http.StatusRequestTimeout, "The message did not arrive in time."}
	case err != nil:
		return nil, &Error{http.StatusBadRequest, "The message was cut off."}
	}
	_ = control.SetReadDeadline(time.Time{})
	return body, nil
}

// Address is where a request came from, without the port.
func Address(r *http.Request) string {
	if a, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return a.Addr().Unmap().WithZone("").String()
	}
	return r.RemoteAddr
}
