package api

import (
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// difference stores that the records of the Microsoft CA of a set and those here do
// not agree on the certificate of the set.
func (w *world) difference(s set, kind ra.DifferenceKind, subject string) string {
	w.t.Helper()
	var d *ra.Difference
	must(w.t, w.server.DB.Write(context.Background(), func(tx *store.Tx) error {
		d = &ra.Difference{ID: ra.NewID[ra.DifferenceID](ra.DifferencePrefix, tx.Now), Authority: ra.AuthorityID(s.Guarded), GroupID: ra.GroupID(s.Group), Kind: kind,
			Certificate: ra.CertificateID(s.Certificate), Number: 17, Serial: "1a2b", Subject: subject, Requester: `CORP\mallory`, Template: "WebServer"}
		return tx.CreateDifference(d)
	}))
	return string(d.ID)
}

// TestImport: an import is set up, changed and taken away; what is wrong with it is
// said of the field.
func TestImport(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.populate("acme")
		one := "/authorities/" + s.Guarded + "/import"
		var i resource.CAImport
		h := w.do(http.StatusOK, get, one, nil, &i)
		if i.AuthorityID != s.Guarded || i.GroupID != s.Group || i.Scope != "current" || i.Adopt == nil || len(i.Adopt) > 0 || i.Every != "" || i.UpdatedBy != "owner" || h.Get("ETag") == "" {
			t.Errorf("set up: %+v", i)
		}
		// While a run waits, nothing of it changes and no other begins.
		w.refused(w.owner, http.StatusConflict, put, prefix+one, map[string]any{"scope": "all"})
		w.refused(w.owner, http.StatusConflict, post, prefix+one+"s", map[string]any{})
		w.refused(w.owner, http.StatusConflict, remove, prefix+one, nil)
		var run resource.CAImportRun
		w.do(http.StatusOK, post, "/imports/"+s.Import+"/cancel", nil, &run)
		if run.State != "cancelled" || !run.Preview || run.OrderBy != "owner" || run.AuthorityID != s.Guarded {
			t.Errorf("cancelled: %+v", run)
		}

		w.refused(w.owner, http.StatusPreconditionFailed, put, prefix+one, map[string]any{"scope": "all"}, "If-Match", `"abc"`)
		var tpl resource.Template
		w.do(http.StatusCreated, post, "/templates", map[string]any{"group_id": s.Group, "authority_id": s.Guarded, "name": "web", "spec": map[string]any{"subject": "CN={DeviceUid}", "issuing_template": "Web"}}, &tpl)
		change := map[string]any{"scope": "all", "every": "90m", "adopt": map[string]any{"WebServer": tpl.ID}}
		next := w.do(http.StatusOK, put, one, change, &i, "If-Match", h.Get("ETag"))
		if i.Scope != "all" || i.Every != "1h30m" || i.Adopt["WebServer"] != tpl.ID || i.GroupID != s.Group || i.Action != "" || // nobody has confirmed a run yet
			next.Get("ETag") == h.Get("ETag") {
			t.Errorf("changed: %+v", i)
		}
		w.do(http.StatusOK, put, one, map[string]any{"every": ""}, &i)
		if i.Every != "" || i.Adopt["WebServer"] != tpl.ID || i.Action != "" {
			t.Errorf("only when somebody asks: %+v", i)
		}
		for field, in := range map[string]map[string]any{
			"every":           {"every": "often"},
			"scope":           {"scope": "some"},
			"group_id":        {"group_id": "og_none"},
			"adopt.WebServer": {"adopt": map[string]any{"WebServer": s.Template}}, // of another authority
		} {
			if p := w.refused(w.owner, http.StatusUnprocessableEntity, put, prefix+one, in); p.Field != field {
				t.Errorf("%v: %+v", in, p)
			}
		}
		w.refused(w.owner, http.StatusUnprocessableEntity, put, prefix+one, map[string]any{"colour": "red"})
		if p := w.refused(w.owner, http.StatusConflict, put, prefix+"/authorities/"+s.Authority+"/import", map[string]any{"group_id": s.Group}); !strings.Contains(p.Message, "cannot be read") {
			t.Errorf("of an authority that tells nothing: %+v", p)
		}
		w.refused(w.owner, http.StatusNotFound, get, prefix+"/authorities/"+s.Authority+"/import", nil)

		w.do(http.StatusNoContent, remove, one, nil, nil)
		w.refused(w.owner, http.StatusNotFound, get, prefix+one, nil)
		if p := w.refused(w.owner, http.StatusUnprocessableEntity, put, prefix+one, map[string]any{}); p.Field != "group_id" {
			t.Errorf("set up without a group: %+v", p)
		}
	})
}

