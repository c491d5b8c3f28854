package doctor

import (
	"fmt"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/sceppolicy"
	"chancery/internal/setting"
	"chancery/internal/store"
)

// revocationLists looks at the CRLs published from here.
func (x *examination) revocationLists(list []*ra.Authority) {
	const name = "revocation lists"
	var all []store.CRL
	if err := x.DB.Read(x.ctx, func(tx *store.Tx) (err error) {
		all, err = tx.AllCRLs()
		return err
	}); err != nil {
		x.broken(name, "", err)
		return
	}
	names := map[ra.AuthorityID]string{}
	for _, a := range list {
		names[a.ID] = a.Name
	}
	current, first, sound := 0, time.Time{}, true
	for _, c := range all {
		of, seen := names[c.AuthorityID]
		switch {
		case !seen:
		case c.NextUpdate.After(x.Now()):
			if current++; current == 1 {
				first = c.NextUpdate
			}
		default:
			sound = false
			x.add(Finding{Name: name, State: ca.StepFailed, Object: string(c.AuthorityID),
				Detail: fmt.Sprintf("The one of %s, number %d, is past its next update of %s: relying parties may refuse everything it issued.", of, c.Number, moment(c.NextUpdate)),
				Remedy: "The running server publishes it; look in its log for why it could not."})
		}
	}
	switch {
	case !sound:
	case current == 0:
		x.say(name, ca.StepOK, "None is published from here.", "")
	default:
		x.say(name, ca.StepOK, fmt.Sprintf("%d current, the next one is due before %s.", current, moment(first)), "")
	}
}

// signingSoon is how near the end of a signing certificate is a finding.
const signingSoon = 90 * 24 * time.Hour

func (x *examination) signingCertificates(list []*ra.Authority) {
	const name = "signing certificates"
	sound := true
	for _, a := range list {
		chain, err := x.Authorities.Chain(x.ctx, a.ID)
		if err != nil {
			sound = false
			x.broken(name, string(a.ID), err)
			continue
		}
		if len(chain) == 0 || chain[0].NotAfter.After(x.Now().Add(signingSoon)) {
			continue
		}
		sound = false
		f := Finding{Name: name, State: ca.StepWarning, Object: string(a.ID), Detail: fmt.Sprintf("The one of %s ends on %s.", a.Name, moment(chain[0].NotAfter)),
			Remedy: "Have it renewed before: everything it signed ends with it."}
		if !chain[0].NotAfter.After(x.Now()) {
			f.State, f.Detail, f.Remedy = ca.StepFailed, fmt.Sprintf("The one of %s ended on %s.", a.Name, moment(chain[0].NotAfter)), "Have it renewed: nothing it signed is accepted any more."
		}
		x.add(f)
	}
	if sound {
		x.say(name, ca.StepOK, "None ends soon.", "")
	}
}

// ownCertificates looks at what the server issues to itself. It renews them
// when two thirds of their life are over; with a sixth left, it could not.
func (x *examination) ownCertificates(list []*ra.Authority) {
	const name = "own certificates"
	sound := true
	for _, a := range list {
		for _, purpose := range []ra.Purpose{ra.PurposeSCEPRA, ra.PurposeOCSP} {
			var own []*ra.Certificate
			if err := x.DB.Read(x.ctx, func(tx *store.Tx) (err error) {
				own, err = tx.OwnCertificates(a.ID, purpose)
				return err
			}); err != nil {
				sound = false
				x.broken(name, string(a.ID), err)
				continue
			}
			if len(own) == 0 || own[0].NotAfter.Sub(x.Now()) > own[0].Lifetime()/6 {
				continue
			}
			sound = false
			x.add(Finding{Name: name, State: ca.StepWarning, Object: string(own[0].ID),
				Detail: fmt.Sprintf("The certificate of %s for %s ends on %s and was not renewed.", a.Name, purpose, moment(own[0].NotAfter)),
				Remedy: "Test the authority; the server renews its own certificates by itself when that works."})
		}
	}
	if sound {
		x.say(name, ca.StepOK, "None is overdue for renewal.", "")
	}
}

// endpoints tells of the open SCEP addresses that are weak on purpose.
func (x *examination) endpoints() {
	const name = "SCEP endpoints"
	list, err := every(func(p store.Page) ([]*ra.Endpoint, string, error) {
		return x.Enroll.FindEndpoints(x.ctx, x.actor, store.EndpointFilter{Page: p})
	})
	if err != nil {
		x.broken(name, "", err)
		return
	}
	sound := true
	for _, e := range list {
		if e.Disabled {
			continue
		}
		v := &sceppolicy.Endpoint{}
		setting.Defaults(v)
		if err := setting.Load(v, e.Settings); err != nil {
			sound = false
			x.broken(name, string(e.ID), err)
			continue
		}
		for _, f := range v.Findings(e.Name, x.Now()) {
			sound = false
			x.add(Finding{Name: name, State: ca.StepWarning, Detail: f.Message, Remedy: f.Remedy, Object: string(e.ID)})
		}
	}
	if sound {
		x.say(name, ca.StepOK, "None accepts weak algorithms or a shared challenge.", "")
	}
}

func (x *examination) obligations() {
	late, next, err := x.Lifecycle.FindObligations(x.ctx, x.actor, store.ObligationFilter{LateOnly: true, Page: store.Page{Limit: 100}})
	switch {
	case err != nil:
		x.broken(Obligations, "", err)
	case len(late) > 0:
		x.say(Obligations, ca.StepFailed, fmt.Sprintf("%s, first: %s %s.", number(len(late), next, "thing is past its deadline", "things are past their deadlines"), late[0].Kind, late[0].ID),
			"Look at chancery obligation list --late; each says why it did not go on.")
	default:
		x.say(Obligations, ca.StepOK, "Nothing is late.", "")
	}
}
