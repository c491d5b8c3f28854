package keystore

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"chancery/internal/ra"
)

// The schemes of addresses.
const (
	schemeFile  = "file"
	schemeToken = "pkcs11"
	schemeAWS   = "awskms"
	schemeGCP   = "cloudkms"
	schemeAzure = "azurekms"
)

const maxAddress = 2048

// Address is where a key is kept:
//
//	file:///etc/chancery/issuing.key
//	pkcs11:token=CA;object=issuing?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/chancery/pin
//	awskms:key-id=1234abcd-12ab-34cd-56ef-1234567890ab;region=eu-north-1
//	cloudkms:projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/1
//	azurekms:vault=V;name=K
//
// Those of tokens follow RFC 7512 as far as it names keys; "name" instead of
// "key-id" is how a new key of awskms is called.
type Address struct {
	scheme string
	path   string            // of file and cloudkms
	values map[string]string // the attributes
}

// sort says how the address of a store is written.
type sort struct {
	example string
	store   []string // attributes that name the store
	key     []string // attributes that name the key in it
	free    []string // understood, and of no weight here
}

var sorts = map[string]sort{
	schemeFile: {example: "file:///path/to/key.pem"},
	schemeToken: {example: "pkcs11:token=CA;object=issuing?module-path=/usr/lib/softhsm/libsofthsm2.so",
		store: []string{"token", "module-path"}, key: []string{"object", "id"}, free: []string{"type", "pin-source"}},
	schemeAWS: {example: "awskms:key-id=1234abcd-12ab-34cd-56ef-1234567890ab;region=eu-north-1",
		store: []string{"region", "profile", "credentials-file"}, key: []string{"key-id", "name"}},
	schemeGCP: {example: "cloudkms:projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/1", store: []string{"credentials-file"}},
	schemeAzure: {example: "azurekms:vault=V;name=K",
		store: []string{"vault", "environment", "tenant-id", "hsm"}, key: []string{"name", "version"}},
}

// secrets are attributes that other programs take and this one does not.
var secrets = []string{"pin-value", "pin-prompt", "client-secret"}

// Parse reads an address. Errors are Invalid and do not repeat it.
func Parse(text string) (Address, error) {
	wrong := func(what, remedy string) (Address, error) {
		return Address{}, ra.Errorf(ra.Invalid, "%s", what).WithRemedy("%s", remedy)
	}
	scheme, rest, found := strings.Cut(text, ":")
	scheme = strings.ToLower(scheme)
	kind, known := sorts[scheme]
	if !found || !known {
		return wrong("The key address is of no kind this server knows.", "Write it as "+sorts[schemeFile].example+", or begin it with "+others()+".")
	}
	like := "Write it like " + kind.example + "."
	if len(text) > maxAddress || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return wrong("The key address is too long or holds control characters.", like)
	}
	if scheme == schemeFile {
		u, err := url.Parse(text)
		if err != nil || u.Host != "" || u.Path == "" || u.RawQuery != "" {
			return wrong("The key address does not name a file.", "Write it with three slashes and the whole path: "+kind.example+".")
		}
		return Address{scheme: scheme, path: u.Path}, nil
	}
	a := Address{scheme: scheme, values: map[string]string{}}
	path, query, _ := strings.Cut(rest, "?")
	parts := strings.FieldsFunc(query, func(r rune) bool { return r == '&' })
	if scheme == schemeGCP {
		var attributes string
		a.path, attributes, _ = strings.Cut(path, ";")
		path = attributes
	}
	parts = append(strings.FieldsFunc(path, func(r rune) bool { return r == ';' }), parts...)
	for _, part := range parts {
		name, value, _ := strings.Cut(part, "=")
		if slices.Contains(secrets, name) {
			return wrong("A key address must not hold the secret "+name+", because addresses are shown and exported.",
				"Leave it out: put a PIN into the field for it, where it is sealed, or into a file that pin-source names; credentials of a cloud go into the environment of the service.")
		}
		if !slices.Contains(slices.Concat(kind.store, kind.key, kind.free), name) {
			return wrong(fmt.Sprintf("The key address holds the attribute %.40q, which means nothing here.", name), "Leave it out. "+like)
		}
		clear, err := url.PathUnescape(value)
		if _, twice := a.values[name]; twice || err != nil || clear == "" {
			return wrong(fmt.Sprintf("The attribute %s of the key address is empty, said twice or wrongly escaped.", name), like)
		}
		a.values[name] = clear
	}
	return a, a.complete(like)
}

