package caimport_test

import (
	"testing"
	"time"

	"chancery/internal/audit"
	"chancery/internal/ca"
	"chancery/internal/caimport"
	"chancery/internal/inventory"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// TestSet: what an import may be, who may set it up, and what a change does.
func TestSet(t *testing.T) {
	each(t, func(w *world) {
		t, ctx, id := w.t, w.t.Context(), w.authority.ID
		_, err := w.Get(ctx, w.owner, id)
		w.kind("never set up", err, ra.NotFound)
		_, err = w.Import(ctx, w.owner, id, caimport.Order{})
		w.kind("run without", err, ra.NotFound)
		_, err = w.Set(ctx, w.owner, w.bare.ID, caimport.Input{GroupID: &w.acme.ID})
		w.kind("no records", err, ra.Conflict)
		good, elsewhere := w.template("good", nil), must(w.enroll.CreateTemplate(ctx, w.owner, templateInput(w, w.bare.ID)))(t)
		server := w.template("server", func(s *ra.TemplateSpec) { s.KeyPlace = ra.KeyHere })
		lower := must(w.enroll.CreateTemplate(ctx, w.owner, templateInput(w, id, w.unit.ID)))(t)
		for field, in := range map[string]caimport.Input{
			"group_id":   {},
			"scope":      {GroupID: &w.acme.ID, Scope: ptr(ra.ImportScope("some"))},
			"every":      {GroupID: &w.acme.ID, Every: ptr(time.Minute)},
			"adopt.T":    {GroupID: &w.acme.ID, Adopt: map[string]ra.TemplateID{"T": elsewhere.ID}},
			"adopt.S":    {GroupID: &w.acme.ID, Adopt: map[string]ra.TemplateID{"S": server.ID}},
			"adopt.L":    {GroupID: &w.acme.ID, Adopt: map[string]ra.TemplateID{"L": lower.ID}},
			"adopt.None": {GroupID: &w.acme.ID, Adopt: map[string]ra.TemplateID{"None": "tpl_none"}},
			"adopt":      {GroupID: &w.acme.ID, Adopt: map[string]ra.TemplateID{"": good.ID}},
		} {
			_, err := w.Set(ctx, w.owner, id, in)
			if e := ra.AsError(err); err == nil || e.Kind != ra.Invalid || e.Field != field || e.Remedy == "" {
				t.Errorf("%s: %+v", field, err)
			}
		}
		if _, err := w.Set(ctx, w.owner, id, caimport.Input{GroupID: &w.other.ID}); ra.AsError(err).Field != "group_id" {
			t.Errorf("a group out of reach: %v", err)
		}
		i := w.setUp(func(in *caimport.Input) {
			in.GroupID, in.Adopt = &w.unit.ID, map[string]ra.TemplateID{"T": good.ID, "L": lower.ID}
		})
		if i.Scope != ra.ImportCurrent || i.Action != ra.ActionNone || i.UpdatedBy.Name != "owner" {
			t.Errorf("%+v", i)
		}
		_, err = w.Set(ctx, w.owner, id, caimport.Input{Every: ptr(24 * time.Hour), Seen: i.UpdatedAt.Add(-time.Second)})
		w.kind("seen another", err, ra.Conflict)
		again := must(w.Set(ctx, w.owner, id, caimport.Input{Every: ptr(24 * time.Hour), Seen: i.UpdatedAt}))(t)
		if again.GroupID != w.unit.ID || len(again.Adopt) != 2 || again.Every != day || again.Action != ra.ActionNone {
			t.Errorf("%+v", again)
		}
		off := must(w.Set(ctx, w.owner, id, caimport.Input{Every: ptr(time.Duration(0))}))(t)
		if off.Action != ra.ActionNone || !off.At.IsZero() {
			t.Errorf("%+v", off)
		}

		// Others may neither change nor see it.
		for name, a := range map[string]ra.Actor{"of a group below": w.manager, "of another organization": w.stranger} {
			_, err := w.Get(ctx, a, id)
			w.kind(name+" sees it", err, ra.NotFound)
			_, err = w.Set(ctx, a, id, caimport.Input{GroupID: &w.unit.ID})
			w.kind(name+" changes it", err, ra.NotFound)
			_, err = w.Import(ctx, a, id, caimport.Order{})
			w.kind(name+" runs it", err, ra.NotFound)
			_, _, err = w.Runs(ctx, a, id, store.Page{})
			w.kind(name+" lists runs", err, ra.NotFound)
			w.kind(name+" removes it", w.Remove(ctx, a, id), ra.NotFound)
		}
		viewer := actor("viewer", ra.RoleViewer, w.acme)
		must(w.Get(ctx, viewer, id))(t)
		_, err = w.Set(ctx, viewer, id, caimport.Input{})
		w.kind("who only sees", err, ra.Denied)
		_, err = w.Import(ctx, viewer, id, caimport.Order{})
		w.kind("who only sees", err, ra.Denied)

		// While a run is open it stays; certificates and runs outlive it.
		w.book.Enter(ca.Listed{DER: w.cert("x", nil)})
		run := must(w.Import(ctx, w.owner, id, caimport.Order{}))(t)
		_, err = w.Import(ctx, w.owner, id, caimport.Order{Preview: true})
		w.kind("two at once", err, ra.Conflict)
		_, err = w.Set(ctx, w.owner, id, caimport.Input{Every: ptr(time.Hour)})
		w.kind("changed under way", err, ra.Conflict)
		w.kind("removed under way", w.Remove(ctx, w.owner, id), ra.Conflict)
		w.work()
		if err := w.Remove(ctx, w.owner, id); err != nil {
			t.Fatal(err)
		}
		_, err = w.Get(ctx, w.owner, id)
		w.kind("removed", err, ra.NotFound)
		must(w.Run(ctx, w.owner, run.ID))(t)
		if w.count() != 1 || len(w.told(audit.ImportRemoved)) != 1 {
			t.Errorf("%d certificates", w.count())
		}
		_, err = w.From(ctx, w.stranger, must2(w.lifecycle.FindCertificates(ctx, w.owner, store.CertificateFilter{}))(t)[0].ID)
		w.kind("where another's comes from", err, ra.NotFound)
	})
}

// TestGone: an authority without certificates takes its import along; a group that
// certificates go into stays; and what was set up can become impossible.
func TestGone(t *testing.T) {
	alone(t, func(w *world) {
		t, ctx := w.t, w.t.Context()
		w.setUp(func(in *caimport.Input) { in.GroupID = &w.unit.ID })
		if err := w.inv.DeleteGroup(ctx, w.owner, w.unit.ID); ra.KindOf(err) != ra.Conflict {
			t.Errorf("the group was deleted: %v", err)
		}
		parent := w.other.ID
		must(w.inv.UpdateGroup(ctx, w.owner, w.unit.ID, inventory.GroupInput{ParentID: &parent}))(t)
		run := must(w.Import(ctx, w.owner, w.authority.ID, caimport.Order{}))(t)
		w.work()
		if run = must(w.Run(ctx, w.owner, run.ID))(t); run.State != ra.ImportFailed || run.Message == "" || run.Remedy == "" {
			t.Errorf("%+v", run)
		}
		if err := w.Authorities.Delete(ctx, w.owner, w.authority.ID); err != nil {
			t.Fatal(err)
		}
		w.read(func(tx *store.Tx) error {
			_, err := tx.CAImport(w.authority.ID)
			w.kind("its import", err, ra.NotFound)
			_, err = tx.CAImportRun(run.ID)
			w.kind("its run", err, ra.NotFound)
			return nil
		})
	})
}
