package caimport

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
)

const (
	// batch is how many certificates share a transaction.
	batch = 250
	// margin is by how much a run reads further back than the one before it came:
	// the authority's clock is not ours.
	margin = time.Hour
	// mostProblems is how many problems of a run are kept with their reasons.
	mostProblems = 100
	// mostTemplates is how many of the authority's templates are counted apart.
	mostTemplates = 200
	// mostIssuers is how many keys an authority may have had.
	mostIssuers = 100
	// fullEvery is how often everything is read again: not every authority tells
	// that it has released a certificate, or that one is valid that is revoked here.
	fullEvery = 7 * 24 * time.Hour
	// lookEvery is how often a run looks whether somebody has cancelled it while
	// the authority is silent.
	lookEvery = time.Second
)

// The labels of the steps of a run, in order.
const (
	StepRead  = "ca_import.read"  // what is to be read is settled, nothing is read yet
	StepBatch = "ca_import.batch" // before each batch is stored
	StepNoted = "ca_import.noted" // after each batch was stored
	StepEnd   = "ca_import.end"   // all is stored but that the run went through
)

// Steps lists the labels, for tests that stop the process at each.
var Steps = []string{StepRead, StepBatch, StepNoted, StepEnd}

func (s *Service) step(label string) {
	if s.Step != nil {
		s.Step(label)
	}
}

// errCancelled ends the reading of a run that somebody has cancelled.
var errCancelled = errors.New("the import was cancelled")

// taking is one run at work.
type taking struct {
	*Service
	run    *ra.CAImportRun
	actor  ra.Actor // who may do what the authority's group may
	lister ca.Lister

	authority *ra.Authority
	setup     *ra.CAImport
	home      *ra.Group // of the import: where what is of nobody goes
	groups    []ra.GroupID
	reach     map[ra.GroupID]bool // the authority's group and those below it
	adopt     map[string]*ra.Template
	issuers   []*issuer
	basis     string
}

// issuer is a certificate that the authority signed with.
type issuer struct {
	*x509.Certificate
	hash string // of its key
}

// carryOut does what a run is for, from where it has come to.
func (s *Service) carryOut(ctx context.Context, run *ra.CAImportRun) error {
	o, err := s.Authorities.Open(ctx, run.Authority)
	if err != nil {
		return err
	}
	w := &taking{Service: s, run: run, authority: o.Authority}
	if w.lister, err = lister(o); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	watched := w.watch(ctx, cancel)
	defer func() {
		cancel(nil)
		<-watched
	}()
	for _, step := range []struct {
		words string
		do    func(context.Context) error
	}{
		{"Asking what it signs with", w.ask},
		{"Reading its records", w.read},
		{"Finishing", w.finish},
	} {
		if err := w.phase(ctx, step.words); err != nil {
			return w.outcome(ctx, err)
		}
		if err := step.do(ctx); err != nil {
			return w.outcome(ctx, err)
		}
	}
	return nil
}

// outcome is how a run ended that did not go through; one that was cancelled has
// its end already.
func (w *taking) outcome(ctx context.Context, err error) error {
	if errors.Is(err, errCancelled) || context.Cause(ctx) == errCancelled {
		return nil
	}
	return err
}

// watch ends the context when somebody has cancelled the run, also while the
// authority is silent. It gives what is closed when it has ended.
func (w *taking) watch(ctx context.Context, cancel context.CancelCauseFunc) <-chan struct{} {
	id, look, ended := w.run.ID, time.NewTicker(lookEvery), make(chan struct{})
	go func() {
		defer close(ended)
		defer look.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-look.C:
			}
			if err := w.DB.Read(ctx, func(tx *store.Tx) error { return w.going(tx, id) }); errors.Is(err, errCancelled) {
				cancel(errCancelled)
				return
			}
		}
	}()
	return ended
}

// going is errCancelled when the run has been cancelled.
func (w *taking) going(tx *store.Tx, id ra.CAImportRunID) error {
	stored, err := tx.CAImportRun(id)
	if err == nil && stored.State != ra.ImportRunning {
		return errCancelled
	}
	return err
}

