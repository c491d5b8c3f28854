package adcs

import (
	"slices"
	"strings"

	"chancery/internal/doubles/dcerpc"
)

func fold(s string) string { return strings.ToLower(s) }

func (a *Account) complete(c *Config) {
	orElse(&a.Name, a.User)
	orElse(&a.DN, "CN="+escapeDN(a.Name)+",CN=Users,DC="+strings.ReplaceAll(c.DNSDomain, ".", ",DC="))
	orElse(&a.Rights, Everybody)
}

// escapeDN quotes a value for the text of a distinguished name.
func escapeDN(s string) string {
	var b strings.Builder
	for i, r := range s {
		if strings.ContainsRune(`\,+"<>;=#`, r) || r == ' ' && (i == 0 || i == len(s)-1) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// account finds an account by its sAMAccountName; ca.mu is held.
func (ca *CA) account(user string) (Account, bool) {
	i, ok := ca.byName[fold(user)]
	if !ok {
		return Account{}, false
	}
	return ca.accounts[i], true
}

// logOn finds whom an NTLM client names: DOMAIN and user, or user@dns.domain.
func (ca *CA) logOn(user, domain string) (name, password string, ok bool) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if domain == "" {
		for _, a := range ca.accounts {
			if a.UPN != "" && strings.EqualFold(a.UPN, user) {
				return a.User, a.Password, true
			}
		}
		if before, after, at := strings.Cut(user, "@"); at {
			user, domain = before, after
		}
	}
	if domain != "" && !ca.ours(domain) {
		return "", "", false
	}
	a, ok := ca.account(user)
	return a.User, a.Password, ok
}

// ours tells whether a domain is ours, by either of its names.
func (ca *CA) ours(domain string) bool {
	return strings.EqualFold(domain, ca.cfg.Domain) || strings.EqualFold(domain, ca.cfg.DNSDomain)
}

// principal finds whom a Kerberos ticket is for.
func (ca *CA) principal(name, realm string) (string, bool) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	a, ok := ca.account(name)
	return a.User, ok && strings.EqualFold(realm, ca.cfg.DNSDomain)
}

// caller is the account of whoever makes a call, as it is now.
func (ca *CA) caller(c *dcerpc.Caller) (Account, bool) {
	if c == nil {
		return Account{}, false
	}
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return ca.account(c.User)
}

func (ca *CA) seen(c dcerpc.Caller) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.logons = append(ca.logons, c)
}

// Logons gives all logons so far, in order.
func (ca *CA) Logons() []dcerpc.Caller {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return slices.Clone(ca.logons)
}

// has tells whether the account has any of the rights.
func (a *Account) has(any Rights) bool { return a.Rights&NoRights == 0 && a.Rights&any != 0 }

// named finds the account of DOMAIN\user for a request on behalf of it.
func (ca *CA) named(name string) (Account, uint32) {
	domain, user, ok := strings.Cut(name, `\`)
	if !ok {
		return Account{}, noneMapped
	}
	if !strings.EqualFold(domain, ca.cfg.Domain) {
		return Account{}, noSuchDomain
	}
	a, ok := ca.account(user)
	switch {
	case !ok:
		return a, noSuchUser
	case a.Away && ca.cfg.EditFlags&EditReferrals == 0:
		return a, dsReferral
	}
	return a, 0
}
