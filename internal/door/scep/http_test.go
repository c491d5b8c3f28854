package scep_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/enroll"
	"chancery/internal/testpeer"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/pkixmsg"
	"chancery/internal/wire/scepmsg"
)

func TestHTTP(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		template := w.template(nil)
		e := w.endpoint("door", template, nil)
		base := w.url + "/scep/door"

		t.Run("GetCACaps", func(t *testing.T) {
			until := w.clock.now().AddDate(1, 0, 0).Format(time.DateOnly)
			w.endpoint("compat", template, settings{"floor": "compat", "renewal": false})
			w.endpoint("legacy", template, settings{"floor": "legacy", "legacy_accepted": true, "legacy_until": until})
			for name, want := range map[string]string{
				"door":   "AES\nSHA-256\nSHA-384\nSHA-512\nPOSTPKIOperation\nRenewal\nSCEPStandard\n",
				"compat": "AES\nDES3\nSHA-1\nSHA-256\nSHA-384\nSHA-512\nPOSTPKIOperation\nSCEPStandard\n",
				"legacy": scepmsg.CapsText,
			} {
				status, header, body := get(t, w.url+"/scep/"+name+"?operation=GetCACaps")
				if status != 200 || header.Get("Content-Type") != "text/plain" || string(body) != want || len(body) >= 1024 {
					t.Errorf("%s: got %d %s %q", name, status, header.Get("Content-Type"), body)
				}
				if header.Get("Content-Length") != fmt.Sprint(len(body)) {
					t.Errorf("Content-Length %q", header.Get("Content-Length"))
				}
			}
		})

		t.Run("GetCACert", func(t *testing.T) {
			status, header, body := get(t, base+"?operation=GetCACert")
			if status != 200 || header.Get("Content-Type") != scepmsg.MediaCARACert {
				t.Fatalf("got %d %s", status, header.Get("Content-Type"))
			}
			certs := must(scepmsg.ParseCACert(body, cms.Limits{}))(t)
			if len(certs) != 3 {
				t.Fatalf("got %d certificates, want RA, issuing CA and root", len(certs))
			}
			agent, issuing, root := parsed(t, certs[0]), parsed(t, certs[1]), parsed(t, certs[2])
			if agent.IsCA || scepmsg.ChooseRA(certs) != certs[0] || agent.CheckSignatureFrom(issuing) != nil || issuing.CheckSignatureFrom(root) != nil || root.CheckSignatureFrom(root) != nil {
				t.Errorf("the certificates are %s, %s, %s", agent.Subject, issuing.Subject, root.Subject)
			}
			for _, message := range []string{"&message=0", "&message=1", "&message=CAIdentifier", "&message=default", "&message=", "&message=%00%ff+a;b"} {
				if status, _, got := get(t, base+"?operation=GetCACert"+message); status != 200 || !bytes.Equal(got, body) {
					t.Errorf("%s: got %d and %d bytes", message, status, len(got))
				}
			}
		})

		t.Run("paths and letter case", func(t *testing.T) {
			for _, path := range []string{"", "/", "/pkiclient.exe", "/cgi-bin/pkiclient.exe", "/mscep.dll", "/certsrv/mscep/mscep.dll/pkiclient.exe", "//pkiclient.exe", "/a/../b", "/./"} {
				for _, query := range []string{"?operation=GetCACaps", "?operation=getcacaps", "?OPERATION=GETCACAPS", "?message=x&Operation=GetCACaps"} {
					if status, _, body := get(t, base+path+query); status != 200 {
						t.Errorf("%s%s: got %d %s", path, query, status, body)
					}
				}
			}
		})

		t.Run("refused", func(t *testing.T) {
			name, disabled := "off", true
			must(w.enroll.CreateEndpoint(t.Context(), admin, enroll.EndpointInput{GroupID: &w.group, TemplateID: &template.ID, Name: &name, Disabled: &disabled}))(t)
			for _, c := range []struct {
				method, path string
				want         int
			}{
				{"GET", "/scep/door", 400},
				{"GET", "/scep/door?operation=", 400},
				{"GET", "/scep/door?operation=GetNextCACert", 400},
				{"GET", "/scep/door?operation=GetCACertChain", 400},
				{"GET", "/scep/door?operation=GetCAChain&message=0", 400},
				{"GET", "/scep/door?operation=PKIOperation", 400},
				{"GET", "/scep/door?operation=PKIOperation&message=", 400},
				{"GET", "/scep/door?operation=PKIOperation&message=%%%", 400},
				{"GET", "/scep/door?operation=PKIOperation&message=MAAA", 400},
				{"GET", "/scep/nowhere?operation=GetCACaps", 404},
				{"GET", "/scep/off?operation=GetCACaps", 404},
				{"GET", "/scep/?operation=GetCACaps", 404},
				{"GET", "/scep/%00%ff?operation=GetCACaps", 404},
				{"POST", "/scep/nowhere?operation=PKIOperation", 404},
				{"PUT", "/scep/door?operation=PKIOperation", 405},
				{"DELETE", "/scep/door?operation=GetCACert", 405},
				{"POST", "/scep/door?operation=PKIOperation", 400},
			} {
				req := must(http.NewRequestWithContext(t.Context(), c.method, w.url+c.path, nil))(t)
				status, header, body := do(t, req)
				if status != c.want || !strings.HasPrefix(header.Get("Content-Type"), "text/plain") || len(body) == 0 {
					t.Errorf("%s %s: got %d %s %q, want %d", c.method, c.path, status, header.Get("Content-Type"), body, c.want)
				}
			}
		})

		t.Run("bodies", func(t *testing.T) {
			d := w.device()
			c := w.client(t, e, d, ecKey(t))
			c.challenge = w.challenge(e, d)
			sent := must(c.request(t).Build())(t)
			for _, media := range []string{"", "application/octet-stream", "application/x-www-form-urlencoded", "text/plain", "application/x-pki-message"} {
				for _, body := range [][]byte{sent.Message, []byte(base64.StdEncoding.EncodeToString(sent.Message))} {
					req := must(http.NewRequestWithContext(t.Context(), "POST", base+"/pkiclient.exe?operation=PKIOperation", bytes.NewReader(body)))(t)
					if media != "" {
						req.Header.Set("Content-Type", media)
					}
					status, _, got := do(t, req)
					if status != 200 {
						t.Fatalf("%s: got %d %s", media, status, got)
					}
					c.readReply(t, sent, got).granted(t)
				}
			}
			for name, body := range map[string][]byte{"empty": nil, "garbage": []byte("\x30\x82garbage"), "a web page": []byte("<html>"),
				"cut off": sent.Message[:len(sent.Message)-1], "bytes behind it": append(slices.Clone(sent.Message), 0),
				"a bit of the signature": flip(sent.Message, len(sent.Message)-5), "nested": bytes.Repeat([]byte{0x30, 0x80}, 20000)} {
				if status, _, _ := post(t, base, body); status != 400 {
					t.Errorf("%s: got %d, want 400", name, status)
				}
			}
		})

		t.Run("sizes", func(t *testing.T) {
			for _, n := range []int{4 << 10, 8 << 10, 16 << 10} {
				d := w.device()
				c := w.client(t, e, d, ecKey(t))
				c.challenge = w.challenge(e, d)
				c.csr = c.newCSR(t, c.key, func(r *pkixmsg.CSRRequest) {
					value := append([]byte{0x04, 0x82, byte(n / 2 >> 8), byte(n / 2)}, make([]byte, n/2)...)
					r.Attributes = []pkixmsg.RequestAttribute{{OID: "1.2.3.4", Values: [][]byte{value}}}
				})
				sent := must(c.request(t).Build())(t)
				query := scepmsg.EncodeQuery(sent.Message)
				status, _, body := get(t, base+"?operation=PKIOperation&message="+query)
				if status != 200 {
					t.Fatalf("a query of %d bytes: got %d", len(query), status)
				}
				c.readReply(t, sent, body).granted(t)
			}
			if status, _, _ := get(t, base+"?operation=PKIOperation&message="+strings.Repeat("M", 40<<10)); status != 414 {
				t.Errorf("a query of 40 KiB: got %d, want 414", status)
			}
			status, header, _ := post(t, base, bytes.Repeat([]byte{0x30}, 1<<20))
			if status != 413 {
				t.Errorf("a body of 1 MiB: got %d %v, want 413", status, header)
			}
			// Without Content-Length too.
			req := must(http.NewRequestWithContext(t.Context(), "POST", base+"?operation=PKIOperation", struct{ *bytes.Reader }{bytes.NewReader(make([]byte, 70<<10))}))(t)
			req.ContentLength = -1
			if status, _, _ := do(t, req); status != 413 {
				t.Errorf("a chunked body of 70 KiB: got %d, want 413", status)
			}
		})

		t.Run("HTTP/1.0", func(t *testing.T) {
			got := talk(t, w.url, "GET /scep/door/pkiclient.exe?operation=GetCACaps&message=router HTTP/1.0\r\nUser-Agent: Cisco PKI\r\n\r\n")
			if !strings.HasPrefix(got, "HTTP/1.0 200") || !strings.Contains(got, "POSTPKIOperation") {
				t.Errorf("got %q", got)
			}
		})

		t.Run("slow client", func(t *testing.T) {
			start := time.Now()
			got := talk(t, w.url, "POST /scep/door?operation=PKIOperation HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n0\x82")
			if !strings.HasPrefix(got, "HTTP/1.1 408") || time.Since(start) > 10*time.Second {
				t.Errorf("after %s: got %q", time.Since(start), got)
			}
			if got := talk(t, w.url, "POST /scep/door?operation=PKIOperation HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"); !strings.HasPrefix(got, "HTTP/1.1 400") {
				t.Errorf("a broken body: got %q", got)
			}
		})
	})
}

func flip(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at] ^= 1
	return b
}

// talk writes bytes to the server and reads until it closes the connection.
func talk(t *testing.T, address, text string) string {
	t.Helper()
	conn := must(net.Dial("tcp", must(url.Parse(address))(t).Host))(t)
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			return b.String()
		}
	}
}
