package ndes_test

import (
	"bytes"
	"crypto"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"chancery/internal/doubles/ndes"
)

// decode reads a page as a browser told the charset would.
func decode(t *testing.T, charset ndes.Charset, b []byte) string {
	t.Helper()
	switch charset {
	case ndes.UTF16LE, ndes.UTF16BE:
		order := binary.ByteOrder(binary.LittleEndian)
		if charset == ndes.UTF16BE {
			order = binary.BigEndian
		}
		units := make([]uint16, len(b)/2)
		for i := range units {
			units[i] = order.Uint16(b[2*i:])
		}
		return string(utf16.Decode(units))
	case ndes.Windows1252:
		runes := make([]rune, len(b))
		for i, c := range b {
			runes[i] = rune(c)
		}
		return html.UnescapeString(string(runes))
	}
	return string(b)
}

// TestPage: in every language and charset the page has the thumbprint in its
// first bold words and the challenge in its second.
func TestPage(t *testing.T) {
	bold := regexp.MustCompile(`<B> ([0-9A-F ]+) </B>`)
	words := map[ndes.Language]string{ndes.English: "challenge password is: <B>", ndes.German: "für Netzwerkgeräte", ndes.French: "périphériques réseau", ndes.Japanese: "デバイス登録サービス"}
	for _, charset := range []ndes.Charset{ndes.UTF16LE, ndes.UTF16BE, ndes.UTF8, ndes.Windows1252} {
		for language, word := range words {
			for _, bom := range []bool{false, true} {
				s := must(ndes.New(ndes.Config{Anonymous: true, Language: language, Charset: charset, BOM: bom, CAKey: ndes.P256}))(t)
				w := serveOnce(s, "/CertSrv/mscep_admin/")
				text := decode(t, charset, w.body)
				if w.status != http.StatusOK || w.media != "text/html" || !strings.Contains(text, word) || !strings.Contains(text, "charset=UTF-8") {
					t.Errorf("%s %s: %d %s %q", language, charset, w.status, w.media, text)
				}
				if hasBOM := strings.HasPrefix(text, "\ufeff"); hasBOM != (bom && charset != ndes.Windows1252) {
					t.Errorf("%s: byte order mark: %v", charset, hasBOM)
				}
				found := bold.FindAllStringSubmatch(text, -1)
				sum := fmt.Sprintf("%X", md5.Sum(s.Issuer().Raw))
				if len(found) != 2 || found[0][1] != sum[:8]+" "+sum[8:16]+" "+sum[16:24]+" "+sum[24:] || len(found[1][1]) != 16 {
					t.Errorf("%s %s: bold words %q", language, charset, found)
				}
			}
		}
	}
}

// TestPageSettings: what else the page can say.
func TestPageSettings(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  ndes.Config
		want string
	}{
		{"single", ndes.Config{SinglePassword: true}, "will not expire"},
		{"minutes", ndes.Config{PasswordValidity: 90 * time.Minute}, "within 90 minutes"},
		{"no template", ndes.Config{NoTemplate: true}, "template for SCEP is not set"},
		{"SHA-1", ndes.Config{Thumbprint: crypto.SHA1}, ""},
		{"SHA-256", ndes.Config{Thumbprint: crypto.SHA256}, ""},
		{"length", ndes.Config{PasswordLength: 32}, "<B>"},
		{"no password", ndes.Config{NoPassword: true}, "hash value"},
	} {
		c.cfg.Anonymous, c.cfg.Charset, c.cfg.CAKey = true, ndes.UTF8, ndes.P256
		s := must(ndes.New(c.cfg))(t)
		text := string(serveOnce(s, "/certsrv/mscep_admin/").body)
		joined := strings.ReplaceAll(text, " ", "")
		switch {
		case !strings.Contains(text, c.want),
			c.name == "SHA-1" && !strings.Contains(joined, fmt.Sprintf("<B>%X</B>", sha1.Sum(s.Issuer().Raw))),
			c.name == "SHA-256" && !strings.Contains(joined, fmt.Sprintf("<B>%X</B>", sha256.Sum256(s.Issuer().Raw))),
			c.name == "length" && !regexp.MustCompile(`<B> [0-9A-F]{64} </B>`).MatchString(text),
			c.name == "no password" && strings.Contains(text, "challenge password is"):
			t.Errorf("%s: %s", c.name, text)
		}
	}
	s := must(ndes.New(ndes.Config{Anonymous: true, AdminPath: "/elsewhere/", CAKey: ndes.P256}))(t)
	if w := serveOnce(s, "/certsrv/mscep_admin/"); w.status != http.StatusNotFound {
		t.Errorf("the usual folder: %d", w.status)
	}
	if w := serveOnce(s, "/elsewhere"); w.status != http.StatusMovedPermanently || w.header.Get("Location") != "/elsewhere/" {
		t.Errorf("without the slash: %d", w.status)
	}
	for _, cfg := range []ndes.Config{{Language: "xx"}, {Charset: "xx"}, {Thumbprint: crypto.SHA512}, {CAKey: "xx"}, {Schemes: []ndes.Scheme{"xx"}}, {AdminPath: "x"}} {
		if _, err := ndes.New(cfg); err == nil {
			t.Errorf("New took %+v", cfg)
		}
	}
}

// TestCache: five challenges are out at most, each for an hour.
func TestCache(t *testing.T) {
	c := newClock()
	s := must(ndes.New(ndes.Config{Anonymous: true, Now: c.Now, Charset: ndes.UTF8, CAKey: ndes.P256}))(t)
	page := func() string { return string(serveOnce(s, "/certsrv/mscep_admin/").body) }
	for range 5 {
		if text := page(); !strings.Contains(text, "challenge password is") {
			t.Fatal(text)
		}
		c.turn(10 * time.Minute)
	}
	for range 2 {
		if text := page(); !strings.Contains(text, "password cache is full") || strings.Contains(text, "challenge password is") {
			t.Error(text)
		}
	}
	if n := s.Counts(); n != (ndes.Counts{Pages: 7, Minted: 5, Outstanding: 5, CacheFull: 2}) {
		t.Errorf("counted %+v", n)
	}
	c.turn(10 * time.Minute) // the first has now lived for its 60
	if n := s.Counts(); n.Outstanding != 4 || n.Burnt != 1 {
		t.Errorf("counted %+v", n)
	}
	if text := page(); !strings.Contains(text, "challenge password is") {
		t.Error(text)
	}
	if text := page(); !strings.Contains(text, "cache is full") {
		t.Error(text)
	}
}

// reply is what a server said without a line in between.
type reply struct {
	status int
	media  string
	header http.Header
	body   []byte
}

func serveOnce(s *ndes.Server, path string) reply {
	w := &writer{header: http.Header{}}
	r, err := http.NewRequest("GET", path, nil)
	if err != nil {
		panic(err)
	}
	s.ServeHTTP(w, r)
	return reply{w.status, w.header.Get("Content-Type"), w.header, w.body.Bytes()}
}

type writer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *writer) Header() http.Header         { return w.header }
func (w *writer) WriteHeader(status int)      { w.status = status }
func (w *writer) Write(b []byte) (int, error) { return w.body.Write(b) }
