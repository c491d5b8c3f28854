package pkixmsg

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// captures gives every file of testdata that holds DER.
func captures(f *testing.F) [][]byte {
	f.Helper()
	var all [][]byte
	for _, pattern := range []string{"*.csr", "*.crt"} {
		files, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil || len(files) == 0 {
			f.Fatalf("no captures %s: %v", pattern, err)
		}
		for _, file := range files {
			der, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			all = append(all, der)
		}
	}
	return all
}

// ours fails unless an error is one of this package's, with a sentinel.
func ours(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Unwrap() == nil || e.Message == "" || e.Remedy == "" {
		t.Fatalf("error %#v is not of this package's form", err)
	}
}

func FuzzParseDN(f *testing.F) {
	for _, text := range []string{
		"", "CN=x,OU=y,O=z,C=US", `O=Engines\, Analytical+UID=\#a`, `CN="Doe, \"J\" ",C=US`, "1.2.3.4=#0c026869", `CN=\C4\8D\ `,
		"CN=x;O=y", "/CN=x", "CN=#", `CN=\`, "2.25.340282366920938463463374607431768211455=x", "CN=a+CN=b",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := ParseDN(text)
		if err != nil {
			ours(t, err)
			return
		}
		written := name.String()
		again, err := ParseDN(written)
		if len(written) > maxDNText { // escapes and hexadecimal made it longer than typed
			return
		}
		if err != nil || !reflect.DeepEqual(again, name) {
			t.Fatalf("%q, written %q, came back as %#v, %v; want %#v", text, written, again, err, name)
		}
		der, err := name.DER()
		if err != nil {
			ours(t, err)
			return
		}
		if decoded, err := ParseNameDER(der); err != nil || !decoded.Equal(name) {
			t.Fatalf("%q came back from DER as %q, %v", text, decoded, err)
		}
	})
}

func FuzzParseNameDER(f *testing.F) {
	for _, text := range []string{"", "CN=x,OU=y,O=z,C=US", "CN=Zoë+serialNumber=1,DC=corp,E=a@b", "1.2.3=#020101,CN=x"} {
		der, err := mustDN(f, text).DER()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	for _, value := range []string{"1e04d83dde00", "1c080001f60000000078", "1402e978", "1302 2a2e"} {
		f.Add(unhex(f, "3011310f300d0603550403"+value))
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		name, err := ParseNameDER(der)
		if err != nil {
			ours(t, err)
			return
		}
		if !name.Equal(name) || !name.Contains(name) {
			t.Fatal("the name differs from itself")
		}
		written := name.String()
		if again, err := ParseDN(written); len(written) <= maxDNText && (err != nil || !again.Equal(name)) {
			t.Fatalf("written %q came back as %q, %v", written, again, err)
		}
		if again, err := name.DER(); err == nil {
			if back, err := ParseNameDER(again); err != nil || !back.Equal(name) {
				t.Fatalf("encoded again it is %q, %v; want %q", back, err, name)
			}
		}
	})
}

func FuzzParseSAN(f *testing.F) {
	ext, err := SubjectAltName(nil, richRequest(f, fixedKey()).SANs)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ext.Value)
	f.Add([]byte{0x30, 0})
	f.Add(unhex(f, "3018a016060a2b060104018237140203a0081e06006100400062"))
	f.Fuzz(func(t *testing.T, value []byte) {
		names, err := ParseSubjectAltName(value)
		if err != nil {
			ours(t, err)
			return
		}
		if len(names) == 0 {
			return
		}
		ext, err := SubjectAltName(nil, names)
		if err != nil {
			ours(t, err)
			return
		}
		again, err := ParseSubjectAltName(ext.Value)
		if err != nil || len(again) != len(names) {
			t.Fatalf("%v came back as %v, %v", names, again, err)
		}
		for i, g := range names {
			if g.Type == DirName {
				if !mustDN(t, g.Value).Equal(mustDN(t, again[i].Value)) { // C is written in capitals
					t.Fatalf("%v came back as %v", g, again[i])
				}
			} else if g != again[i] {
				t.Fatalf("%v came back as %v", g, again[i])
			}
		}
	})
}

func FuzzParseCSR(f *testing.F) {
	for _, der := range captures(f) {
		f.Add(der)
	}
	ours1, err := BuildCSR(richRequest(f, fixedKey()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ours1)
	f.Add(request(f, 0, nil))
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := ParseCSR(der)
		if err != nil {
			ours(t, err)
			return
		}
		if !bytes.Equal(c.Raw, der) || !bytes.Contains(der, c.RawTBS) {
			t.Fatal("the raw bytes are not those that arrived")
		}
		if err := c.CheckSignature(); err != nil {
			ours(t, err)
		}
		if err := CheckKey(c.PublicKey); err != nil {
			ours(t, err)
		}
		for _, g := range c.SANs {
			if err := g.Check(true); err != nil {
				ours(t, err)
			}
		}
	})
}

func FuzzTree(f *testing.F) {
	for _, der := range captures(f) {
		f.Add(der)
	}
	f.Add([]byte{5, 0})
	f.Fuzz(func(t *testing.T, der []byte) {
		root, err := Tree(der)
		if err != nil {
			ours(t, err)
			return
		}
		if root.HeaderLen+root.Length != len(der) || root.Text() == "" {
			t.Fatalf("the tree of %d bytes covers %d", len(der), root.HeaderLen+root.Length)
		}
	})
}
