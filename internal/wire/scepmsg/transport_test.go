package scepmsg_test

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"chancery/internal/wire/scepmsg"
)

// awkward is a message whose base64 has '+', '/' and padding in it.
func awkward(size int) []byte {
	b := append([]byte{0x30, 0x82}, bytes.Repeat([]byte{0xfb, 0xef, 0xff, 0x3e, 0x07}, size/5)...)
	for len(b)%3 != 1 {
		b = append(b, 0xff)
	}
	return b
}

// TestDecodeQuery has a row for each form real clients send.
func TestDecodeQuery(t *testing.T) {
	msg := awkward(300)
	std := base64.StdEncoding.EncodeToString(msg)
	lines := func(end string) string {
		var b strings.Builder
		for i := 0; i < len(std); i += 64 {
			b.WriteString(std[i:min(i+64, len(std))] + end)
		}
		return b.String()
	}
	plus := strings.NewReplacer("+", "%2B")
	for _, c := range []struct{ name, value string }{
		{"fully escaped (certmonger, Go)", url.QueryEscape(std)},
		{"ours", scepmsg.EncodeQuery(msg)},
		{"lower-case escapes", strings.NewReplacer("+", "%2b", "/", "%2f", "=", "%3d").Replace(std)},
		{"line breaks, '/' and '=' raw (sscep, Cisco IOS)", plus.Replace(lines("%0A"))},
		{"CR LF breaks", plus.Replace(lines("%0D%0A"))},
		{"'+' and '/' raw, '=' escaped (macOS)", strings.ReplaceAll(std, "=", "%3D")},
		{"all raw (jscep)", std},
		{"'+' made a space by a middle box", strings.ReplaceAll(std, "+", "%20")},
		{"'+' made a raw space", strings.ReplaceAll(std, "+", " ")},
		{"URL-safe alphabet (scepclient)", base64.URLEncoding.EncodeToString(msg)},
		{"URL-safe, unpadded", base64.RawURLEncoding.EncodeToString(msg)},
		{"unpadded", strings.TrimRight(url.QueryEscape(std), "%3D")},
		{"blanks around", "%20" + url.QueryEscape(std) + "%0A"},
	} {
		for _, query := range []string{
			"operation=PKIOperation&message=" + c.value,
			"message=" + c.value + "&operation=PKIOperation",
			"operation=PKIOperation&Message=" + c.value + "&x=1",
		} {
			if got, err := scepmsg.DecodeQuery(query); err != nil || !bytes.Equal(got, msg) {
				t.Errorf("%s: %v, equal %v", c.name, err, bytes.Equal(got, msg))
			}
		}
	}
}

func TestDecodeQueryRefuses(t *testing.T) {
	for _, c := range []struct {
		name, query string
		want        error
	}{
		{"nothing", "", scepmsg.ErrNoMessage},
		{"no message", "operation=PKIOperation", scepmsg.ErrNoMessage},
		{"empty message", "operation=PKIOperation&message=", scepmsg.ErrNoMessage},
		{"padding alone", "message=%3D%3D", scepmsg.ErrNoMessage},
		{"not base64", "message=MI*", scepmsg.ErrNotBase64},
		{"padding inside", "message=MIIC=MIIC", scepmsg.ErrNotBase64},
		{"bad escape", "message=MI%zz", scepmsg.ErrNotBase64},
		{"one character", "message=M", scepmsg.ErrNotBase64},
		{"not a SEQUENCE", "message=AAAA", scepmsg.ErrNotBase64},
		{"too long", "message=" + strings.Repeat("M", scepmsg.MaxQueryBytes), scepmsg.ErrQueryBytes},
	} {
		if got, err := scepmsg.DecodeQuery(c.query); err != c.want {
			t.Errorf("%s: %x, %v, want %v", c.name, got, err, c.want)
		}
	}
}

