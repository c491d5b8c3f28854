// Package secret holds values that must not be shown. A Text or Bytes prints
// as a mask through fmt, encoding/json, encoding/xml and log/slog, nested or
// not, and refuses to become a database column; package seal makes the
// ciphertext that may be stored. The one way out is Reveal, which is easy to
// search for. The value sits behind a pointer because fmt shows unexported
// fields without asking their methods, and shows a nested pointer as an
// address. Printers that follow pointers get past this, so compare secrets
// with Equal and never hand them to a deep differ.
//
// The package also makes random tokens (Token) and the hash by which a token
// is stored and found again (Hash).
package secret

import (
	"crypto/subtle"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
)

// Mask is what a secret with a value prints as.
const Mask = "[secret]"

// Unset is what a secret without a value prints as.
const Unset = "[not set]"

// errColumn is returned instead of a column value.
var errColumn = errors.New("secret: a secret cannot be a database value; seal it first")

// Text is a secret string. The zero value is unset. It is immutable and safe
// for concurrent use. The compiler refuses == on it; use Equal.
type Text struct {
	_     [0]func() // not comparable
	value *string
}

// New keeps s as a secret. The empty string gives an unset Text.
func New(s string) Text {
	if s == "" {
		return Text{}
	}
	return Text{value: &s}
}

// Reveal gives the value in clear, empty when unset. It is for the one call
// that needs the value: a request header, a key derivation, a seal.
func (t Text) Reveal() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

// IsSet reports whether there is a value.
func (t Text) IsSet() bool { return t.value != nil }

// Equal compares two secrets in a time that depends on their lengths only.
func (t Text) Equal(u Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(u.Reveal())) == 1
}

// Format writes the mask for every verb and flag.
func (t Text) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, mask(t.IsSet())) }

// LogValue gives the mask to log/slog.
func (t Text) LogValue() slog.Value { return slog.StringValue(mask(t.IsSet())) }

// MarshalJSON gives the mask as a JSON string.
func (t Text) MarshalJSON() ([]byte, error) { return maskJSON(t.IsSet()) }

// MarshalText gives the mask to encoders of text, XML and YAML among them.
func (t Text) MarshalText() ([]byte, error) { return []byte(mask(t.IsSet())), nil }

// Value refuses to be a database column (driver.Valuer).
func (t Text) Value() (driver.Value, error) { return nil, errColumn }

func mask(set bool) string {
	if set {
		return Mask
	}
	return Unset
}

func maskJSON(set bool) ([]byte, error) { return strconv.AppendQuote(nil, mask(set)), nil }
