// Package pki serves what relying parties fetch without asking anybody: the
// CRLs and the certificate of each issuer at addresses that never change
// (/pki/{issuer}.crl and, where the revocations are divided,
// /pki/{issuer}-{shard}.crl, /pki/{issuer}.cer), and OCSP (/ocsp, by POST and by
// GET as in RFC 6960 appendix A). Everything is public, signed, and answered
// from package lifecycle; the door only speaks HTTP.
//
// What is served is right at the moment. HTTP caches in between make it older,
// so they are allowed a minute: less than the signed nextUpdate would let them
// have, and enough to take the load of a crowd off the server.
package pki

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
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
			r.Pattern = "/ocsp/{request}" // as the mux would, for those who count
			d.ocspGet(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// cacheFor is how long an HTTP cache may keep a CRL or an OCSP answer.
const cacheFor = time.Minute

func (d *Door) file(w http.ResponseWriter, r *http.Request) {
	name, kind, _ := strings.Cut(r.PathValue("file"), ".")
	switch kind {
	case "crl":
		crl, err := d.Lifecycle.CRL(r.Context(), name)
		if d.failed(w, err) {
			return
		}
		w.Header().Set("Content-Type", "application/pkix-crl")
		d.cached(w, r, crl.DER, crl.ThisUpdate, crl.NextUpdate)
	case "cer", "pem":
		cert, err := d.Lifecycle.Issuer(r.Context(), name)
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

// cached writes what an HTTP cache may keep for a while, but not beyond until. A
// client that has it already is told so (RFC 5019 §6.2). The date alone proves
// nothing to it, because two lists may be made in one second.
func (d *Door) cached(w http.ResponseWriter, r *http.Request, b []byte, since, until time.Time) {
	now := d.Now()
	age := max(min(cacheFor, until.Sub(now)), 0)
	sum := sha256.Sum256(b)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	h := w.Header()
	h.Set("Cache-Control", fmt.Sprintf("public, no-transform, must-revalidate, max-age=%d", int(age.Seconds())))
	h.Set("Last-Modified", since.UTC().Format(http.TimeFormat))
	h.Set("Expires", now.Add(age).UTC().Format(http.TimeFormat))
	h.Set("ETag", tag)
	if strings.Contains(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	d.write(w, b)
}

func (d *Door) ocspPost(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxOCSP))
	if err != nil {
		http.Error(w, "The OCSP request is too large or was cut off.", http.StatusRequestEntityTooLarge)
		return
	}
	w.Header().Set("Content-Type", "application/ocsp-response")
	d.write(w, d.Lifecycle.OCSP(r.Context(), body).DER)
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
	a := d.Lifecycle.OCSP(r.Context(), body)
	w.Header().Set("Content-Type", "application/ocsp-response")
	if a.NextUpdate.IsZero() {
		w.Header().Set("Cache-Control", "no-store")
		d.write(w, a.DER)
		return
	}
	d.cached(w, r, a.DER, a.ThisUpdate, a.NextUpdate)
}

func (d *Door) write(w http.ResponseWriter, b []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
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
