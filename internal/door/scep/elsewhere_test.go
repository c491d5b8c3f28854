package scep_test

import (
	"testing"

	"chancery/internal/ca/scripted"
	"chancery/internal/ra"
	"chancery/internal/testpeer"
	"chancery/internal/wire/scepmsg"
)

// TestElsewhere: the door stands in front of an authority elsewhere. Devices
// speak to an RA certificate of this house, get certificates of that authority,
// and renew them here.
func TestElsewhere(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		outside := w.newAuthority("scripted", scripted.SettingsJSON)
		template := w.template(func(x *ra.Template) { x.AuthorityID = outside.ID })
		d := w.device()
		if few := w.client(t, w.endpoint("few", template, nil), d, keys[0]()).ras; len(few) != 3 {
			t.Errorf("GetCACert gives %d certificates, want the RA's and the two above it", len(few))
		}
		e := w.endpoint("door", template, settings{"issuers_too": true})
		c := w.client(t, e, d, keys[0]())
		house, theirs := must(w.auth.Chain(t.Context(), w.authority.ID))(t), must(w.auth.Chain(t.Context(), outside.ID))(t)
		if len(c.ras) != 1+len(theirs)+len(house) || len(theirs) == 0 {
			t.Fatalf("GetCACert gives %d certificates, want the RA's, %d of the authority and %d above the RA's", len(c.ras), len(theirs), len(house))
		}
		if front := parsed(t, c.ras[0]); front.CheckSignatureFrom(house[0]) != nil {
			t.Errorf("the RA certificate was issued by %s", front.Issuer)
		}
		if !parsed(t, c.ras[1]).Equal(house[0]) || !parsed(t, c.ras[1+len(house)]).Equal(theirs[0]) {
			t.Error("what is above the RA certificate and the issuing certificate do not follow it in this order")
		}
		c.challenge = w.challenge(e, d)
		leaf := c.mustEnrol(t)
		if err := parsed(t, leaf).CheckSignatureFrom(theirs[0]); err != nil {
			t.Errorf("issued by somebody else: %v", err)
		}
		c.cert, c.challenge = leaf, ""
		renewed := c.send(t, c.renewal(t, scepmsg.RenewalReq, keys[1]())).granted(t)
		if row := w.row(renewed); row.Renews != w.row(leaf).ID || row.AuthorityID != outside.ID {
			t.Errorf("renewed as %+v", row)
		}
		if n := w.scripted.Total(); n != 2 {
			t.Errorf("the authority issued %d certificates, want 2: no RA certificate", n)
		}
	})
}