// TestImportRuns: what a run did is told whole, and the runs page by page.
func TestImportRuns(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.populate("acme")
		var made map[string]bool
		must(t, w.server.DB.Write(t.Context(), func(tx *store.Tx) error {
			made = map[string]bool{s.Import: true}
			for n := range 4 {
				r := &ra.CAImportRun{ID: ra.NewID[ra.CAImportRunID](ra.CAImportRunPrefix, tx.Now), Authority: ra.AuthorityID(s.Guarded), State: ra.ImportDone, By: ra.System("schedule"), Full: n == 0,
					Read: 10, Known: 3, Added: 5, Skipped: 2, Changed: 1, Matched: 4, Strange: 1, Message: "It went through.", StartedAt: tx.Now, EndedAt: tx.Now,
					Templates: []ra.CAImportTemplate{{Name: "WebServer", Read: 10, Added: 5, Matched: 4}}, Problems: []ra.CAImportProblem{{Number: 12, Serial: "1f", Message: "It cannot be read.", Remedy: "Look at it."}}}
				made[string(r.ID)] = true
				if err := tx.CreateCAImportRun(r); err != nil {
					return err
				}
			}
			return nil
		}))
		list, seen, after := "/authorities/"+s.Guarded+"/imports?limit=2", map[string]bool{}, ""
		for pages := 1; ; pages++ {
			var page resource.Page[resource.CAImportRun]
			w.do(http.StatusOK, get, list+"&after="+after, nil, &page)
			for _, r := range page.Items {
				if seen[r.ID] || !made[r.ID] {
					t.Errorf("%s comes twice, or from elsewhere", r.ID)
				}
				seen[r.ID] = true
				if r.State == "done" && (r.Read != r.Known+r.Added+r.Skipped || r.Differences != 1 || r.Changed != 1 || len(r.Templates) != 1 || r.Templates[0].Matched != 4 || len(r.Problems) != 1 || r.Problems[0].Number != 12 || r.Ended.IsZero()) {
					t.Errorf("%+v", r)
				}
			}
			if after = page.Next; after == "" {
				if pages != 3 || len(seen) != len(made) {
					t.Errorf("%d pages with %d runs, want 3 with %d", pages, len(seen), len(made))
				}
				break
			}
		}
		var run resource.CAImportRun
		w.do(http.StatusOK, get, "/imports/"+s.Import, nil, &run)
		if run.State != "waiting" || run.Templates == nil || run.Problems == nil || !run.Started.IsZero() {
			t.Errorf("waiting: %+v", run)
		}
		w.refused(w.owner, http.StatusNotFound, get, prefix+"/imports/cir_none", nil)
		w.do(http.StatusOK, post, "/imports/"+s.Import+"/cancel", nil, nil)
		w.do(http.StatusAccepted, post, "/authorities/"+s.Guarded+"/imports", map[string]any{"full": true}, &run)
		if !run.Full || run.Preview || run.State != "waiting" {
			t.Errorf("ordered: %+v", run)
		}
	})
}

