package adcsmsg

import (
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
)

func TestAttributes(t *testing.T) {
	got := ParseAttributes("CertificateTemplate:User\r\nCertificate-Te mplate2:  x y \nno colon\n:nameless\nccm:host\x00")
	want := Attributes{{"CertificateTemplate", "User"}, {"CertificateTemplate2", "x y"}, {"ccm", "host"}}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if v, ok := got.Get("CERTIFICATETEMPLATE"); v != "User" || !ok {
		t.Errorf("%q %v", v, ok)
	}
	if _, ok := got.Get("rmd"); ok {
		t.Error("an attribute that is not there was found")
	}
	sent := Attributes{{"CertificateTemplate", "User"}, {"ChanceryRequest", "req_1"}}
	text, err := sent.encode()
	if err != nil || text != "CertificateTemplate:User\nChanceryRequest:req_1" || !slices.Equal(ParseAttributes(text), sent) {
		t.Errorf("%q, %v", text, err)
	}
}

func FuzzParseAttributes(f *testing.F) {
	f.Add("CertificateTemplate:User\nChanceryRequest:req_1")
	f.Fuzz(func(t *testing.T, text string) {
		a := ParseAttributes(text)
		again, err := a.encode()
		if err == nil && !slices.Equal(ParseAttributes(again), a) {
			t.Errorf("%q does not read back as %q", again, a)
		}
	})
}

func TestParseTemplates(t *testing.T) {
	for text, want := range map[string][]Template{
		"":                              nil,
		"User\n\n":                      {{"User", ""}},
		"User\n":                        {{"User", ""}},
		"Web\n1.3.6.1\nUser\n\n":        {{"Web", "1.3.6.1"}, {"User", ""}},
		"User\n\nWeb\n1.3.6.1\n":        {{"User", ""}, {"Web", "1.3.6.1"}},
		"Web Server\n1.3.6.1.4.1.311.2": {{"Web Server", "1.3.6.1.4.1.311.2"}},
	} {
		if got, err := ParseTemplates(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"\n1.3\n", "User\nWeb\n", strings.Repeat("A\n1\n", maxRows+1)} {
		if got, err := ParseTemplates(text); !errors.Is(err, ErrTemplate) {
			t.Errorf("%.20q: %d templates, %v", text, len(got), err)
		}
	}
}

func FuzzParseTemplates(f *testing.F) {
	f.Add("Web\n1.3.6.1\nUser\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, x := range must(ParseTemplates(text)) {
			if x.Name == "" {
				t.Errorf("%q has a template without a name", text)
			}
		}
	})
}

func must[T any](v T, _ error) T { return v }

func TestSerialText(t *testing.T) {
	for n, want := range map[string]string{"1": "01", "ff": "ff", "1AB": "01ab", "80": "80"} {
		v, _ := new(big.Int).SetString(n, 16)
		if got, err := SerialText(v); got != want || err != nil {
			t.Errorf("%s: %q, %v", n, got, err)
		}
	}
	for _, v := range []*big.Int{big.NewInt(0), big.NewInt(-5), new(big.Int).Lsh(big.NewInt(1), 160)} {
		if got, err := SerialText(v); !errors.Is(err, ErrValue) {
			t.Errorf("%v: %q, %v", v, got, err)
		}
	}
}
