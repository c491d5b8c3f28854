package audit_test

import (
	"errors"
	"testing"

	"chancery/internal/audit"
	"chancery/internal/job/jobtest"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

func TestMain(m *testing.M) { testpeer.Main(m, jobtest.Tables) }

// TestRecord: a line is there exactly when its transaction is, filled in as far
// as its author left it open, and secrets in its details are masked.
func TestRecord(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		db, err := store.Open(t.Context(), address, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		actor := ra.Actor{Kind: ra.ActorAdmin, ID: "adm_1", Name: "jane", Via: "console", Remote: "192.0.2.1", Grants: []ra.Grant{{Role: ra.RoleOwner}}}
		stop := errors.New("stop")
		err = db.Write(t.Context(), func(tx *store.Tx) error {
			return errors.Join(audit.Record(tx, audit.Entry{Code: audit.DeviceDeleted, Actor: actor, Message: "never"}), stop)
		})
		if !errors.Is(err, stop) {
			t.Fatal(err)
		}
		err = db.Write(t.Context(), func(tx *store.Tx) error {
			return errors.Join(
				audit.Record(tx, audit.Entry{Code: audit.DeviceCreated, Actor: actor, Group: "og_1", Object: "dev_1", Related: "usr_1", Message: "Device d created."}),
				audit.Record(tx, audit.Entry{Code: audit.AdminChanged, Actor: actor, Result: "refused", Message: "m",
					Details: map[string]any{"changes": []audit.Change{{Field: "password", After: secret.New("hidden")}, {Field: "model", Before: "a", After: ""}}}}))
		})
		if err != nil {
			t.Fatal(err)
		}
		err = db.Write(t.Context(), func(tx *store.Tx) error {
			return audit.Record(tx, audit.Entry{Code: audit.AdminChanged, Actor: actor, Details: map[string]any{"f": func() {}}})
		})
		if err == nil {
			t.Error("details that cannot be written were accepted")
		}
		var got []*ra.AuditEntry
		err = db.Read(t.Context(), func(tx *store.Tx) error {
			got, _, err = tx.Audit(store.AuditFilter{Page: store.Page{Sort: "-"}})
			return err
		})
		if err != nil || len(got) != 2 {
			t.Fatalf("got %d entries, %v, want 2", len(got), err)
		}
		if e := got[0]; e.Result != "ok" || string(e.Details) != "{}" || e.GroupID != "og_1" || e.Object != "dev_1" || e.Related != "usr_1" || e.At.IsZero() || e.Hash == "" {
			t.Errorf("first entry: %+v", e)
		}
		if a := got[0].Actor; a.ID != "adm_1" || a.Via != "console" || a.Remote != "192.0.2.1" || a.Grants != nil {
			t.Errorf("its actor: %+v, want who it was without the rights of the moment", a)
		}
		const want = `{"changes":[{"field":"password","after":"[secret]"},{"field":"model","before":"a","after":""}]}`
		if e := got[1]; e.Result != "refused" || string(e.Details) != want || e.PrevHash != got[0].Hash {
			t.Errorf("second entry: %+v with %s", e, e.Details)
		}
	})
}
