package console

import (
	"strings"

	"chancery/internal/ca"
	"chancery/internal/pass"
	"chancery/internal/ra"
)

// scepServerView is what the page of an authority says about its SCEP server.
type scepServerView struct {
	Address      string
	ByProxy      bool
	Out, Waiting int
	Capacity     int // 0: it makes no challenges one by one
	Compared     bool
	Changed      bool
	Shown        []pass.ShownCertificate
	Prints       string // of those that the server shows now, for the form
}

// scepServer tells about the SCEP server of an authority; nil for one that has
// none, or that cannot be opened.
func (v *visit) scepServer(a *ra.Authority) (*scepServerView, error) {
	o, err := v.Authorities.Reach(v.ctx(), a.ID)
	if err != nil {
		return nil, nil // its health says why
	}
	f, ok := o.Connector.(ca.Forwarder)
	if !ok {
		return nil, nil
	}
	d := &scepServerView{Address: f.SCEP().URL, ByProxy: f.SCEP().ByProxy}
	if s, ok := o.Connector.(ca.Slotted); ok {
		d.Capacity = s.SlotOrder().Slots
	}
	d.Out, d.Waiting, err = v.Authorities.Slots(a.ID).Out(v.ctx())
	return d, err
}

// compareAuthority asks the server for its certificates and shows them beside
// those that are kept.
func (v *visit) compareAuthority() error {
	a, err := v.loadAuthority()
	if err != nil {
		return err
	}
	list, changed, err := v.Passes.CompareCA(v.ctx(), v.actor, a.ID)
	return v.showAuthority(func(data *authorityView) {
		if err != nil || data.SCEP == nil {
			return
		}
		var prints []string
		for _, c := range list {
			if c.Shown {
				prints = append(prints, c.Fingerprint)
			}
		}
		data.SCEP.Compared, data.SCEP.Changed, data.SCEP.Shown, data.SCEP.Prints = true, changed, list, strings.Join(prints, " ")
	}, err)
}

// acceptAuthority keeps what a person has compared.
func (v *visit) acceptAuthority() error {
	a, err := v.loadAuthority()
	if err != nil {
		return err
	}
	posted, err := v.form()
	if err != nil {
		return err
	}
	if err := v.Passes.AcceptSeen(v.ctx(), v.actor, a.ID, strings.Fields(posted.Get("fingerprints"))); err != nil {
		return v.showAuthority(nil, err)
	}
	return v.done("/authorities/"+string(a.ID), "The certificates of the server are accepted.")
}
