package doctor

import (
	"errors"
	"fmt"
	"time"

	"chancery/internal/ca"
	"chancery/internal/lifecycle"
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
		file := c.IssuerHash[:16] + ".crl"
		if c.Name != "" {
			file = c.IssuerHash[:16] + "-" + c.Name + ".crl"
		}
		switch {
		case !seen || c.Number == 0: // not made yet: nobody has asked for it
		case c.NextUpdate.After(x.Now()):
			if current++; current == 1 {
				first = c.NextUpdate
			}
		default:
			sound = false
			x.add(Finding{Name: name, State: ca.StepFailed, Object: string(c.AuthorityID),
				Detail: fmt.Sprintf("%s of %s, number %d, is past its next update of %s: relying parties may refuse everything it issued.", file, of, c.Number, moment(c.NextUpdate)),
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

// capacity looks at what the coming weeks ask of the authorities, and at those
// that do not answer.
func (x *examination) capacity(list []*ra.Authority) {
	const name = "capacity"
	sound := true
	for _, a := range list {
		var down *store.Outage
		err := x.DB.Read(x.ctx, func(tx *store.Tx) (err error) {
			down, err = tx.Outage(a.ID)
			return err
		})
		f, err2 := x.Lifecycle.Forecast(x.ctx, x.actor, a.ID)
		if k := ra.KindOf(err2); k == ra.Denied || k == ra.NotFound {
			err2 = nil // an authority lent from above: what others ask of it is theirs
		}
		if err := errors.Join(err, err2); err != nil {
			sound = false
			x.broken(name, string(a.ID), err)
			continue
		}
		if down != nil {
			sound = false
			x.add(Finding{Name: name, State: ca.StepFailed, Object: string(a.ID), Detail: fmt.Sprintf("%s does not answer since %s: %s", a.Name, moment(down.Since), down.LastError),
				Remedy: "Test it: each step says what to do. What waits is done by itself once it answers, what ends first before the rest."})
		}
		if f.Missed > 0 {
			sound = false
			message, remedy := f.Shortage(a.Name)
			x.add(Finding{Name: name, State: ca.StepFailed, Object: string(a.ID), Detail: message, Remedy: remedy})
		}
	}
	if sound {
		x.say(name, ca.StepOK, fmt.Sprintf("Every authority answers and can do what falls due in the next %d days.", lifecycle.ForecastDays), "")
	}
}
