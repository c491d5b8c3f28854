package console

import (
	"net/http"
	"time"

	"chancery/internal/access"
	"chancery/internal/ra"
)

// importBar is a template of the CA in the picture of a run: what was known before,
// what came in, and what of that is of somebody known. The widths are of 300.
type importBar struct {
	ra.CAImportTemplate
	Known, Matched, Other int // widths, in this order from the left
}

const importBarWidth = 300

func importBars(list []ra.CAImportTemplate) []importBar {
	most := 1
	for _, t := range list {
		most = max(most, t.Read)
	}
	wide := func(n int) int {
		if n <= 0 {
			return 0
		}
		return max(n*importBarWidth/most, 2)
	}
	out := make([]importBar, len(list))
	for i, t := range list {
		out[i] = importBar{t, wide(t.Read - t.Added), wide(t.Matched), wide(t.Added - t.Matched)}
	}
	return out
}

type importRunView struct {
	importLine
	Of        link // the import
	Authority link
	Bars      []importBar
	PerSecond int // certificates read; 0: too short to tell
	Inventory string
	Strangers string // the page of the open differences
	MayEdit   bool
	CLI       []string
}

var importRunPage = view[importRunView]("ca_import_run")

func (d importRunView) refreshAfter() int {
	if d.Ended {
		return 0
	}
	return 2
}

// Took is how long the run worked; zero: it never began.
func (d importRunView) Took() time.Duration {
	if d.StartedAt.IsZero() {
		return 0
	}
	return d.EndedAt.Sub(d.StartedAt)
}

// MoreProblems is how many certificates were skipped besides those that are told.
func (d importRunView) MoreProblems() int { return max(d.Skipped-len(d.Problems), 0) }

// X is where the second part of a bar begins.
func (b importBar) X() int { return b.Known + b.Matched }

func (v *visit) importRun() error {
	r, err := v.Imports.Run(v.ctx(), v.actor, id[ra.CAImportRunID](v))
	if err != nil {
		return err
	}
	a, err := v.Authorities.Get(v.ctx(), v.actor, r.Authority)
	if err != nil {
		return err
	}
	s := importState{CAImport: &ra.CAImport{Authority: a.ID}}
	data := importRunView{importLine: importLine{r, !underWay(r)}, Of: link{"Import", importURL(a.ID)}, Authority: link{a.Name, "/authorities/" + string(a.ID)}, Bars: importBars(r.Templates),
		Inventory: s.Inventory(), Strangers: s.Differences(), MayEdit: v.may(access.EditAuthorities, a.GroupID), CLI: []string{"chancery authority import runs " + string(a.ID)}}
	if !data.Ended {
		data.CLI = append(data.CLI, "chancery authority import cancel "+string(r.ID))
	}
	if took := data.Took(); data.Ended && took >= time.Second {
		data.PerSecond = int(float64(r.Read) / took.Seconds())
	}
	return importRunPage.show(v, http.StatusOK, data)
}

func (v *visit) cancelImport() error {
	r, err := v.Imports.Cancel(v.ctx(), v.actor, id[ra.CAImportRunID](v))
	if err != nil {
		return err
	}
	return v.done("/imports/"+string(r.ID), "Cancelled. What was taken over so far stays.")
}
