package dirpolicy

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/setting"
)

// describeKeys names the settings of keys made here.
func (s *Settings) describeKeys(f *setting.Form) {
	f.Section("Private keys", "Templates may have keys that are made here written to their users' entries, with their certificates and chains.")
	f.Secret(&s.KeyPassword, "key_password", "Password of keys").Check(checkKeyPassword).Advanced().
		Help("Each key is written as a PKCS #12 under this password: at least 20 characters, best made by a program (openssl rand -base64 24). Without it no key is written. " +
			"Active Directory lets every user read the attribute unless it is made confidential there. A new password counts for the keys written from then on.")
	f.Text(&s.KeyAttribute, "key_attribute", "Attribute of keys").Default("userPKCS12").Check(checkAttribute).Advanced().
		Help("userPKCS12 of RFC 2798, or another attribute of users that has many values of octets. The login needs the right to write it. " +
			"A successor takes the place of its predecessor, and what others wrote there stays. Revocation leaves a key there, because mail encrypted for it must stay readable, unless the template says otherwise.")
}

func checkKeyPassword(s secret.Text) error {
	text := s.Reveal()
	if n := utf8.RuneCountInString(text); n < 20 || n > 128 {
		return ra.Errorf(ra.Invalid, "The password of keys must have 20 to 128 characters.").WithRemedy("Have one made: openssl rand -base64 24.")
	}
	if strings.ContainsFunc(text, func(c rune) bool { return c > 0xffff || c < 0x20 || c == utf8.RuneError }) {
		return ra.Errorf(ra.Invalid, "The password of keys holds a character that a PKCS #12 cannot have.").WithRemedy("Use letters, digits and ordinary signs.")
	}
	return nil
}

var attributeName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,63}$`)

func checkAttribute(name string) error {
	if !attributeName.MatchString(name) {
		return ra.Errorf(ra.Invalid, "%.80q is not the name of an attribute.", name).WithRemedy("Write it as userPKCS12.")
	}
	return nil
}
