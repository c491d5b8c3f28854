package app

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
)

// TestLogLinesAreWhole: whatever a device puts into its names, one event is one
// line, and nothing in it reaches a terminal as a command.
func TestLogLinesAreWhole(t *testing.T) {
	for format, line := range map[string]*regexp.Regexp{
		"text": regexp.MustCompile(`^time=\S+ level=WARN msg=("[^"]*(\\.[^"]*)*"|\S+) name="`),
		"json": regexp.MustCompile(`^\{"time":"[^"]+","level":"WARN",`),
	} {
		for _, evil := range []string{"a\ntime=2026-01-01T00:00:00Z level=ERROR msg=forged", "a\r\nb", "\x1b[2J\x1b]0;title\x07", "a\u2028b\u2029c", "a\x00b", "\"} {\"level\":\"ERROR\"", "a\u202eb", "=\"x\" admin=true"} {
			var out bytes.Buffer
			(&Config{LogFormat: format}).logger(&out).Warn("refused "+evil, "name", evil, "error", errors.New(evil), "list", []string{evil}, evil, "x")
			text, ended := strings.CutSuffix(out.String(), "\n")
			if !ended || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }) {
				t.Errorf("%s: %q makes %q", format, evil, out.String())
			}
			if !line.MatchString(text) {
				t.Errorf("%s: %q makes the line %q", format, evil, text)
			}
			if format == "json" && !json.Valid([]byte(text)) {
				t.Errorf("%q makes no JSON: %q", evil, text)
			}
		}
	}
}

// lockedLog is a log that servers write while a test reads.
type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestServerErrorsAreEvents: what the HTTP server itself has to say about what
// strangers send goes through the log as well, and not past it.
func TestServerErrorsAreEvents(t *testing.T) {
	cfg := withTLS(t)
	tlsFiles(t, &cfg, time.Now().Add(-time.Hour))
	log := &lockedLog{}
	cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	a, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close(t.Context())
	conn, err := net.Dial("tcp", a.Config.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// A probe: it sends what a forger of log lines would, and trusts nobody.
	hello := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: "x", NextProtos: []string{"a\nlevel=ERROR msg=forged"}})
	if err := hello.Handshake(); err == nil {
		_, _ = io.WriteString(hello, "x") // whether it arrives does not matter, only what is logged
	}
	for end := time.Now().Add(20 * time.Second); !strings.Contains(log.String(), "TLS handshake error"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the log does not tell of the handshake:\n%s", log)
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(log.String()), "\n") {
		if !strings.HasPrefix(line, "time=") || strings.Contains(line, "handshake") && !strings.Contains(line, "level=WARN") {
			t.Errorf("a line that is no event: %q", line)
		}
	}
}
