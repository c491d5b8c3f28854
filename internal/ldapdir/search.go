package ldapdir

import (
	"context"
	"errors"

	"github.com/go-ldap/ldap/v3"

	"chancery/internal/ra"
)

// Where a search looks (RFC 4511 §4.5.1.2).
const (
	BaseOnly = ldap.ScopeBaseObject
	OneLevel = ldap.ScopeSingleLevel
	Subtree  = ldap.ScopeWholeSubtree
)

// Query is one search.
type Query struct {
	Base       string
	Scope      int // BaseOnly, OneLevel or Subtree
	Filter     string
	Attributes []string // none: all; "1.1": none
	Security   bool     // nTSecurityDescriptor as far as it may be read: owner, group and access list (MS-ADTS 3.1.1.3.4.1.11)
	Limit      int      // entries; more are TooLarge; 0: 1,000,000
}

// The size of a page, below the 1000 that Active Directory allows unless told
// otherwise, and how many entries a search gives where nobody said.
const (
	pageSize  = 500
	mostFound = 1_000_000
)

// Search gives what a query finds, page by page. An error of page ends the
// search and is given as it is. What the server knows to be elsewhere comes
// back as addresses, in no order; nobody asked there. Errors: NotFound without
// the base, Denied without the right to read it, Unreachable.
func (c *Conn) Search(ctx context.Context, q Query, page func([]*Entry) error) (elsewhere []string, err error) {
	defer c.until(ctx)()
	if q.Limit == 0 {
		q.Limit = mostFound
	}
	paging := ldap.NewControlPaging(pageSize)
	controls := []ldap.Control{paging}
	if q.Security {
		controls = append(controls, &ldap.ControlMicrosoftSDFlags{Criticality: true, ControlValue: 7})
	}
	found := 0
	for {
		res, err := c.ldap.Search(ldap.NewSearchRequest(q.Base, q.Scope, ldap.NeverDerefAliases, 0, 0, false, q.Filter, q.Attributes, controls))
		if err != nil {
			return nil, c.searchError(q.Base, err)
		}
		elsewhere = append(elsewhere, res.Referrals...)
		if found += len(res.Entries); found > q.Limit {
			return nil, ra.Errorf(ra.TooLarge, "The directory has more than %d entries to give.", q.Limit).WithRemedy("Narrow the search: a base further down, or a filter.")
		}
		entries := make([]*Entry, len(res.Entries))
		for i, e := range res.Entries {
			if entries[i], err = newEntry(e); err != nil {
				return nil, err
			}
		}
		if len(entries) > 0 {
			if err := page(entries); err != nil {
				return nil, err
			}
		}
		next, ok := ldap.FindControl(res.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if !ok || len(next.Cookie) == 0 {
			return elsewhere, nil
		}
		paging.SetCookie(next.Cookie)
	}
}

// Read gives one entry by its name. Active Directory also takes <GUID=...> with
// the digits of GUID. A missing one is NotFound.
func (c *Conn) Read(ctx context.Context, dn string, attributes ...string) (*Entry, error) {
	var found *Entry
	_, err := c.Search(ctx, Query{Base: dn, Scope: BaseOnly, Filter: "(objectClass=*)", Attributes: attributes}, func(page []*Entry) error {
		found = page[0]
		return nil
	})
	if err == nil && found == nil {
		err = notThere(dn, errors.New("no entry"))
	}
	return found, err
}
