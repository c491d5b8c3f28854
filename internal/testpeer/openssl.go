package testpeer

import (
	"strings"
	"testing"
	"time"
)

// OpenSSL runs the openssl command in dir with stdin as its input and gives its
// standard output. The error holds what it said otherwise; a test that expects
// a refusal looks at it. An empty dir is a temporary one.
func OpenSSL(t testing.TB, dir string, stdin []byte, args ...string) ([]byte, error) {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	c := command{path: program(t, "openssl"), args: args, dir: dir, stdin: stdin, timeout: time.Minute}
	out, errs, err := c.run()
	return out, withOutput(err, strings.TrimSpace(string(errs)))
}
