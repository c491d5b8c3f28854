package api

import (
	"context"
	"fmt"
	"os"
	"time"

	"chancery/internal/access"
	"chancery/internal/api/resource"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/sceppolicy"
	"chancery/internal/setting"
	"chancery/internal/store"
)

// doctor looks at everything that makes a server fail sooner or later, and
// says what to do about what it finds. It changes nothing.
func (s *Server) examine(ctx context.Context, actor ra.Actor, _ *none) (*body[resource.Health], error) {
	if err := access.Check(actor, access.EditAuthorities, ""); err != nil {
		return nil, err
	}
	d := &doctor{s: s, ctx: ctx, actor: actor, out: resource.Health{OK: true, Checks: []resource.Step{}}}
	d.database()
	d.masterKey()
	d.auditLog()
	d.crls()
	d.authorities()
	d.obligations()
	d.ownCertificates()
	d.endpoints()
	d.clock()
	return &body[resource.Health]{d.out}, nil
}

// doctor gathers what the checks find.
type doctor struct {
	s     *Server
	ctx   context.Context // of the one call that the checks are made in
	actor ra.Actor
	out   resource.Health
}

func (d *doctor) say(name string, state ca.StepState, detail, remedy string) {
	d.out.OK = d.out.OK && state != ca.StepFailed
	d.out.Checks = append(d.out.Checks, resource.Step{Name: name, State: string(state), Detail: detail, Remedy: remedy})
}

func (d *doctor) broken(name string, err error) {
	p := d.s.problemOf(d.ctx, "doctor", err)
	detail := p.Message
	if p.Reference != "" {
		detail += " (reference " + p.Reference + ")"
	}
	d.say(name, ca.StepFailed, detail, p.Remedy)
}

func (d *doctor) database() {
	begin := time.Now()
	if err := d.s.DB.Ping(d.ctx); err != nil {
		d.broken("database", err)
		return
	}
	d.say("database", ca.StepOK, fmt.Sprintf("%s answered in %s.", d.s.DB.Engine(), time.Since(begin).Round(10*time.Microsecond)), "")
}

func (d *doctor) masterKey() {
	const name = "master key"
	if d.s.MasterKey == "" {
		d.say(name, ca.StepSkipped, "Where the master key is was not told to the API.", "")
		return
	}
	info, err := os.Stat(d.s.MasterKey)
	switch {
	case err != nil:
		d.say(name, ca.StepFailed, "The master key file cannot be found any more.", "Put it back from its copy before the server is started again: without it no secret opens.")
	case info.Mode().Perm()&0o077 != 0:
		d.say(name, ca.StepFailed, fmt.Sprintf("Other accounts can read the master key file (mode %04o).", info.Mode().Perm()), "Run chmod 600 on it; when others may have read it, replace the secrets it protects.")
	default:
		d.say(name, ca.StepOK, "Only its owner can read the master key file.", "")
	}
}

func (d *doctor) auditLog() {
	const name = "audit log"
	r, err := d.s.Audit.Verify(d.ctx, d.actor)
	switch {
	case err != nil:
		d.broken(name, err)
	case r.Broken != 0 || r.Problem != "":
		d.say(name, ca.StepFailed, fmt.Sprintf("Entry %d: %s", r.Broken, r.Problem), "Somebody changed the record in the database. Keep a copy of it, and compare with a backup.")
	default:
		d.say(name, ca.StepOK, fmt.Sprintf("%d entries, unbroken.", r.Entries), "")
	}
}

func (d *doctor) crls() {
	const name = "revocation lists"
	var all []store.CRL
	if err := d.s.DB.Read(d.ctx, func(tx *store.Tx) (err error) {
		all, err = tx.AllCRLs()
		return err
	}); err != nil {
		d.broken(name, err)
		return
	}
	now, ended := d.s.Now(), 0
	for _, c := range all {
		if !c.NextUpdate.After(now) {
			ended++
		}
	}
	switch {
	case ended > 0:
		d.say(name, ca.StepFailed, fmt.Sprintf("%d of %d revocation lists are past their next update.", ended, len(all)), "The running server publishes them; look in its log for why it could not.")
	case len(all) == 0:
		d.say(name, ca.StepOK, "None is published from here.", "")
	default:
		d.say(name, ca.StepOK, fmt.Sprintf("%d current, the next one is due before %s.", len(all), all[0].NextUpdate.UTC().Format(time.RFC3339)), "")
	}
}

