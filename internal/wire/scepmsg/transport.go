package scepmsg

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
)

// Media types of RFC 8894 §4. Clients compare them exactly.
const (
	MediaCACert     = "application/x-x509-ca-cert"      // GetCACert, one certificate
	MediaCARACert   = "application/x-x509-ca-ra-cert"   // GetCACert, degenerate SignedData
	MediaNextCACert = "application/x-x509-next-ca-cert" // GetNextCACert
	MediaMessage    = "application/x-pki-message"       // PKIOperation, both ways
	MediaCaps       = "text/plain"                      // GetCACaps
)

// Sizes a server reads before it gives up, in bytes: a GET query holds a third
// more than the message, and an RSA-4096 request with an Intune challenge
// needs about 8 KiB.
const (
	MaxQueryBytes = 32 << 10
	MaxBodyBytes  = 64 << 10
)

// Operation is the value of the operation parameter.
type Operation string

// The operations of RFC 8894 §4.1.
const (
	OpGetCACaps     Operation = "GetCACaps"
	OpGetCACert     Operation = "GetCACert"
	OpGetNextCACert Operation = "GetNextCACert"
	OpPKIOperation  Operation = "PKIOperation"
)

// Errors of the decoders.
var (
	ErrOperation  = errors.New("scepmsg: unknown operation")
	ErrNoMessage  = errors.New("scepmsg: the request carries no message")
	ErrNotBase64  = errors.New("scepmsg: the message is neither DER nor base64")
	ErrQueryBytes = errors.New("scepmsg: the query is larger than the limit")
)

// DecodeOperation reads the operation from a raw query. Letter case matters
// neither in the name of the parameter nor in its value.
func DecodeOperation(rawQuery string) (Operation, error) {
	if value, ok := parameter(rawQuery, "operation"); ok {
		for _, op := range []Operation{OpGetCACaps, OpGetCACert, OpGetNextCACert, OpPKIOperation} {
			if strings.EqualFold(value, string(op)) {
				return op, nil
			}
		}
	}
	return "", ErrOperation
}

// DecodeQuery reads the message of a PKIOperation sent by GET. RFC 8894 §4.1
// wants base64, percent-encoded; what arrives is also:
//
//   - line breaks every 64 columns, with '/' and '=' raw (sscep, Cisco IOS);
//   - '+' and '/' raw (macOS, jscep), so that form decoding, which makes '+' a
//     space, must not happen, and a '+' that a middle box made a space anyway;
//   - the URL-safe alphabet (micromdm scepclient up to 2.3.0);
//   - no padding.
//
// It answers ErrNoMessage, ErrNotBase64 or ErrQueryBytes.
func DecodeQuery(rawQuery string) ([]byte, error) {
	if len(rawQuery) > MaxQueryBytes {
		return nil, ErrQueryBytes
	}
	raw, ok := parameter(rawQuery, "message")
	if !ok {
		return nil, ErrNoMessage
	}
	// PathUnescape is percent decoding without the rules of forms.
	text, err := url.PathUnescape(raw)
	if err != nil {
		return nil, ErrNotBase64
	}
	return decodeBase64(text)
}

// EncodeQuery gives the value of the message parameter for a GET, escaped so
// that no decoder can misread it.
func EncodeQuery(message []byte) string {
	return url.QueryEscape(base64.StdEncoding.EncodeToString(message))
}

// DecodeBody reads the message of a PKIOperation sent by POST: DER or BER as
// it should be, or base64 text as some send it. An empty body, which old macOS
// sends to some servers, is ErrNoMessage.
func DecodeBody(body []byte) ([]byte, error) {
	if len(body) == 0 {
		return nil, ErrNoMessage
	}
	if body[0] == 0x30 {
		return body, nil
	}
	return decodeBase64(string(body))
}

// parameter gives the undecoded value of the first parameter with that name.
func parameter(rawQuery, name string) (string, bool) {
	for pair := range strings.SplitSeq(rawQuery, "&") {
		if key, value, ok := strings.Cut(pair, "="); ok && strings.EqualFold(key, name) {
			return value, true
		}
	}
	return "", false
}

var (
	base64Breaks = strings.NewReplacer("\r", "", "\n", "", "\t", "")
	base64Forms  = strings.NewReplacer(" ", "+", "-", "+", "_", "/")
)

// decodeBase64 reads all the spellings of base64 at once. Both alphabets agree
// wherever they overlap, so mapping one onto the other loses nothing.
func decodeBase64(text string) ([]byte, error) {
	text = strings.TrimLeft(base64Breaks.Replace(text), " ") // DER begins with an M
	// Only a text that fills its last group of four can end in a '+'.
	if end := strings.TrimRight(text, " "); strings.HasSuffix(end, "=") || len(text)%4 != 0 {
		text = end
	}
	text = base64Forms.Replace(text)
	if text = strings.TrimRight(text, "="); text == "" {
		return nil, ErrNoMessage
	}
	message, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(message) == 0 || message[0] != 0x30 {
		return nil, ErrNotBase64
	}
	return message, nil
}
