package console

import (
	"fmt"
	"net/http"

	"chancery/internal/access"
	"chancery/internal/directory"
	"chancery/internal/ra"
)

// syncLine is a run as people look at it.
type syncLine struct {
	*ra.Sync
	Ended bool
}

func syncLineOf(r *ra.Sync) syncLine {
	return syncLine{r, r.State != ra.SyncWaiting && r.State != ra.SyncRunning}
}

type syncView struct {
	syncLine
	Of      link
	Confirm bool // somebody may say that it is meant
	CLI     []string
}

var syncPage = view[syncView]("sync")

func (d syncView) refreshAfter() int {
	if d.Ended {
		return 0
	}
	return 2
}

// loadSync gives a run and the directory it is of.
func (v *visit) loadSync() (*ra.Sync, *ra.Directory, error) {
	run, err := v.Directories.Run(v.ctx(), v.actor, id[ra.SyncID](v))
	if err != nil {
		return nil, nil, err
	}
	d, _, err := v.Directories.Get(v.ctx(), v.actor, run.Directory)
	return run, d, err
}

func (v *visit) sync() error {
	run, d, err := v.loadSync()
	if err != nil {
		return err
	}
	return syncPage.show(v, http.StatusOK, syncView{syncLine: syncLineOf(run), Of: link{d.Name, "/directories/" + string(d.ID)},
		Confirm: run.State == ra.SyncHeld && v.may(access.EditAuthorities, d.GroupID), CLI: []string{"chancery directory runs " + string(d.ID)}})
}

func (v *visit) previewSync() error { return v.order(directory.Order{Preview: true, Full: true}) }

func (v *visit) orderSync() error { return v.order(directory.Order{}) }

func (v *visit) order(o directory.Order) error {
	run, err := v.Directories.Sync(v.ctx(), v.actor, id[ra.DirectoryID](v), o)
	if err != nil {
		return v.showDirectory(nil, err)
	}
	return v.redirect("/syncs/" + string(run.ID))
}

func (v *visit) confirmSyncPage() error { return v.askConfirmSync(nil) }

func (v *visit) askConfirmSync(wrong error) error {
	run, d, err := v.loadSync()
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Disable the users", About: d.Name,
		Effect: []string{fmt.Sprintf("Users are taken over again, and up to %d of them may be disabled at once.", run.Disable), "Disabled users get no certificates and no renewals; what they have stays valid until it is revoked or ends."},
		Form:   form{Submit: fmt.Sprintf("Take over, disable up to %d", run.Disable), Cancel: "/syncs/" + string(run.ID), Danger: true},
		CLI:    []string{fmt.Sprintf("chancery directory sync %s --allow %d", d.ID, run.Disable)}}, nil, nil, wrong)
}

func (v *visit) confirmSync() error {
	held, _, err := v.loadSync()
	if err != nil {
		return err
	}
	run, err := v.Directories.Sync(v.ctx(), v.actor, held.Directory, directory.Order{Full: held.Full, Allow: held.Disable})
	if err != nil {
		return v.askConfirmSync(err)
	}
	return v.redirect("/syncs/" + string(run.ID))
}