func (d *doctor) authorities() {
	f := store.AuthorityFilter{Page: store.Page{Limit: store.MaxPage}}
	list, _, err := d.s.Authorities.Find(d.ctx, d.actor, f)
	if err != nil {
		d.broken("authorities", err)
		return
	}
	if len(list) == 0 {
		d.say("authorities", ca.StepWarning, "There is no authority.", "Define one: chancery authority add embedded --name NAME --group GROUP.")
	}
	for _, a := range list {
		name := "authority " + a.Name
		if a.Disabled {
			d.say(name, ca.StepSkipped, "It is switched off.", "")
			continue
		}
		d.authority(name, a.ID)
	}
}

func (d *doctor) authority(name string, id ra.AuthorityID) {
	worst := ca.Step{State: ca.StepOK, Detail: "Every step of its test passed."}
	err := d.s.Authorities.Test(d.ctx, d.actor, id, func(step ca.Step) {
		bad := step.State == ca.StepFailed || step.State == ca.StepWarning && worst.State == ca.StepOK
		if bad && worst.State != ca.StepFailed {
			worst = step
			worst.Detail = step.Name + ": " + step.Detail
		}
	})
	if err != nil {
		d.broken(name, err)
		return
	}
	d.say(name, worst.State, worst.Detail, worst.Remedy)
}

func (d *doctor) obligations() {
	const name = "obligations"
	late, next, err := d.s.Lifecycle.FindObligations(d.ctx, d.actor, store.ObligationFilter{LateOnly: true, Page: store.Page{Limit: 100}})
	switch {
	case err != nil:
		d.broken(name, err)
	case len(late) > 0:
		more := ""
		if next != "" {
			more = "more than "
		}
		d.say(name, ca.StepFailed, fmt.Sprintf("%s%d things are past their deadline, first: %s %s.", more, len(late), late[0].Kind, late[0].ID), "Look at chancery obligation list --late; each says why it did not go on.")
	default:
		d.say(name, ca.StepOK, "Nothing is late.", "")
	}
}

// soon is how near the end of an own certificate is a finding: it should have
// been renewed long before.
const soon = 14 * 24 * time.Hour

func (d *doctor) ownCertificates() {
	const name = "own certificates"
	list, _, err := d.s.Lifecycle.FindCertificates(d.ctx, d.actor, store.CertificateFilter{OwnToo: true, States: []ra.CertificateState{ra.Valid},
		ExpiresBefore: d.s.Now().Add(soon), Page: store.Page{Limit: store.MaxPage, Sort: "expires"}})
	if err != nil {
		d.broken(name, err)
		return
	}
	for _, c := range list {
		if c.Purpose != ra.PurposeLeaf && c.NotAfter.After(d.s.Now()) {
			d.say(name, ca.StepWarning, fmt.Sprintf("The certificate for %s ends on %s and was not renewed.", c.Purpose, c.NotAfter.UTC().Format(time.RFC3339)), "Test its authority; the server renews its own certificates by itself when that works.")
			return
		}
	}
	d.say(name, ca.StepOK, "None ends soon.", "")
}

// endpoints tells of the SCEP addresses that are weak on purpose.
func (d *doctor) endpoints() {
	const name = "SCEP endpoints"
	list, _, err := d.s.Enroll.FindEndpoints(d.ctx, d.actor, store.EndpointFilter{Page: store.Page{Limit: store.MaxPage}})
	if err != nil {
		d.broken(name, err)
		return
	}
	weak := 0
	for _, e := range list {
		v := &sceppolicy.Endpoint{}
		setting.Defaults(v)
		if err := setting.Load(v, e.Settings); err != nil {
			d.broken(name, err)
			return
		}
		for _, f := range v.Findings(e.Name, d.s.Now()) {
			weak++
			d.say(name, ca.StepWarning, f.Message, f.Remedy)
		}
	}
	if weak == 0 {
		d.say(name, ca.StepOK, "None accepts weak algorithms or a shared challenge.", "")
	}
}

// clock compares with the last audit entry: time only ever goes on.
func (d *doctor) clock() {
	const name = "clock"
	list, _, err := d.s.Audit.Find(d.ctx, d.actor, store.AuditFilter{Page: store.Page{Limit: 1}})
	now := d.s.Now()
	switch {
	case err != nil:
		d.broken(name, err)
	case now.Year() < 2025:
		d.say(name, ca.StepFailed, "The clock says "+now.UTC().Format(time.RFC3339)+".", "Set it and keep it right with NTP: certificates would begin in the past.")
	case len(list) > 0 && list[0].At.After(now.Add(time.Minute)):
		d.say(name, ca.StepFailed, "The clock is behind the last audit entry, "+list[0].At.UTC().Format(time.RFC3339)+".", "Set it right, and keep it so with NTP.")
	default:
		d.say(name, ca.StepOK, now.UTC().Format(time.RFC3339)+".", "")
	}
}
