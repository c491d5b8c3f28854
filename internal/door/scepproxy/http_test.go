package scepproxy_test

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"chancery/internal/pass"
	"chancery/internal/wire/scepmsg"
)

// TestPaths: whatever clients append to the address means nothing.
func TestPaths(t *testing.T) {
	w := one(t)
	c := w.client()
	for _, end := range []string{"", "/", "//", "/pkiclient.exe", "/cgi-bin/pkiclient.exe", "//pkiclient.exe", "/certsrv/mscep/mscep.dll", "/a/../b"} {
		for _, q := range []string{"operation=GetCACaps", "operation=getcacaps", "OPERATION=GETCACAPS&message=0", "message=default&operation=GetCACaps"} {
			w.do(http.MethodGet, c.url+end+"?"+q, nil).want(t, end+" "+q, http.StatusOK)
		}
	}
	if r := w.do(http.MethodGet, c.url+"?operation=GetNextCACert", nil); r.status != http.StatusBadGateway {
		t.Errorf("a server without GetNextCACert: HTTP %d", r.status)
	}
	if n := w.asked(scepmsg.OpGetNextCACert); n != 1 {
		t.Errorf("GetNextCACert was asked for %d times", n)
	}
}

// TestGetForms sends a message by GET in every spelling of base64 that clients
// use; each is the same message.
func TestGetForms(t *testing.T) {
	w := one(t)
	c := w.client()
	message := c.Message(nil)
	text := base64.StdEncoding.EncodeToString(message)
	var lines strings.Builder
	for i, r := range text {
		if lines.WriteRune(r); i%64 == 63 {
			lines.WriteString("\n")
		}
	}
	breaks := strings.NewReplacer("\n", "%0A", "+", "%2B")
	for name, form := range map[string]string{
		"all escaped":      url.QueryEscape(text),
		"line breaks":      breaks.Replace(lines.String()),
		"raw + and /":      strings.ReplaceAll(text, "=", "%3D"),
		"+ became a space": strings.ReplaceAll(url.QueryEscape(text), "%2B", "%20"),
		"URL alphabet":     base64.URLEncoding.EncodeToString(message),
		"no padding":       url.QueryEscape(strings.TrimRight(text, "=")),
	} {
		c.get("operation=PKIOperation&message="+form).certRep(t, name, scepmsg.Success)
	}
	w.do(http.MethodPost, c.url+"?operation=PKIOperation", []byte(text)).certRep(t, "base64 in the body", scepmsg.Success)
	if n := w.asked(scepmsg.OpPKIOperation); n != 1 {
		t.Errorf("the server was asked %d times", n)
	}
}

func TestHTTPRefusals(t *testing.T) {
	w := one(t)
	c := w.client()
	long := bytes.Repeat([]byte{0x30}, scepmsg.MaxBodyBytes+1)
	for name, tc := range map[string]struct {
		method, query string
		body          []byte
		status        int
	}{
		"another method":      {http.MethodPut, "operation=PKIOperation", nil, http.StatusMethodNotAllowed},
		"no operation":        {http.MethodGet, "", nil, http.StatusBadRequest},
		"an unknown one":      {http.MethodGet, "operation=GetCACertChain", nil, http.StatusBadRequest},
		"no message":          {http.MethodGet, "operation=PKIOperation", nil, http.StatusBadRequest},
		"an empty body":       {http.MethodPost, "operation=PKIOperation", nil, http.StatusBadRequest},
		"not base64":          {http.MethodGet, "operation=PKIOperation&message=%%%", nil, http.StatusBadRequest},
		"a body too long":     {http.MethodPost, "operation=PKIOperation", long, http.StatusRequestEntityTooLarge},
		"a query too long":    {http.MethodGet, "operation=PKIOperation&message=" + strings.Repeat("M", scepmsg.MaxQueryBytes), nil, http.StatusRequestURITooLong},
		"a query long enough": {http.MethodGet, "operation=PKIOperation&message=" + strings.Repeat("M", 20<<10), nil, http.StatusBadRequest},
	} {
		w.do(tc.method, c.url+"?"+tc.query, tc.body).want(t, name, tc.status)
	}
	if n := w.asked(scepmsg.OpPKIOperation); n != 0 {
		t.Errorf("the server was asked %d times", n)
	}
	if strings.Contains(w.log.String(), strings.TrimPrefix(c.url, w.url+pass.Path)) {
		t.Error("a token is in the log")
	}
}
