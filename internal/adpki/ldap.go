package adpki

import (
	"context"

	"chancery/internal/ldapdir"
)

// FromLDAP makes a Searcher of a connection to a domain controller.
func FromLDAP(c *ldapdir.Conn) Searcher { return ldapSearcher{c} }

type ldapSearcher struct{ conn *ldapdir.Conn }

var ldapScopes = map[Scope]int{Base: ldapdir.BaseOnly, One: ldapdir.OneLevel, Subtree: ldapdir.Subtree}

func (s ldapSearcher) Search(ctx context.Context, q Query) ([]Entry, error) {
	var list []Entry
	_, err := s.conn.Search(ctx, ldapdir.Query{
		Base: q.Base, Scope: ldapScopes[q.Scope], Filter: q.Filter, Attributes: q.Attributes, Security: q.Security, Limit: maxObjects,
	}, func(page []*ldapdir.Entry) error {
		for _, found := range page {
			e := Entry{DN: found.DN, Values: map[string][][]byte{}}
			for _, name := range q.Attributes {
				if values := found.All(name); len(values) > 0 {
					e.Values[name] = values
				}
			}
			list = append(list, e)
		}
		return nil
	})
	return list, err
}
