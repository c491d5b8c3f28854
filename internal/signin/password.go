package signin

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"chancery/internal/ra"
	"chancery/internal/secret"
)

// Lengths of a password: characters at least, bytes at most.
const (
	MinPassword = 12
	MaxPassword = 1024
)

// cost is what one password check takes (RFC 9106).
type cost struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
}

// defaultCost takes about a tenth of a second of one core.
var defaultCost = cost{memory: 64 << 10, passes: 3, threads: 1}

const (
	saltBytes = 16
	hashBytes = 32
)

// common are passwords of sufficient length that are tried first. They are
// compared without regard to case and to digits and punctuation at the end.
var common = []string{
	"password", "passwordpassword", "adminpassword", "administrator", "adminadminadmin", "changeme", "changemechangeme", "changemenow",
	"letmein", "letmeinletmein", "letmeinplease", "welcome", "welcomewelcome", "qwertyuiop", "qwertyuiopasdf", "qwertzuiop",
	"asdfghjkl", "asdfghjklqwerty", "zxcvbnm", "iloveyou", "iloveyouforever", "trustno", "chancery", "chancerychancery", "chanceryadmin",
	"correcthorsebatterystaple", "mypassword", "mysecretpassword", "supersecret", "topsecret", "secretsecret", "defaultpassword", "temporary",
	"temporarypassword", "testtesttest", "testpassword", "abcdefghijkl", "abcdefghijklmnop", "abcabcabcabc", "certificate", "qazwsxedcrfv",
	"qwerty", "abc", "admin", "test", "secret", "",
}

// checkPassword refuses a password that is too short, too long or too easy to
// guess for somebody with this sign-in name.
func checkPassword(password secret.Text, name string) error {
	p := password.Reveal()
	bad := func(message, remedy string) error {
		return ra.Errorf(ra.Invalid, "%s", message).WithField("password").WithRemedy("%s", remedy)
	}
	switch {
	case utf8.RuneCountInString(p) < MinPassword:
		return bad(fmt.Sprintf("A password needs at least %d characters.", MinPassword), "Use a longer one: four random words are easy to remember.")
	case len(p) > MaxPassword:
		return bad(fmt.Sprintf("A password has at most %d bytes.", MaxPassword), "Use a shorter one.")
	case ra.Fold(p) == ra.Fold(name):
		return bad("The password is the same as the name.", "Use another one: four random words are easy to remember.")
	case slices.Contains(common, strings.TrimRight(ra.Fold(p), "0123456789!?.,;:-_+*#@$%&/() ")) || strings.Count(p, p[:1]) == len(p):
		return bad("This password is one of the first that are tried.", "Use another one: four random words are easy to remember.")
	}
	return nil
}

// hash checks a new password and gives its argon2id in PHC form.
func (s *Service) hash(ctx context.Context, password secret.Text, name string) (string, error) {
	if err := checkPassword(password, name); err != nil {
		return "", err
	}
	done, err := s.slot(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	return hashWith(s.passwordCost(), password), nil
}

func (s *Service) passwordCost() cost {
	if s.cost == (cost{}) {
		return defaultCost
	}
	return s.cost
}

func hashWith(c cost, password secret.Text) string {
	salt := make([]byte, saltBytes)
	rand.Read(salt)
	key := argon2.IDKey([]byte(password.Reveal()), salt, c.passes, c.memory, c.threads, hashBytes)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("%s%s$%s", c, b64.EncodeToString(salt), b64.EncodeToString(key))
}

// String is the beginning of the PHC form.
func (c cost) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$", argon2.Version, c.memory, c.passes, c.threads)
}

// verify tells whether a password belongs to a stored hash. Without a usable
// hash it computes one all the same, and the answer is no.
func (s *Service) verify(ctx context.Context, stored string, password secret.Text) (bool, error) {
	done, err := s.slot(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	text := password.Reveal()
	if len(text) > MaxPassword {
		text = ""
	}
	c, salt, key, ok := parseHash(stored)
	if !ok {
		c, salt, key = s.passwordCost(), make([]byte, saltBytes), make([]byte, hashBytes)
	}
	got := argon2.IDKey([]byte(text), salt, c.passes, c.memory, c.threads, uint32(len(key)))
	return subtle.ConstantTimeCompare(got, key) == 1 && ok, nil
}

// parseHash reads the PHC form within bounds that keep a check from taking
// more than the server has.
func parseHash(stored string) (c cost, salt, key []byte, ok bool) {
	parts := strings.Split(stored, "$")
	if len(parts) != 6 {
		return c, nil, nil, false
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.memory, &c.passes, &c.threads); n != 3 || err != nil {
		return c, nil, nil, false
	}
	var err1, err2 error
	salt, err1 = base64.RawStdEncoding.DecodeString(parts[4])
	key, err2 = base64.RawStdEncoding.DecodeString(parts[5])
	ok = err1 == nil && err2 == nil && strings.HasPrefix(stored, c.String()) &&
		c.memory >= 8 && c.memory <= 1<<20 && c.passes >= 1 && c.passes <= 16 && c.threads >= 1 && c.threads <= 16 &&
		len(salt) >= 8 && len(salt) <= 64 && len(key) >= 16 && len(key) <= 64
	return c, salt, key, ok
}

// outdated: made with another cost than that of today.
func (s *Service) outdated(stored string) bool {
	return !strings.HasPrefix(stored, s.passwordCost().String())
}

// slot waits until this goroutine may compute a hash: each takes a core and
// 64 MiB, so only a few run at a time. Call what it gives when done.
func (s *Service) slot(ctx context.Context) (func(), error) {
	s.once.Do(func() { s.slots = make(chan struct{}, min(4, runtime.GOMAXPROCS(0))) })
	patience, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		return func() { <-s.slots }, nil
	case <-patience.Done():
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return nil, ra.Errorf(ra.Busy, "Too many people sign in at this moment.").WithRemedy("Wait a few seconds and try again, or use a passkey.").WithRetry(5 * time.Second)
	}
}
