package scepmsg_test

import (
	"crypto"
	"strings"
	"testing"

	"chancery/internal/wire/cms"
	"chancery/internal/wire/scepmsg"
)

func TestCapsText(t *testing.T) {
	if len(scepmsg.CapsText) >= 1024 || strings.ContainsAny(scepmsg.CapsText, "\r \t") || !strings.HasSuffix(scepmsg.CapsText, "\n") {
		t.Errorf("caps must be short lines ended by LF: %q", scepmsg.CapsText)
	}
	got := scepmsg.ParseCaps([]byte(scepmsg.CapsText))
	want := scepmsg.Caps{AES: true, DES3: true, SHA1: true, SHA256: true, SHA384: true, SHA512: true, Post: true, Renewal: true}
	if got != want {
		t.Errorf("our own caps read as %+v", got)
	}
}

func TestParseCaps(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       scepmsg.Caps
		cipher     cms.OID
		digest     crypto.Hash
	}{
		{"nothing", "", scepmsg.Caps{}, cms.OIDTripleDESCBC, crypto.SHA1},
		{"a web page", "<html>\n<body>No AES, no SHA-256.</body>", scepmsg.Caps{}, cms.OIDTripleDESCBC, crypto.SHA1},
		{"old NDES", "POSTPKIOperation\r\nRenewal\r\nSHA-512\r\nSHA-256\r\nSHA-1\r\nDES3\r\n", scepmsg.Caps{Post: true, Renewal: true, SHA512: true, SHA256: true, SHA1: true, DES3: true}, cms.OIDTripleDESCBC, crypto.SHA256},
		{"standard alone", "SCEPStandard", scepmsg.Caps{AES: true, SHA256: true, Post: true}, cms.OIDAES128CBC, crypto.SHA256},
		{"odd case and blanks", "  aes \n\n\tsha-512\nGETNEXTCACERT\nrenewal", scepmsg.Caps{AES: true, SHA512: true, NextCA: true, Renewal: true}, cms.OIDAES128CBC, crypto.SHA512},
		{"SHA-384", "AES\nSHA-384", scepmsg.Caps{AES: true, SHA384: true}, cms.OIDAES128CBC, crypto.SHA384},
	} {
		got := scepmsg.ParseCaps([]byte(c.text))
		if got != c.want || got.Cipher() != c.cipher || got.Digest() != c.digest {
			t.Errorf("%s: %+v, %s, %v", c.name, got, got.Cipher().Name(), got.Digest())
		}
	}
	if got := scepmsg.ParseCaps([]byte(strings.Repeat("x ", 1<<20) + "AES")); got != (scepmsg.Caps{}) {
		t.Errorf("read beyond the limit: %+v", got)
	}
}
