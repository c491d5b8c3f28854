package enroll

import (
	"slices"
	"strings"

	"chancery/internal/access"
	"chancery/internal/ra"
	"chancery/internal/sceppolicy"
	"chancery/internal/store"
)

// Place is a SCEP address as the door serves it: everything that is set about
// it, to be read only.
type Place struct {
	Endpoint *ra.Endpoint
	Settings *sceppolicy.Endpoint
	Template *ra.Template
	// RA is the authority whose RA certificate devices encrypt to and the door
	// answers with. It is the template's own, or stands in front of one that is
	// elsewhere and issues what its own doors need only to itself.
	RA ra.AuthorityID
}

// raOf finds the authority that issues the RA certificate of an endpoint: the
// one that was chosen, the template's own where its key is here, else the
// nearest one of this house, in the endpoint's group or above it, the oldest
// first.
func (s *Service) raOf(tx *store.Tx, e *ra.Endpoint, chosen, issuing ra.AuthorityID) (ra.AuthorityID, error) {
	if chosen != "" {
		return chosen, nil
	}
	a, err := tx.Authority(issuing)
	if err != nil {
		return "", err
	}
	if s.ofHouse(a) {
		return a.ID, nil
	}
	home, err := tx.Group(e.GroupID)
	if err != nil {
		return "", err
	}
	all, err := tx.AllAuthorities()
	if err != nil {
		return "", err
	}
	all = slices.DeleteFunc(all, func(a *ra.Authority) bool { return a.Disabled || !s.ofHouse(a) })
	above := strings.Split(strings.Trim(home.Path, "/"), "/")
	for _, group := range slices.Backward(above) {
		for _, a := range all {
			if string(a.GroupID) == group {
				return a.ID, nil
			}
		}
	}
	return "", ra.Errorf(ra.Conflict, "The authority %q is elsewhere, and nothing here can issue the RA certificate that devices encrypt to.", a.Name).WithField("settings.ra_authority").
		WithRemedy("Create an embedded authority in the endpoint's group or above it; it signs nothing but the RA certificate.")
}

// ofHouse: its key is here.
func (s *Service) ofHouse(a *ra.Authority) bool {
	kind, err := s.Authorities.Kind(a.Kind)
	return err == nil && kind.Traits.House
}

// checkRA wants the authority of the RA certificate to be one of this house that
// the actor may use, and there to be one.
func (s *Service) checkRA(tx *store.Tx, actor ra.Actor, e *ra.Endpoint, settings *sceppolicy.Endpoint, issuing ra.AuthorityID) error {
	if settings.RAAuthority == "" {
		_, err := s.raOf(tx, e, "", issuing)
		return err
	}
	unusable := ra.Errorf(ra.Invalid, "There is no embedded authority %.60q to issue the RA certificate.", settings.RAAuthority).WithField("settings.ra_authority").
		WithRemedy("Give the ID of an embedded authority, or leave it empty.")
	a, err := tx.Authority(ra.AuthorityID(settings.RAAuthority))
	if ra.KindOf(err) == ra.NotFound {
		return unusable
	} else if err != nil {
		return err
	}
	if access.CheckLent(tx, actor, a.GroupID) != nil || !s.ofHouse(a) {
		return unusable
	}
	return nil
}