// phase notes how far the run has come.
func (w *taking) phase(ctx context.Context, words string) error {
	w.run.Phase = words
	return w.DB.Write(ctx, w.note)
}

// note stores the run, unless it has been cancelled.
func (w *taking) note(tx *store.Tx) error {
	if err := w.going(tx, w.run.ID); err != nil {
		return err
	}
	return tx.UpdateCAImportRun(w.run)
}

// ask learns what the authority signs with, and settles what is to be read.
func (w *taking) ask(ctx context.Context) error {
	list, err := w.lister.Issuers(ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 || len(list) > mostIssuers {
		return ra.Errorf(ra.RefusedByCA, "The authority does not say what it signs with.").WithRemedy("Test its connection: the certificates of the CA must be readable.")
	}
	w.issuers = nil
	for _, c := range list {
		w.issuers = append(w.issuers, &issuer{c, authority.Hash(c.RawSubjectPublicKeyInfo)})
	}
	w.basis = authority.Hash([]byte(w.authority.Kind + "\x00" + w.issuers[0].hash))
	before := *w.run
	if err := w.DB.Write(ctx, func(tx *store.Tx) error {
		*w.run = before // this function may run again
		if err := w.going(tx, w.run.ID); err != nil {
			return err
		}
		if err := w.prepare(tx); err != nil {
			return err
		}
		if err := w.begin(tx); err != nil {
			return err
		}
		return tx.UpdateCAImportRun(w.run)
	}); err != nil {
		return err
	}
	w.step(StepRead)
	return nil
}

// prepare loads what the import was set up with, which may have become
// impossible since, and notes the authority's certificates.
func (w *taking) prepare(tx *store.Tx) (err error) {
	if w.authority, err = tx.Authority(w.run.Authority); err != nil {
		return err
	}
	if w.setup, err = setup(tx, w.authority); err != nil {
		return err
	}
	if w.home, err = reachable(tx, w.authority, w.setup.GroupID); err != nil {
		return err
	}
	if w.groups, err = tx.GroupsUnder(w.home.Path); err != nil {
		return err
	}
	own, err := tx.Group(w.authority.GroupID)
	if err != nil {
		return err
	}
	under, err := tx.GroupsUnder(own.Path)
	if err != nil {
		return err
	}
	w.reach = map[ra.GroupID]bool{}
	for _, id := range under {
		w.reach[id] = true
	}
	w.actor = ra.System("import")
	w.actor.Grants = []ra.Grant{{Role: ra.RoleOwner, Group: own.ID, Path: own.Path}}
	w.adopt = map[string]*ra.Template{}
	var p ra.Problems
	for name, id := range w.setup.Adopt {
		t, err := adopting(tx, w.authority, w.home, id)
		if err != nil && ra.KindOf(err) != ra.Invalid {
			return err
		}
		p.Merge("adopt."+name, err)
		w.adopt[name] = t
	}
	if err := p.Err(); err != nil {
		return err
	}
	chain, err := tx.Issuers(w.authority.ID)
	if err != nil {
		return err
	}
	for _, i := range w.issuers {
		one := store.Issuer{AuthorityID: w.authority.ID, Fingerprint: authority.Hash(i.Raw), SPKIHash: i.hash, DER: i.Raw}
		if !slices.ContainsFunc(chain, func(known store.Issuer) bool { return known.Fingerprint == one.Fingerprint }) {
			chain = append(chain, one)
		}
	}
	return tx.PutIssuers(w.authority.ID, chain)
}

// begin settles from where the run reads: from where it was cut off, or the first
// full one before it, or what changed since the last one.
func (w *taking) begin(tx *store.Tx) error {
	run, setup := w.run, w.setup
	if run.Basis == w.basis && !run.Preview {
		return nil // it goes on
	}
	asked := run.Full && (run.Basis == "" || run.Preview)
	*run = ra.CAImportRun{ID: run.ID, Authority: run.Authority, State: run.State, By: run.By, Preview: run.Preview, Full: run.Full, Phase: run.Phase, Times: run.Times,
		Basis: w.basis, StartedAt: run.StartedAt, Next: run.StartedAt}
	same := setup.Basis == w.basis
	switch {
	case asked || !same:
		run.Full = true
	case setup.Since.IsZero():
		if run.Full, run.Position = true, setup.Position; run.Position > 0 {
			run.Next = setup.Begun
		}
	case setup.FullAt.Add(fullEvery).Before(run.StartedAt):
		run.Full = true
	default:
		run.Since = setup.Since
	}
	if run.Preview || !run.Full {
		return nil
	}
	if setup.Basis, setup.Position, setup.Begun = w.basis, run.Position, run.Next; !same {
		setup.Since = time.Time{}
	}
	return tx.MoveCAImport(setup)
}

// read goes through the records.
func (w *taking) read(ctx context.Context) error {
	from := ca.Listing{After: w.run.Position}
	if !w.run.Full {
		from.Changed = w.run.Since.Add(-margin)
	}
	if w.setup.Scope == ra.ImportCurrent {
		from.EndsAfter = w.run.StartedAt
	}
	return w.lister.List(ctx, from, func(portion []ca.Listed) error {
		for some := range slices.Chunk(portion, batch) {
			if err := w.take(ctx, some); err != nil {
				return err
			}
		}
		return nil
	})
}

// finish notes that the run went through.
func (w *taking) finish(ctx context.Context) error {
	w.step(StepEnd)
	return w.DB.Write(ctx, func(tx *store.Tx) error {
		if err := w.going(tx, w.run.ID); err != nil {
			return err
		}
		run := *w.run
		run.State, run.Phase, run.EndedAt = ra.ImportDone, "", tx.Now
		run.Message = summary(&run)
		if err := tx.UpdateCAImportRun(&run); err != nil {
			return err
		}
		if !run.Preview {
			i, err := tx.CAImport(run.Authority)
			if err != nil {
				return err
			}
			i.Since, i.Position, i.Begun, i.EndedAt = run.Next, 0, time.Time{}, tx.Now
			if run.Full {
				i.FullAt = tx.Now
			}
			i.Obligation = due(tx.Now, i, tx.Now.Add(i.Every))
			if err := tx.MoveCAImport(i); err != nil {
				return err
			}
		}
		if run.By.Kind == ra.ActorSystem && run.Added+run.Changed+run.Skipped+run.Strange == 0 {
			return nil // nothing happened, and nobody asked
		}
		words := "Certificates of " + w.authority.Name + " taken over: "
		if run.Preview {
			words = "Certificates of " + w.authority.Name + " that an import would take over: "
		}
		return audit.Record(tx, audit.Entry{Code: audit.ImportEnded, Actor: run.By, Group: w.authority.GroupID, Object: string(w.authority.ID), Related: string(run.ID),
			Message: words + run.Message, Details: counts(&run)})
	})
}

// counts are the numbers of a run for the audit log.
func counts(r *ra.CAImportRun) map[string]any {
	return map[string]any{"preview": r.Preview, "full": r.Full, "read": r.Read, "known": r.Known, "added": r.Added, "skipped": r.Skipped, "changed": r.Changed, "matched": r.Matched, "strange": r.Strange}
}

// summary says in a line what a run did, or would do.
func summary(r *ra.CAImportRun) string {
	parts := []string{number(r.Read) + " read"}
	differences := "differences"
	if r.Strange == 1 {
		differences = "difference"
	}
	for _, c := range []struct {
		n     int
		words string
	}{{r.Known, "known before"}, {r.Added, "new"}, {r.Matched, "of them of a known user or device"}, {r.Changed, "of the known changed"}, {r.Skipped, "skipped"}, {r.Strange, differences}} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.words))
		}
	}
	return strings.Join(parts, ", ") + "."
}
