package caimport

import (
	"context"
	"slices"

	"chancery/internal/audit"
	"chancery/internal/ca"
	"chancery/internal/enroll"
	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// retries is how often a batch is tried again that somebody was faster with.
const retries = 3

// take takes over one batch, or only counts it.
func (w *taking) take(ctx context.Context, some []ca.Listed) error {
	items, err := w.study(ctx, some)
	if err != nil {
		return err
	}
	w.step(StepBatch)
	before := *w.run
	var freed []func()
	work := func(tx *store.Tx) error {
		run := before // this function may run again
		run.Problems, run.Templates = slices.Clone(before.Problems), slices.Clone(before.Templates)
		b := &storing{taking: w, tx: tx, run: &run}
		if err := b.all(items); err != nil {
			return err
		}
		*w.run, freed = run, b.freed
		return nil
	}
	within := w.DB.Write
	if w.run.Preview {
		within = w.DB.Read
	}
	for try := 0; ; try++ {
		if err = within(ctx, work); ra.KindOf(err) != ra.Conflict || try == retries {
			break
		}
	}
	if err != nil {
		return err
	}
	for _, free := range freed {
		free()
	}
	if w.run.Preview {
		if err := w.phase(ctx, w.run.Phase); err != nil {
			return err
		}
	}
	w.step(StepNoted)
	return nil
}

// storing is one batch in its transaction.
type storing struct {
	*taking
	tx    *store.Tx
	run   *ra.CAImportRun
	known stock
	ends  map[ra.RequestID]*store.RequestEnd
	added []addition
	freed []func() // to be called when it is committed
}

// addition is a certificate that was taken into the inventory.
type addition struct {
	*item
	*ra.Certificate
}

// stock is what the inventory has of a batch: by the issuer's key and serial.
type stock map[string]map[string]*store.KnownCertificate

func (s stock) of(it *item) *store.KnownCertificate { return s[it.issuer.hash][it.serial] }

func inventory(tx *store.Tx, items []*item) (stock, error) {
	serials := map[string][]string{}
	for _, it := range items {
		if it.issuer != nil {
			serials[it.issuer.hash] = append(serials[it.issuer.hash], it.serial)
		}
	}
	out := stock{}
	for hash, list := range serials {
		found, err := tx.KnownCertificates(hash, list)
		if err != nil {
			return nil, err
		}
		out[hash] = found
	}
	return out, nil
}

// all takes over the batch, and notes with it how far the run has come.
func (b *storing) all(items []*item) (err error) {
	if err := b.going(b.tx, b.run.ID); err != nil {
		return err
	}
	if b.known, err = inventory(b.tx, items); err != nil {
		return err
	}
	var requests []string
	for _, it := range items {
		if it.Request != "" && it.problem == nil && b.known.of(it) == nil {
			requests = append(requests, clean(string(it.Request), maxRequester))
		}
	}
	if b.ends, err = b.tx.RequestEnds(requests); err != nil {
		return err
	}
	for _, it := range items {
		if err := b.one(it); err != nil {
			return err
		}
		b.run.Position = max(b.run.Position, it.Number)
	}
	if b.run.Preview {
		return nil
	}
	if err := b.replaced(); err != nil {
		return err
	}
	if err := b.tell(); err != nil {
		return err
	}
	if err := b.move(); err != nil {
		return err
	}
	return b.tx.UpdateCAImportRun(b.run)
}

// move notes with the import how far it has come.
func (b *storing) move() error {
	if len(b.added) == 0 && !b.run.Full {
		return nil
	}
	setup, err := b.tx.CAImport(b.authority.ID)
	if err != nil {
		return err
	}
	if setup.Imported += len(b.added); b.run.Full {
		setup.Position = b.run.Position
	}
	return b.tx.MoveCAImport(setup)
}

// one counts a certificate, and takes it over.
func (b *storing) one(it *item) error {
	b.run.Read++
	template := b.template(it.Template)
	template.Read++
	if it.problem != nil {
		b.skip(it, it.problem)
		return nil
	}
	if k := b.known.of(it); k != nil {
		return b.met(it, k)
	}
	if it.row == nil { // it was in the inventory a moment ago
		if it.describe(b.tx.Now); it.problem != nil {
			b.skip(it, it.problem)
			return nil
		}
	}
	c, err := b.byPass(it)
	if err == nil && c == nil {
		c, err = b.add(it)
	}
	if err != nil || c == nil {
		return err
	}
	b.run.Added++
	template.Added++
	if c.DeviceID != "" || c.UserID != "" {
		b.run.Matched++
		template.Matched++
	}
	b.known[it.issuer.hash][it.serial] = &store.KnownCertificate{ID: c.ID, GroupID: c.GroupID, Serial: it.serial, Fingerprint: it.print, State: c.State, Action: c.Action, Updated: b.tx.Now.UnixMilli()}
	return nil
}

// template gives the count of one of the authority's templates.
func (b *storing) template(name string) *ra.CAImportTemplate {
	i := slices.IndexFunc(b.run.Templates, func(t ra.CAImportTemplate) bool { return t.Name == name })
	if i < 0 && len(b.run.Templates) >= mostTemplates {
		name = "(others)"
		i = slices.IndexFunc(b.run.Templates, func(t ra.CAImportTemplate) bool { return t.Name == name })
	}
	if i < 0 {
		i = len(b.run.Templates)
		b.run.Templates = append(b.run.Templates, ra.CAImportTemplate{Name: name})
	}
	return &b.run.Templates[i]
}

// skip leaves a certificate out.
func (b *storing) skip(it *item, why *ra.Error) {
	b.run.Skipped++
	if len(b.run.Problems) < mostProblems {
		b.run.Problems = append(b.run.Problems, ra.CAImportProblem{Number: it.Number, Serial: it.serial, Message: why.Message, Remedy: why.Remedy})
	}
}

// byPass has the pass learn of a certificate that it waits for, and gives that.
// One that does not fit after all is taken over like any other; it gives nil then.
func (b *storing) byPass(it *item) (*ra.Certificate, error) {
	if !it.expected {
		return nil, nil
	}
	if b.run.Preview {
		return &ra.Certificate{GroupID: b.home.ID, DeviceID: "expected"}, nil
	}
	_, c, freed, err := b.Passes.LearnIn(b.tx, b.actor, pass.LearnInput{DER: it.DER}, it.leaf)
	switch ra.KindOf(err) {
	case "":
	case ra.NotFound, ra.Invalid, ra.Denied:
		return nil, nil
	default:
		return nil, err
	}
	b.freed = append(b.freed, freed)
	if c.State == ra.Valid && (it.State == ra.Revoked || it.State == ra.OnHold) {
		return c, b.learn(it, c.ID)
	}
	return c, nil
}

// add takes a certificate into the inventory. It gives nil when the request that it
// was issued for is under way.
func (b *storing) add(it *item) (*ra.Certificate, error) {
	kind, request := ra.DifferenceKind(""), ra.RequestID(clean(string(it.Request), maxRequester))
	end := b.ends[request]
	if !it.ByUs && (end == nil || end.SPKIHash != it.row.SPKIHash) {
		request = "" // anybody can write that into a request
	}
	switch {
	case request != "" && end == nil:
		kind = ra.DiffNoRequest
	case request != "" && !enroll.Ended(end.State):
		if created := end.CreatedAt(); created.Before(b.run.Next) {
			b.run.Next = created
		}
		b.skip(it, skip("Wait: its request settles it, and the next import looks at it again.", "Its request %s is under way here.", end.ID))
		return nil, nil
	case request != "":
		kind = ra.DiffEnded
	case it.ByUs:
		kind = ra.DiffNotOurs
	}
	if kind != "" {
		b.run.Strange++
	}
	c := b.complete(it)
	if b.run.Preview {
		return c, nil
	}
	if err := b.tx.CreateCertificate(c); err != nil {
		return nil, err
	}
	if err := b.tx.CreateImported(&ra.ImportedFrom{Certificate: c.ID, Authority: b.authority.ID, Run: b.run.ID, Number: it.Number, Requester: it.Requester, Template: it.Template}); err != nil {
		return nil, err
	}
	if c.State == ra.OnHold {
		if err := b.tx.HoldAtAuthority(c); err != nil {
			return nil, err
		}
	}
	b.added = append(b.added, addition{it, c})
	if kind == "" {
		return c, nil
	}
	return c, b.differ(kind, it, c, request)
}

// complete gives a new certificate whom it belongs to, its state, and what is to
// be done about it.
func (b *storing) complete(it *item) *ra.Certificate {
	copied := *it.row
	c := &copied
	c.GroupID, c.AuthorityID, c.KeyPlace = b.home.ID, b.authority.ID, ra.KeyOnDevice
	spec := &ra.TemplateSpec{}
	if t := b.adopt[it.Template]; t != nil {
		c.TemplateID, spec = t.ID, &t.Spec
	}
	if it.owner.known() {
		c.GroupID, c.DeviceID, c.UserID = it.owner.group, it.owner.device, it.owner.user
	}
	switch {
	case it.State == ra.Revoked:
		c.State, c.RevokedAt, c.Reason = ra.Revoked, it.RevokedAt, it.Reason
	case !c.NotAfter.After(b.tx.Now):
		c.State = ra.Expired
	case it.State == ra.OnHold:
		c.State, c.RevokedAt, c.Reason = ra.OnHold, it.RevokedAt, ra.CertificateHold
		c.Obligation = enroll.Ending(c, b.tx.Now, &ra.TemplateSpec{})
	default:
		c.Obligation = enroll.Duty(c, spec)
	}
	return c
}

// tell notes what was added in the audit log, once for all of a batch.
func (b *storing) tell() error {
	if len(b.added) == 0 {
		return nil
	}
	return audit.Record(b.tx, audit.Entry{Code: audit.CertificatesImported, Actor: b.run.By, Group: b.home.ID, Object: string(b.run.ID),
		Message: number(len(b.added)) + " of " + b.authority.Name + " taken over.",
		Details: map[string]any{"authority": b.authority.ID, "added": len(b.added), "first": b.added[0].Number, "last": b.added[len(b.added)-1].Number}})
}
