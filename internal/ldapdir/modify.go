package ldapdir

import (
	"context"

	"github.com/go-ldap/ldap/v3"
)

// AddValue adds one value to an attribute of many. One that is there already is
// fine. Errors: NotFound without the entry, Denied without the right to write.
func (c *Conn) AddValue(ctx context.Context, dn, attribute string, value []byte) error {
	r := ldap.NewModifyRequest(dn, nil)
	r.Add(attribute, []string{string(value)})
	return c.modify(ctx, r, attribute, ldap.LDAPResultAttributeOrValueExists)
}

// RemoveValue removes one value from an attribute of many. One that is not there
// is fine.
func (c *Conn) RemoveValue(ctx context.Context, dn, attribute string, value []byte) error {
	r := ldap.NewModifyRequest(dn, nil)
	r.Delete(attribute, []string{string(value)})
	return c.modify(ctx, r, attribute, ldap.LDAPResultNoSuchAttribute)
}

func (c *Conn) modify(ctx context.Context, r *ldap.ModifyRequest, attribute string, done uint16) error {
	defer c.until(ctx)()
	err := c.ldap.Modify(r)
	if ldap.IsErrorWithCode(err, done) {
		return nil
	}
	return c.modifyError(r.DN, attribute, err)
}
