package secret

import (
	"crypto/subtle"
	"database/sql/driver"
	"fmt"
	"io"
	"log/slog"
)

// Bytes is a secret byte string. The zero value is unset. It is immutable and
// safe for concurrent use. The compiler refuses == on it; use Equal.
type Bytes struct {
	_ [0]func() // not comparable
	// A string, not a slice: given a verb that does not fit, fmt follows even a
	// nested pointer to a slice, but never one to a string.
	value *string
}

// NewBytes keeps a copy of b as a secret. An empty b gives unset Bytes.
func NewBytes(b []byte) Bytes {
	if len(b) == 0 {
		return Bytes{}
	}
	s := string(b)
	return Bytes{value: &s}
}

// Reveal gives a copy of the value in clear, nil when unset.
func (b Bytes) Reveal() []byte {
	if b.value == nil {
		return nil
	}
	return []byte(*b.value)
}

// IsSet reports whether there is a value.
func (b Bytes) IsSet() bool { return b.value != nil }

// Equal compares two secrets in a time that depends on their lengths only.
func (b Bytes) Equal(c Bytes) bool {
	return subtle.ConstantTimeCompare(b.Reveal(), c.Reveal()) == 1
}

// Format writes the mask for every verb and flag.
func (b Bytes) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, mask(b.IsSet())) }

// LogValue gives the mask to log/slog.
func (b Bytes) LogValue() slog.Value { return slog.StringValue(mask(b.IsSet())) }

// MarshalJSON gives the mask as a JSON string.
func (b Bytes) MarshalJSON() ([]byte, error) { return maskJSON(b.IsSet()) }

// MarshalText gives the mask to encoders of text, XML and YAML among them.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(mask(b.IsSet())), nil }

// Value refuses to be a database column (driver.Valuer).
func (b Bytes) Value() (driver.Value, error) { return nil, errColumn }
