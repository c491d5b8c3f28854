package authority

import (
	"slices"

	"chancery/internal/access"
	"chancery/internal/ca"
	"chancery/internal/ra"
)

// checkHost reports with a Denied error when settings name something of this
// machine (ca.Hosted) that the old ones, nil for none, do not, and the actor is
// not trusted with the whole installation. Otherwise the owner of one group
// could sign with a key file of another, or have a library of their choice
// loaded.
func checkHost(actor ra.Actor, old, next ca.Settings) error {
	h, ok := next.(ca.Hosted)
	if !ok {
		return nil
	}
	var known []string
	if o, ok := old.(ca.Hosted); ok {
		known = o.HostParts()
	}
	for _, part := range h.HostParts() {
		if slices.Contains(known, part) {
			continue
		}
		if err := access.Check(actor, access.EditAuthorities, ""); err != nil {
			return ra.Errorf(ra.Denied, "%s may not name keys of this machine.", actor.Name).WithField("settings").
				WithRemedy("Leave the key sealed in the database, or ask an owner of the whole installation to set the address of the key.").WithCause(err)
		}
	}
	return nil
}
