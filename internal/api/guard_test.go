package api

import (
	"context"
	"net/http"
	"testing"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

// danger stores what a guard has found of an authority, which stops its template
// Mobile.
func (w *world) danger(id ra.AuthorityID, name string) string {
	w.t.Helper()
	f := ra.Finding{Condition: "ESC1", Key: "ESC1:template:mobile", State: ra.FindingFound, Severity: ra.SeverityDanger, Object: "Mobile", Template: "Mobile", Hash: "one",
		Who: []ra.Principal{{SID: "S-1-5-11", Name: "Authenticated Users"}}, Sentence: "Everybody of " + name + " may enrol.", Remedy: "Give Enroll to our account alone.", Script: "# script\n"}
	var d *ra.Danger
	must(w.t, w.server.DB.Write(context.Background(), func(tx *store.Tx) error {
		d = &ra.Danger{ID: ra.NewID[ra.DangerID](ra.DangerPrefix, tx.Now), AuthorityID: id, Finding: f, Seen: tx.Now, Obligation: ra.Obligation{Action: ra.ActionMend, At: tx.Now}}
		if err := tx.CreateDanger(d); err != nil {
			return err
		}
		return tx.PutPosture(&ra.Posture{ID: id, Version: tx.Now, Evaluated: tx.Now, Obligation: ra.Obligation{Action: ra.ActionEvaluate, At: tx.Now},
			Report: ra.PostureReport{By: "chancery", Findings: []ra.Finding{f, {Condition: "ESC2", Key: "ESC2", State: ra.FindingNotFound, Sentence: "Not found."}}, Templates: []ra.IssuingTemplate{
				{Name: "Mobile", Title: "Mobile devices", Issued: true, Enroll: "yes", Requires: []string{"The key is 2048 bits or more."}}}}})
	}))
	return string(d.ID)
}

// TestGuard: what the guard found is told whole, stops templates, and is signed off
// as it was seen.
func TestGuard(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		w := newWorld(t, address)
		s := w.populate("acme")
		var g resource.Guard
		w.do(http.StatusOK, get, "/authorities/"+s.Guarded+"/guard", nil, &g)
		if g.Open != 1 || len(g.Findings) != 2 || len(g.Dangers) != 1 || g.Dangers[0].ID != s.Danger || !g.Dangers[0].Open || g.Dangers[0].Finding.Who[0].Name != "Authenticated Users" || g.EvaluatedAt.IsZero() {
			t.Errorf("%+v", g)
		}
		template := map[string]any{"group_id": s.Group, "authority_id": s.Guarded, "name": "Mobile", "spec": map[string]any{"subject": "CN={DeviceUid}", "issuing_template": "mobile"}}
		if p := w.refused(w.owner, http.StatusUnprocessableEntity, post, prefix+"/templates", template); p.Field != "spec.issuing_template" || p.Message != "ESC1: Everybody of acme may enrol." {
			t.Errorf("%+v", p)
		}
		var list resource.Page[resource.CatalogEntry]
		w.do(http.StatusOK, get, "/authorities/"+s.Guarded+"/catalog?lookup=templates", nil, &list) // the CA is nowhere; the directory's list stands in
		if len(list.Items) != 1 || list.Items[0].Title != "Mobile devices" || len(list.Items[0].Requires) != 1 || len(list.Items[0].Obstacles) != 1 {
			t.Errorf("%+v", list)
		}
		var d resource.Danger
		w.do(http.StatusOK, get, "/dangers/"+s.Danger, nil, &d)
		w.refused(w.owner, http.StatusConflict, post, prefix+"/dangers/"+s.Danger+"/sign-off", map[string]any{"hash": "other", "why": "The network is closed."})
		w.do(http.StatusOK, post, "/dangers/"+s.Danger+"/sign-off", map[string]any{"hash": d.Finding.Hash, "why": "The network is closed."}, &d)
		if d.Open || d.SignOff == nil || d.SignOff.Why != "The network is closed." || d.SignOff.By == "" || d.Action != "" {
			t.Errorf("%+v", d)
		}
		w.do(http.StatusCreated, post, "/templates", template, nil)
		w.do(http.StatusOK, post, "/dangers/"+s.Danger+"/reopen", nil, &d)
		if !d.Open || d.SignOff != nil || d.Action != "mend" {
			t.Errorf("%+v", d)
		}
		w.refused(w.owner, http.StatusUnprocessableEntity, get, prefix+"/authorities/"+s.Authority+"/guard", nil)
		w.do(http.StatusOK, post, "/authorities/"+s.Guarded+"/guard", nil, &g) // nobody answers
		if g.Open != 1 || g.LastError == "" {
			t.Errorf("%+v", g)
		}
	})
}