// TestDifferences: differences are found by what they are about, say what they mean,
// and are settled with a comment.
func TestDifferences(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.populate("acme")
		for n, kind := range []ra.DifferenceKind{ra.DiffNoRequest, ra.DiffEnded, ra.DiffNotRevoked} {
			w.difference(s, kind, fmt.Sprintf("=CN=host %d", n))
		}
		found := func(query string) (ids []string) {
			t.Helper()
			for after := ""; ; {
				var page resource.Page[resource.Difference]
				w.do(http.StatusOK, get, "/differences?limit=1"+query+"&after="+after, nil, &page)
				for _, d := range page.Items {
					if d.Title == "" || d.Meaning == "" || d.Remedy == "" {
						t.Errorf("%s is not told about: %+v", d.Kind, d)
					}
					ids = append(ids, d.ID)
				}
				if after = page.Next; after == "" {
					return ids
				}
			}
		}
		for query, want := range map[string]int{"": 4, "&sort=subject": 4, "&sort=-created": 4, "&kind=ended": 1, "&open=true": 4, "&open=false": 0, "&text=host": 3, "&text=MALLORY": 4, "&text=1a2b": 4, "&text=nobody": 0,
			"&authority_id=" + s.Guarded: 4, "&authority_id=" + s.Authority: 0, "&group_id=" + s.Group: 4} {
			if got := found(query); len(got) != want {
				t.Errorf("%q finds %d, want %d", query, len(got), want)
			}
		}
		for field, query := range map[string]string{"kind": "?kind=odd", "open": "?open=maybe"} {
			if p := w.refused(w.owner, http.StatusUnprocessableEntity, get, prefix+"/differences"+query, nil); p.Field != field {
				t.Errorf("%s: %+v", query, p)
			}
		}
		rows, err := csv.NewReader(strings.NewReader(exported(w, "/differences/export?text=host"))).ReadAll()
		if err != nil || len(rows) != 4 || !strings.HasPrefix(rows[1][6], "'=CN=host") || rows[1][4] != "17" {
			t.Errorf("exported: %v %q", err, rows)
		}

		one := "/differences/" + s.Difference
		if p := w.refused(w.owner, http.StatusUnprocessableEntity, post, prefix+one+"/settle", map[string]any{"comment": " "}); p.Field != "comment" {
			t.Errorf("without a comment: %+v", p)
		}
		var d resource.Difference
		w.do(http.StatusOK, post, one+"/settle", map[string]any{"comment": "Issued by hand while the server was down."}, &d)
		if d.Open || d.SettledBy != "owner" || d.Comment != "Issued by hand while the server was down." || d.SettledAt.IsZero() || d.Kind != "not_ours" || d.CertificateID != s.Certificate || d.Number != 17 {
			t.Errorf("settled: %+v", d)
		}
		if got := found("&open=false"); len(got) != 1 || got[0] != s.Difference {
			t.Errorf("settled are %v", got)
		}
		w.refused(w.owner, http.StatusConflict, post, prefix+one+"/settle", map[string]any{"comment": "Once more."})
		w.refused(w.owner, http.StatusNotFound, get, prefix+"/differences/dif_none", nil)
	})
}

// TestImportedCertificates: a certificate that was taken over says where it is from,
// and lists tell the two apart.
func TestImportedCertificates(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.populate("acme")
		var c resource.Certificate
		w.do(http.StatusOK, get, "/certificates/"+s.Certificate, nil, &c)
		if c.ImportedFrom != nil {
			t.Errorf("it was issued here: %+v", c.ImportedFrom)
		}
		must(t, w.server.DB.Write(t.Context(), func(tx *store.Tx) error {
			return tx.CreateImported(&ra.ImportedFrom{Certificate: ra.CertificateID(s.Certificate), Authority: ra.AuthorityID(s.Guarded), Run: ra.CAImportRunID(s.Import), Number: 17,
				Requester: `CORP\ada`, Template: "WebServer", At: tx.Now})
		}))
		w.do(http.StatusOK, get, "/certificates/"+s.Certificate, nil, &c)
		if f := c.ImportedFrom; f == nil || f.AuthorityID != s.Guarded || f.Number != 17 || f.Requester != `CORP\ada` || f.Template != "WebServer" || f.RunID != s.Import || f.At.IsZero() {
			t.Errorf("taken over: %+v", f)
		}
		for query, want := range map[string]int{"?imported=true": 1, "?imported=false": 0, "": 1} {
			var page resource.Page[resource.Certificate]
			w.do(http.StatusOK, get, "/certificates"+query, nil, &page)
			if len(page.Items) != want {
				t.Errorf("%q finds %d, want %d", query, len(page.Items), want)
			}
		}
		if p := w.refused(w.owner, http.StatusUnprocessableEntity, get, prefix+"/certificates?imported=perhaps", nil); p.Field != "imported" {
			t.Errorf("%+v", p)
		}
	})
}