// complete asks for what an address cannot do without.
func (a Address) complete(like string) error {
	missing := func(what string) error {
		return ra.Errorf(ra.Invalid, "The key address does not say %s.", what).WithRemedy("%s", like)
	}
	v := a.values
	switch a.scheme {
	case schemeToken:
		switch {
		case v["token"] == "":
			return missing("which token the key is in (token)")
		case !filepath.IsAbs(v["module-path"]):
			return missing("where the library of the token is (module-path), as a whole path")
		case v["object"] == "" && v["id"] == "":
			return missing("which key of the token it is (object or id)")
		case v["type"] != "" && v["type"] != "private":
			return missing("a private key (type)")
		}
		if _, err := pinFile(v["pin-source"]); err != nil {
			return err
		}
	case schemeAWS:
		if (v["key-id"] == "") == (v["name"] == "") {
			return missing("which key it is (key-id)")
		}
		if v["key-id"] != strings.ToLower(v["key-id"]) {
			return ra.Errorf(ra.Invalid, "The key-id of the key address has capital letters.").
				WithRemedy("Give the ID of the key as the console of AWS shows it, in small letters, and no alias.")
		}
	case schemeGCP:
		p := strings.Split(a.path, "/")
		if (len(p) != 8 && len(p) != 10) || p[0] != "projects" || p[2] != "locations" || p[4] != "keyRings" || p[6] != "cryptoKeys" || slices.Contains(p, "") {
			return missing("project, location, key ring and key")
		}
	case schemeAzure:
		if v["vault"] == "" || v["name"] == "" {
			return missing("vault and name")
		}
	}
	return nil
}

func others() string {
	names := slices.Sorted(maps.Keys(sorts))
	return strings.Join(slices.DeleteFunc(names, func(s string) bool { return s == schemeFile }), ":, ") + ":"
}

// String writes the address in its one form. It holds no secret.
func (a Address) String() string {
	if a.scheme == schemeFile {
		return (&url.URL{Scheme: schemeFile, Path: a.path}).String()
	}
	query := []string{"module-path", "pin-source"}
	var front, back []string
	if a.path != "" {
		front = append(front, a.path)
	}
	for _, name := range slices.Sorted(maps.Keys(a.values)) {
		if slices.Contains(query, name) {
			back = append(back, name+"="+escape(a.values[name]))
		} else {
			front = append(front, name+"="+escape(a.values[name]))
		}
	}
	out := a.scheme + ":" + strings.Join(front, ";")
	if len(back) > 0 {
		out += "?" + strings.Join(back, "&")
	}
	return out
}

// escape leaves letters, digits and what is harmless in both halves of an
// address (RFC 7512 §2.3), and escapes every other byte.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/:", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", s[i])
	}
	return b.String()
}

// store names the store of an address: keys of one store share a connection.
func (a Address) store() string {
	name := a.scheme
	for _, attribute := range sorts[a.scheme].store {
		name += "\x00" + a.values[attribute]
	}
	return name
}

// forNewKey adds what the stores want of a new key: in a token, an ID beside
// the label.
func (a Address) forNewKey() Address {
	if a.scheme != schemeToken {
		return a
	}
	a.values = maps.Clone(a.values)
	id := make([]byte, 8)
	_, _ = rand.Read(id) // never fails
	if a.values["id"] == "" {
		a.values["id"] = string(id)
	}
	if a.values["object"] == "" {
		a.values["object"] = "chancery-" + hex.EncodeToString(id)
	}
	return a
}

// in gives the address a store chose for a new key the attributes of the store
// it was asked in.
func (a Address) in(asked Address) Address {
	values := maps.Clone(a.values)
	for _, name := range slices.Concat(sorts[a.scheme].store, sorts[a.scheme].free) {
		if v := asked.values[name]; v != "" {
			values[name] = v
		}
	}
	a.values = values
	return a
}

// library gives the address as the libraries want it, who read escapes in a way
// of their own: PINs and their files are not for them.
func (a Address) library() string {
	if a.scheme == schemeToken {
		values := maps.Clone(a.values)
		delete(values, "pin-source")
		return Address{scheme: a.scheme, values: values}.String()
	}
	values := url.Values{}
	for name, v := range a.values {
		values.Set(name, v)
	}
	if a.scheme == schemeGCP {
		out := a.scheme + ":" + a.path
		if len(values) > 0 {
			out += "?" + values.Encode()
		}
		return out
	}
	return a.scheme + ":" + strings.ReplaceAll(values.Encode(), "&", ";")
}
