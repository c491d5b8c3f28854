package app

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/api/resource"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/lifecycle"
	"chancery/internal/ra"
)

// adcsFaults are what can happen to a call. After some the CA has done what it was
// asked for.
var adcsFaults = map[string]struct {
	act  played.Act
	done bool
}{
	"cut before":    {played.CutBefore, false},
	"cut after":     {played.CutAfter, true},
	"half a PDU":    {played.HalfPDU, true},
	"wrong call id": {played.WrongCallID, true},
	"hangs":         {played.Hang, false},
}

// TestADCSLost: whatever is lost on the way, and at whatever step, there is one
// certificate in the end, and it is the first one that the CA made.
func TestADCSLost(t *testing.T) {
	t.Parallel()
	c := startCorp(t, played.Config{})
	for _, way := range []struct {
		name string
		op   played.Op
		more map[string]any
	}{
		{"dcom", played.Request, map[string]any{"protocols": []string{"dcom"}}},
		{"rpc", played.Passage, map[string]any{"protocols": []string{"rpc", "dcom"}}},
	} {
		a := c.authority(way.name, way.more)
		server, manual := c.template(a, "WebServer"), c.template(a, "Manual")
		for name, f := range adcsFaults {
			t.Run(name+" by "+way.name, func(t *testing.T) {
				there := c.at(t)
				if f.act == played.Hang {
					there.patience(a, "2s")
					defer there.patience(a, "30s")
				}
				there.loses(way.op, server, f.act, f.done)
				if way.op == played.Passage && f.act == played.Hang {
					return // it takes long, and is the same for what follows
				}
				there.losesWhilePending(way.op, manual, f.act)
				if way.op == played.Request { // revocation goes by DCOM always
					there.losesRevocation(server, f.act, f.done)
				}
			})
		}
	}
}

// at is the same for another test.
func (c *corp) at(t *testing.T) *corp {
	world, there := *c.site, *c
	world.t, there.site = t, &world
	return &there
}

// patience sets how long the CA is waited for.
func (c *corp) patience(a resource.Authority, timeout string) {
	c.t.Helper()
	raw, err := json.Marshal(map[string]any{"timeout": timeout})
	if err == nil {
		_, err = c.office.UpdateAuthority(c.t.Context(), a.ID, resource.AuthorityInput{Settings: raw})
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// open wants a request whose answer is lost to be open still, with the reason.
func (c *corp) open(r resource.Request) {
	c.t.Helper()
	if r.State != string(ra.Submitted) && r.State != string(ra.PendingAtCA) || r.LastError == "" || r.Attempts == 0 {
		c.t.Fatalf("a request whose answer is lost is %s, %q", r.State, r.LastError)
	}
	c.tells(r)
}

// settled does what a request is due for until somebody has decided.
func (c *corp) settled(r resource.Request) resource.Request {
	c.t.Helper()
	return c.comes(r, ra.Issued, ra.Failed)
}

// comes does what a request is due for until it is in one of some states.
func (c *corp) comes(r resource.Request, to ...ra.RequestState) resource.Request {
	c.t.Helper()
	for range 5 {
		if r = c.retry(r); slices.Contains(to, ra.RequestState(r.State)) {
			return r
		}
	}
	c.t.Fatalf("request %s is %s: %s", r.ID, r.State, r.LastError)
	return r
}

// loses has the first call for a certificate go wrong.
func (c *corp) loses(op played.Op, template resource.Template, act played.Act, done bool) {
	c.t.Helper()
	c.ca.SetFault(played.Fault{At: op, Act: act})
	r := c.order(template, "ada")
	c.open(r)
	before := c.caRows(r)
	if (len(before) == 1) != done || len(before) > 1 {
		c.t.Fatalf("the CA has done it: %d times, want %v", len(before), done)
	}
	c.settled(r)
	if cert := c.certificate(r); done && !cert.Equal(before[0].Certificate) {
		c.t.Error("another certificate was found than the first")
	} else if !cert.Equal(c.caRow(r).Certificate) {
		c.t.Error("the CA has another certificate")
	}
}

// losesWhilePending has both the first call and the one that fetches go wrong.
func (c *corp) losesWhilePending(op played.Op, template resource.Template, act played.Act) {
	c.t.Helper()
	c.ca.SetFault(played.Fault{At: op, Act: act})
	r := c.order(template, "bela")
	c.open(r)
	r = c.comes(r, ra.PendingAtCA)
	if err := c.ca.Approve(c.caRow(r).ID); err != nil {
		c.t.Fatal(err)
	}
	c.ca.SetFault(played.Fault{At: op, Act: act})
	r = c.retry(r)
	c.open(r)
	c.settled(r)
	if !c.certificate(r).Equal(c.caRow(r).Certificate) {
		c.t.Error("the CA has another certificate")
	}
}

// losesRevocation has the call that revokes go wrong, and the one that publishes
// afterwards.
func (c *corp) losesRevocation(template resource.Template, act played.Act, done bool) {
	c.t.Helper()
	r := c.order(template, "ada")
	id := c.now(r).CertificateID
	c.ca.SetFault(played.Fault{At: played.Revoke, Act: act}, played.Fault{At: played.PublishCRLs, Act: act})
	got, err := c.office.RevokeCertificate(c.t.Context(), id, resource.RevokeInput{Reason: "superseded"})
	if err != nil || got.State != string(ra.Revoked) || got.Action != string(ra.ActionRevoke) || got.LastError == "" {
		c.t.Fatalf("%+v, %v", got, err)
	}
	row := c.caRow(r)
	if (row.Disposition == 21) != done {
		c.t.Errorf("the CA's row has disposition %d", row.Disposition)
	}
	c.confirmed(r)
	again := c.caRow(r)
	if again.Disposition != 21 || again.Reason != uint32(ra.SupersededReason) {
		c.t.Errorf("before %+v, after %+v", row, again)
	}
	c.ca.Heal()
	if len(c.caRows(r)) != 1 {
		c.t.Error("there is another certificate")
	}
}

// confirmed has the CA told of a revocation until it agrees.
func (c *corp) confirmed(r resource.Request) {
	c.t.Helper()
	c.until("the CA has confirmed the revocation", func() bool {
		c.clock.skip(5 * time.Second)
		if err := c.Lifecycle.Sweep(c.t.Context(), lifecycle.SweepJob{}); err != nil {
			c.t.Fatal(err)
		}
		return c.state(r).Action == ""
	})
}

// TestADCSRefusedLater: a login that is refused while a request waits at the CA ends
// nothing: whoever changed the account's password says so here, and it goes on.
func TestADCSRefusedLater(t *testing.T) {
	c := startCorp(t, played.Config{})
	a := c.authority("Corp CA", nil)
	r := c.order(c.template(a, "Manual"), "ada")
	account := played.Account{User: caAccount, Password: "An-other-word 8", Rights: played.Everybody, SID: "S-1-5-21-1-2-3-500"}
	c.ca.Account(account)
	if err := c.ca.Approve(c.caRow(r).ID); err != nil {
		t.Fatal(err)
	}
	if r = c.retry(r); r.State != string(ra.PendingAtCA) || !strings.Contains(r.LastError, "denied access") {
		t.Fatalf("it is %s: %s", r.State, r.LastError)
	}
	raw, err := json.Marshal(map[string]any{"password": account.Password})
	if err == nil {
		_, err = c.office.UpdateAuthority(t.Context(), a.ID, resource.AuthorityInput{Settings: raw})
	}
	if err != nil {
		t.Fatal(err)
	}
	c.settled(r)
	c.certificate(r)
}
