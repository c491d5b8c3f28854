package secret

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestTextRevealsWhatItKeeps(t *testing.T) {
	if got := New(plain).Reveal(); got != plain {
		t.Errorf("got %q, want %q", got, plain)
	}
	var zero Text
	if zero.IsSet() || zero.Reveal() != "" || New("").IsSet() || !New("x").IsSet() {
		t.Error("only a non-empty value counts as set")
	}
}

func TestBytesAreCopiedInAndOut(t *testing.T) {
	in := []byte(plain)
	b := NewBytes(in)
	in[0] = 'X'
	b.Reveal()[1] = 'X'
	if got := string(b.Reveal()); got != plain {
		t.Errorf("got %q, want %q", got, plain)
	}
	if NewBytes(nil).IsSet() || NewBytes(nil).Reveal() != nil {
		t.Error("no bytes count as unset")
	}
}

func TestEqual(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"", "", true}, {"a", "a", true}, {"a", "b", false}, {"a", "aa", false}, {"", "a", false},
	} {
		if got := New(c.a).Equal(New(c.b)); got != c.want {
			t.Errorf("Text %q and %q: got %v, want %v", c.a, c.b, got, c.want)
		}
		if got := NewBytes([]byte(c.a)).Equal(NewBytes([]byte(c.b))); got != c.want {
			t.Errorf("Bytes %q and %q: got %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

func TestJSONDoesNotFillASecret(t *testing.T) {
	// The mask read back must never become the value.
	var v struct{ T Text }
	if err := json.Unmarshal([]byte(`{"T":"[secret]"}`), &v); err == nil || v.T.IsSet() {
		t.Errorf("got error %v and set %v, want a refusal", err, v.T.IsSet())
	}
}

func TestTokenShape(t *testing.T) {
	for _, c := range []struct{ bits, want int }{{1, 1}, {5, 1}, {6, 2}, {64, 11}, {128, 22}, {256, 43}} {
		got := Token("chy_", c.bits).Reveal()
		body, ok := strings.CutPrefix(got, "chy_")
		if !ok || len(body) != c.want {
			t.Errorf("%d bits: got %d characters after the prefix, want %d", c.bits, len(body), c.want)
		}
		if i := strings.IndexFunc(body, func(r rune) bool { return !strings.ContainsRune(alphabet, r) }); i >= 0 {
			t.Errorf("%d bits: character %q is outside the alphabet", c.bits, body[i])
		}
	}
	if Token("", 128).Equal(Token("", 128)) {
		t.Error("two tokens are the same")
	}
}

func TestTokenIsUnbiased(t *testing.T) {
	// 62,000 characters, 1,000 expected of each, with a standard deviation of 31.
	// Bytes taken modulo 62 would give each of the first eight letters 1,211.
	count := map[rune]int{}
	for _, r := range Token("", 62_000*6).Reveal()[:62_000] {
		count[r]++
	}
	const want = 1_000
	for _, r := range alphabet {
		if d := count[r] - want; d < -200 || d > 200 {
			t.Errorf("%q appears %d times, want about %d", r, count[r], want)
		}
	}
}

func TestTokenRefusesNoBits(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Token with 0 bits did not panic")
		}
	}()
	Token("", 0)
}

func TestHash(t *testing.T) {
	a := Hash("challenge", New(plain))
	if len(a) != 64 || strings.ToLower(a) != a || leaks(a) {
		t.Errorf("got %s, want 64 lower-case hex digits", a)
	}
	if a != Hash("challenge", New(plain)) {
		t.Error("the same token hashed differently")
	}
	if a == Hash("api", New(plain)) || Hash("ab", New("c")) == Hash("a", New("bc")) {
		t.Error("labels do not separate")
	}
}