func TestDecodeQuerySizes(t *testing.T) {
	for _, query := range []int{4 << 10, 8 << 10, 16 << 10} {
		msg := awkward(query * 3 / 4)
		if got, err := scepmsg.DecodeQuery("operation=PKIOperation&message=" + scepmsg.EncodeQuery(msg)); err != nil || !bytes.Equal(got, msg) {
			t.Errorf("a query of %d characters: %v", query, err)
		}
	}
}

func TestDecodeBody(t *testing.T) {
	msg := awkward(200)
	text := base64.StdEncoding.EncodeToString(msg)
	for _, c := range []struct {
		name string
		body []byte
		want error
	}{
		{"DER", msg, nil},
		{"base64", []byte(text), nil},
		{"base64 with line breaks", []byte(text[:64] + "\r\n" + text[64:] + "\n"), nil},
		{"base64, URL-safe", []byte(base64.RawURLEncoding.EncodeToString(msg)), nil},
		{"empty", nil, scepmsg.ErrNoMessage},
		{"blank", []byte("\r\n"), scepmsg.ErrNoMessage},
		{"garbage", []byte("<html>"), scepmsg.ErrNotBase64},
		{"base64 of something else", []byte("AAAA"), scepmsg.ErrNotBase64},
	} {
		got, err := scepmsg.DecodeBody(c.body)
		if err != c.want || err == nil && !bytes.Equal(got, msg) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestDecodeOperation(t *testing.T) {
	for query, want := range map[string]scepmsg.Operation{
		"operation=GetCACaps":                           scepmsg.OpGetCACaps,
		"operation=getcacert&message=default":           scepmsg.OpGetCACert,
		"message=x&OPERATION=PKIOPERATION":              scepmsg.OpPKIOperation,
		"Operation=getNextCACert":                       scepmsg.OpGetNextCACert,
		"operation=PKIOperation&operation=GetCACaps":    scepmsg.OpPKIOperation,
		"operation=GetCAChain":                          "",
		"operation=":                                    "",
		"operation":                                     "",
		"":                                              "",
		"xoperation=GetCACaps&message=operation=x":      "",
		"message=operation%3DGetCACaps&operation=other": "",
	} {
		got, err := scepmsg.DecodeOperation(query)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", query, got, err, want)
		}
	}
}

func FuzzDecodeQuery(f *testing.F) {
	f.Add("operation=PKIOperation&message=" + scepmsg.EncodeQuery(awkward(30)))
	f.Add("message=MI%0AIC+-_/%20%3d==")
	f.Add("&&=&message")
	f.Fuzz(func(t *testing.T, query string) {
		scepmsg.DecodeOperation(query)
		scepmsg.DecodeBody([]byte(query))
		msg, err := scepmsg.DecodeQuery(query)
		if err != nil || len(msg) > scepmsg.MaxQueryBytes/2 {
			return
		}
		again, err := scepmsg.DecodeQuery("message=" + scepmsg.EncodeQuery(msg))
		if err != nil || !bytes.Equal(again, msg) {
			t.Errorf("%x did not survive EncodeQuery: %x, %v", msg, again, err)
		}
	})
}

// TestLastPlus: a '+' that became a space is one at the end of the text too, and
// a space behind the text is none.
func TestLastPlus(t *testing.T) {
	message := []byte{0x30, 0x01, 0x3e}
	text := base64.StdEncoding.EncodeToString(message)
	if text[len(text)-1] != '+' {
		t.Fatalf("%q does not end in +", text)
	}
	for form, want := range map[string][]byte{
		text:                       message,
		text[:len(text)-1] + "%20": message,
		"%20" + text + "%0D%0A":    message,
		"MAE9%20%20":               {0x30, 0x01, 0x3d},
		"MAE%3D%20":                {0x30, 0x01},
		"MAE%20%20%20":             {0x30, 0x01},
	} {
		if got, err := scepmsg.DecodeQuery("operation=PKIOperation&message=" + form); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q gives %x (%v), want %x", form, got, err, want)
		}
	}
}
