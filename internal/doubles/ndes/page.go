package ndes

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// passwords are the challenges that work now.
type passwords struct {
	out    []password // oldest first
	single string     // the one of UseSinglePassword
}

type password struct {
	text    string
	expires time.Time
}

func newPasswords(cfg Config) passwords {
	if cfg.SinglePassword {
		return passwords{single: freshPassword(cfg.PasswordLength)}
	}
	return passwords{}
}

// freshPassword makes one of n octets, as hex digits.
func freshPassword(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return fmt.Sprintf("%X", b)
}

// prune forgets what has expired. The caller holds the lock.
func (s *Server) prune() {
	now := s.cfg.Now()
	live := s.passwords.out[:0]
	for _, p := range s.passwords.out {
		if now.Before(p.expires) {
			live = append(live, p)
		} else {
			s.counts.Burnt++
		}
	}
	s.passwords.out = live
}

// redeem takes a challenge out of the cache and tells whether it was there. The
// caller holds the lock.
func (s *Server) redeem(text string) bool {
	if s.passwords.single != "" {
		return subtle.ConstantTimeCompare([]byte(text), []byte(s.passwords.single)) == 1
	}
	s.prune()
	for i, p := range s.passwords.out {
		if subtle.ConstantTimeCompare([]byte(text), []byte(p.text)) == 1 {
			s.passwords.out = append(s.passwords.out[:i], s.passwords.out[i+1:]...)
			s.counts.Used++
			return true
		}
	}
	return false
}

// challengePage makes a challenge, where one may be made, and the page that
// tells it.
func (s *Server) challengePage(account *Account) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Pages++
	text := s.text()
	switch {
	case account.NoEnroll:
		return s.page(text.denied)
	case s.cfg.NoTemplate:
		return s.page(text.noTemplate)
	case s.cfg.NoPassword:
		return s.page(text.intro, s.thumbprint(text))
	case s.passwords.single != "":
		return s.page(text.intro, s.thumbprint(text), labelled(text.password, s.passwords.single), text.forEver)
	}
	s.prune()
	if len(s.passwords.out) >= s.cfg.PasswordMax {
		s.counts.CacheFull++
		return s.page(text.full)
	}
	fresh := password{freshPassword(s.cfg.PasswordLength), s.cfg.Now().Add(s.cfg.PasswordValidity)}
	s.passwords.out = append(s.passwords.out, fresh)
	s.counts.Minted++
	return s.page(text.intro, s.thumbprint(text), labelled(text.password, fresh.text),
		fmt.Sprintf(text.expires, int(s.cfg.PasswordValidity/time.Minute)))
}

func (s *Server) thumbprint(t text) string {
	h := s.cfg.Thumbprint.New()
	h.Write(s.ca.issuer.cert.Raw)
	digits := fmt.Sprintf("%X", h.Sum(nil))
	var groups []string
	for ; digits != ""; digits = digits[8:] {
		groups = append(groups, digits[:8])
	}
	return labelled(t.thumbprint, strings.Join(groups, " "))
}

func labelled(label, value string) string { return label + " <B> " + value + " </B>" }

// page is one of Windows's own pages. Its meta tag says UTF-8, whatever it is
// sent in, and its media type says nothing.
func (s *Server) page(paragraphs ...string) answer {
	page := "<HTML>\r\n<HEAD>\r\n<META HTTP-EQUIV=\"Content-Type\" CONTENT=\"text/html; charset=UTF-8\">\r\n<TITLE>" + s.text().title +
		"</TITLE>\r\n</HEAD>\r\n<BODY>\r\n<H1>" + s.text().title + "</H1>\r\n"
	for _, p := range paragraphs {
		page += "<P> " + p + " </P>\r\n"
	}
	body, err := s.cfg.Charset.encode(page+"</BODY>\r\n</HTML>\r\n", s.cfg.BOM)
	if err != nil {
		return errorPage(http.StatusInternalServerError, err.Error()) // cannot be: New asked
	}
	return answer{status: http.StatusOK, media: "text/html", body: body}
}

func (s *Server) text() text { return texts[s.cfg.Language] }
