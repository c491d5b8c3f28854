package seal

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// The master key file is text, four lines after the comments and no others:
//
//	# comments
//	chancery-master-key v1
//	key-id 1f2e3d4c
//	keyset {"primaryKeyId": ...}
//	sha256 <hex of everything above this line>
//
// The keyset is Tink's JSON form, in clear: the file is the master key. The
// sum finds a damaged file before a damaged key seals anything.
const (
	formatLine  = "chancery-master-key v1"
	maxFileSize = 64 << 10
	comment     = `# Chancery master key. Whoever reads this file can open every sealed secret,
# and without it no sealed secret opens again. Keep a copy in a safe place,
# apart from the backups of the database.
`
)

func newKeyset() (*keyset.Handle, error) { return keyset.NewHandle(aead.AES256GCMKeyTemplate()) }

// appendFile gives the text of the master key file for a keyset.
func appendFile(h *keyset.Handle) ([]byte, error) {
	var json bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&json)); err != nil {
		return nil, err
	}
	first, err := h.Primary()
	if err != nil {
		return nil, err
	}
	body := fmt.Sprintf("%s%s\nkey-id %08x\nkeyset %s\n", comment, formatLine, first.KeyID(), json.Bytes())
	sum := sha256.Sum256([]byte(body))
	return fmt.Appendf(nil, "%ssha256 %x\n", body, sum), nil
}

// parseFile reads the text of a master key file. Its errors hold no bytes of
// the file; those of the JSON reader would, so they are dropped.
func parseFile(text []byte) (*Box, error) {
	if len(text) > maxFileSize {
		return nil, errors.New("the file is too long")
	}
	end := bytes.LastIndex(text, []byte("\nsha256 "))
	if end < 0 {
		return nil, errors.New("the last line, the checksum, is missing")
	}
	body, last := text[:end+1], string(text[end+1:])
	want := sha256.Sum256(body)
	if subtle.ConstantTimeCompare([]byte(last), []byte("sha256 "+hex.EncodeToString(want[:])+"\n")) != 1 {
		return nil, errors.New("the checksum does not match")
	}
	var lines []string
	for line := range strings.Lines(string(body)) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	if len(lines) == 0 || lines[0] != formatLine {
		return nil, errors.New("the format is not one this version knows")
	}
	if len(lines) != 3 {
		return nil, errors.New("the number of lines is wrong")
	}
	id, ok1 := strings.CutPrefix(lines[1], "key-id ")
	json, ok2 := strings.CutPrefix(lines[2], "keyset ")
	if !ok1 || !ok2 {
		return nil, errors.New("a line has the wrong name")
	}
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(strings.NewReader(json)))
	if err != nil {
		return nil, errors.New("the keyset cannot be read")
	}
	b, err := newBox(h)
	if err != nil {
		return nil, errors.New("the keyset holds something other than AES-256-GCM keys with one of them primary")
	}
	if id != b.KeyID() {
		return nil, errors.New("the key-id is not that of the primary key")
	}
	return b, nil
}

// tempName is the name a new file has until it is complete.
func tempName(path string) string { return path + ".new-" + strings.ToLower(rand.Text()[:10]) }
