package app

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"

	"chancery/internal/ca"
	"chancery/internal/doctor"
	"chancery/internal/health"
	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// newWatch makes the watch over the parts; it looks when it is told to.
func (a *App) newWatch() *health.Watch {
	return &health.Watch{DB: a.DB, Now: a.Config.Now, Log: a.Log, TrustClock: a.Config.TrustClock,
		Further: []func(context.Context) []health.Problem{a.keysOpen, a.listsCurrent}}
}

// beginWatch looks for the first time, before any job begins or anybody is
// answered, and goes on until Close.
func (a *App) beginWatch(ctx context.Context) {
	a.watch = a.newWatch()
	a.watch.Look(ctx)
	ctx, a.stopWatch = context.WithCancel(context.WithoutCancel(ctx))
	a.watching.Go(func() { a.watch.Run(ctx) })
}

// mayWork is asked before each job.
func (a *App) mayWork() error {
	if a.watch == nil {
		return nil
	}
	return a.watch.MayWork()
}

// mayIssue is asked before each certificate.
func (a *App) mayIssue() error {
	if a.watch == nil {
		return nil
	}
	return a.watch.MayIssue()
}

// keysOpen tells which authorities do not open. When none does, as with a
// master key or key store that is gone, the server is of no use.
func (a *App) keysOpen(ctx context.Context) (found []health.Problem) {
	var all []*ra.Authority
	if err := a.DB.Read(ctx, func(tx *store.Tx) (err error) {
		all, err = tx.AllAuthorities()
		return err
	}); err != nil {
		return nil // the database has a finding of its own
	}
	enabled := 0
	for _, one := range all {
		if one.Disabled {
			continue
		}
		enabled++
		if _, err := a.Authorities.Reach(ctx, one.ID); err != nil {
			e := ra.AsError(err)
			found = append(found, health.Problem{Name: "authority " + one.Name, Message: "It does not open: " + e.Message, Remedy: cmp.Or(e.Remedy, "Test it.")})
		}
	}
	for i := range found {
		found[i].Stops = len(found) == enabled
	}
	return found
}

// listsCurrent tells which revocation lists are past their next update:
// relying parties may refuse everything the issuer ever signed.
func (a *App) listsCurrent(ctx context.Context) (found []health.Problem) {
	var lists []store.CRL
	if err := a.DB.Read(ctx, func(tx *store.Tx) (err error) {
		lists, err = tx.AllCRLs()
		return err
	}); err != nil {
		return nil
	}
	for _, l := range lists {
		if !l.NextUpdate.IsZero() && !l.NextUpdate.After(a.Config.Now()) {
			found = append(found, health.Problem{Name: "revocation list " + l.IssuerHash[:16] + l.Name, Stops: true,
				Message: fmt.Sprintf("Number %d was to be replaced by %s.", l.Number, day(l.NextUpdate)), Remedy: "Look in the log for why it cannot be signed; it is tried again all the time."})
		}
	}
	return found
}

// findings is what the running server adds to those of the doctor: the clock it
// does not believe, and its TLS certificate.
func (a *App) findings(context.Context) (found []doctor.Finding) {
	if a.watch == nil {
		return nil
	}
	for _, p := range a.watch.Problems() {
		if p.Name == "clock" {
			found = append(found, doctor.Finding{Name: p.Name, State: ca.StepFailed, Detail: p.Message, Remedy: p.Remedy})
		}
	}
	if a.tls != nil {
		f := doctor.Finding{Name: "TLS certificate", State: ca.StepOK, Detail: "It is current."}
		if e, ok := a.tls.ended(); ok {
			f.State, f.Detail, f.Remedy = ca.StepFailed, e.Message, e.Remedy
		}
		found = append(found, f)
	}
	return found
}

// ready answers /readyz: whether this server can do its work, and if not, what
// is in the way. What to do about it is for those who may ask the doctor.
func (a *App) ready(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	var stops []string
	for _, p := range a.watch.Problems() {
		if p.Stops {
			stops = append(stops, p.Name+": "+p.Message)
		}
	}
	if len(stops) > 0 {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintf(w, "not ready\n%s\n", strings.Join(stops, "\n"))
		return
	}
	fmt.Fprintln(w, "ready")
}

// holdDevices keeps devices from asking while nothing may be issued: they take
// a 503 as "later" and come back with the same request.
func (a *App) holdDevices(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := a.mayIssue(); err != nil && (strings.HasPrefix(r.URL.Path, "/scep/") || strings.HasPrefix(r.URL.Path, pass.Path)) {
			w.Header().Set("Retry-After", "60")
			w.Header().Set("Cache-Control", "no-store")
			http.Error(w, "Enrolment does not work at the moment. Try again later.", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}
