// Package pki serves what relying parties fetch without asking anybody: the
// CRL and the certificate of each issuer at addresses that never change
// (/pki/{issuer}.crl, /pki/{issuer}.cer), and OCSP (/ocsp, by POST and by GET
// as in RFC 6960 appendix A). Everything is public, signed, and answered from
// package lifecycle; the door only speaks HTTP.
package pki

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"chancery/internal/lifecycle"
	"chancery/internal/ra"
)

// maxOCSP is the largest OCSP request that is read, in bytes.
const maxOCSP = 8 << 10

// Door serves /pki/ and /ocsp.
type Door struct {
	Lifecycle *lifecycle.Service
	Log       *slog.Logger
	Now       func() time.Time
}

// Register puts the door's routes on a mux.
func (d *Door) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /pki/{file}", d.file)
	mux.HandleFunc("POST /ocsp", d.ocspPost)
}

// Wrap serves OCSP by GET before a mux sees it: the mux would tidy the slashes
// that belong to the base64 of the request.
func (d *Door) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/ocsp/") {
			d.ocspGet(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (d *Door) file(w http.ResponseWriter, r *http.Request) {
	issuer, kind, _ := strings.Cut(r.PathValue("file"), ".")
	switch kind {
	case "crl":
		crl, err := d.Lifecycle.CRL(r.Context(), issuer)
		if d.failed(w, err) {
			return
		}
		w.Header().Set("Content-Type", "application/pkix-crl")
		w.Header().Set("Last-Modified", crl.ThisUpdate.UTC().Format(http.TimeFormat))
		w.Header().Set("Cache-Control", "public, no-transform, max-age=60")
		d.write(w, crl.DER)
	case "cer", "pem":
		cert, err := d.Lifecycle.Issuer(r.Context(), issuer)
		if d.failed(w, err) {
			return
		}
		w.Header().Set("Cache-Control", "public, no-transform, max-age=86400")
		if kind == "pem" {
			w.Header().Set("Content-Type", "application/x-pem-file")
			d.write(w, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
			return
		}
		w.Header().Set("Content-Type", "application/pkix-cert")
		d.write(w, cert.Raw)
	default:
		http.NotFound(w, r)
	}
}

func (d *Door) ocspPost(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxOCSP))
	if err != nil {
		http.Error(w, "The OCSP request is too large or was cut off.", http.StatusRequestEntityTooLarge)
		return
	}
	d.answer(w, r, body)
}

// ocspGet reads the base64 request from the path. Clients escape it in
// different ways.
func (d *Door) ocspGet(w http.ResponseWriter, r *http.Request) {
	text, err := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/ocsp/"))
	if err != nil || len(text) > maxOCSP {
		http.Error(w, "The OCSP request in the path cannot be read.", http.StatusBadRequest)
		return
	}
	body, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(text, " ", "+"))
	if err != nil {
		body = nil // answered as malformed, in the protocol's own words
	}
	w.Header().Set("Cache-Control", "public, no-transform, must-revalidate, max-age=60")
	d.answer(w, r, body)
}

func (d *Door) answer(w http.ResponseWriter, r *http.Request, request []byte) {
	w.Header().Set("Content-Type", "application/ocsp-response")
	d.write(w, d.Lifecycle.OCSP(r.Context(), request))
}

func (d *Door) write(w http.ResponseWriter, b []byte) {
	w.Header().Set("Content-Length", fmt.Sprint(len(b)))
	if _, err := w.Write(b); err != nil {
		d.Log.Debug("client went away", "error", err)
	}
}

// failed answers an error: 404 for what is not here, 503 for everything that
// may work later.
func (d *Door) failed(w http.ResponseWriter, err error) bool {
	switch {
	case err == nil:
		return false
	case ra.KindOf(err) == ra.NotFound:
		http.Error(w, "There is no such file here.", http.StatusNotFound)
	default:
		d.Log.Error("issuer file cannot be served", "error", err)
		w.Header().Set("Retry-After", "30")
		http.Error(w, "The file cannot be served now.", http.StatusServiceUnavailable)
	}
	return true
}
