package inventory_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"chancery/internal/inventory"
	"chancery/internal/ra"
	"chancery/internal/store"
)

func TestUserFields(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		long := strings.Repeat("x", 201)
		many := map[string]string{}
		for i := range 51 {
			many[fmt.Sprintf("k%d", i)] = "v"
		}
		for name, in := range map[string]inventory.UserInput{
			"no name": {Name: ptr("")}, "long name": {Name: &long}, "mail": {Email: ptr("jane")}, "mail with a name": {Email: ptr("Jane <jane@acme.example>")},
			"mail with a zero byte": {Email: ptr("a\x00@b")}, "UPN": {UPN: ptr("jane@@acme")}, "SID": {SID: ptr("S-1-5")}, "SID in lower case": {SID: ptr("s-1-5-18")},
			"first name": {FirstName: &long}, "last name": {LastName: &long}, "display name": {DisplayName: ptr("a\nb")}, "DN": {DN: ptr(strings.Repeat("x", 1001))},
			"too many attributes": {Attributes: many}, "attribute name": {Attributes: map[string]string{"a b": "x"}},
			"attribute value": {Attributes: map[string]string{"a": strings.Repeat("x", 1001)}}, "zero byte in an attribute": {Attributes: map[string]string{"a": "x\x00y"}},
			"no group": {GroupID: ptr(ra.GroupID(""))},
		} {
			if in.Name == nil {
				in.Name = ptr("jane")
			}
			if in.GroupID == nil {
				in.GroupID = &w.berlin.ID
			}
			_, err := w.CreateUser(ctx, w.owner, in)
			wantKind(w.t, name, err, ra.Invalid)
		}
		_, err := w.CreateUser(ctx, w.owner, inventory.UserInput{GroupID: &w.berlin.ID, Email: ptr("x"), SID: ptr("x")})
		if e := ra.AsError(err); len(e.Details) != 3 {
			w.t.Errorf("got %v, want name, email and sid at once", err)
		}
		u, err := w.CreateUser(ctx, w.owner, inventory.UserInput{GroupID: &w.berlin.ID, Name: ptr(" JDoe "), Email: ptr("jane@bücher.example"), UPN: ptr("jdoe@acme.local"),
			SID: ptr("S-1-5-21-1-2-3-1104"), DN: ptr("CN=Jane,DC=acme"), Attributes: map[string]string{"department": " R&D ", "empty": ""}})
		if err != nil {
			w.t.Fatal(err)
		}
		got, err := w.User(ctx, w.owner, u.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		same(w.t, "stored", got, u)
		same(w.t, "attributes", got.Attributes, map[string]string{"department": "R&D"})
		_, err = w.CreateUser(ctx, w.owner, inventory.UserInput{GroupID: &w.berlin.ID, Name: ptr("jdoe")})
		wantKind(w.t, "the name in another case", err, ra.Conflict)
		_, err = w.CreateUser(ctx, w.owner, inventory.UserInput{GroupID: &w.paris.ID, Name: ptr("jdoe")})
		wantKind(w.t, "the name in another group", err, "")
		u, err = w.UpdateUser(ctx, w.owner, u.ID, inventory.UserInput{Disabled: ptr(true), SID: ptr("")})
		if err != nil || !u.Disabled || u.SID != "" || u.Email == "" {
			w.t.Errorf("after the update: %+v, %v", u, err)
		}
	})
}

func TestDeviceFields(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		for name, in := range map[string]inventory.DeviceInput{
			"no platform": {Platform: ptr(ra.Platform(""))}, "unknown platform": {Platform: ptr(ra.Platform("symbian"))}, "no platform ID": {PlatformID: ptr(" ")},
			"ownership": {Ownership: ptr("X")}, "long model": {Model: ptr(strings.Repeat("x", 201))}, "no group": {GroupID: ptr(ra.GroupID(""))},
		} {
			if in.Platform == nil {
				in.Platform = ptr(ra.Windows)
			}
			if in.PlatformID == nil {
				in.PlatformID = ptr("pid")
			}
			if in.GroupID == nil {
				in.GroupID = &w.berlin.ID
			}
			_, err := w.CreateDevice(ctx, w.owner, in)
			wantKind(w.t, name, err, ra.Invalid)
		}
		d, err := w.CreateDevice(ctx, w.owner, inventory.DeviceInput{GroupID: &w.berlin.ID, Platform: ptr(ra.MacOS), PlatformID: ptr("UDID-1"), Ownership: ptr("c")})
		if err != nil {
			w.t.Fatal(err)
		}
		if d.Name != "UDID-1" || d.Ownership != "C" || d.State != ra.DeviceEnrolled || d.OrganizationID != w.acme.ID {
			w.t.Errorf("created %+v", d)
		}
		_, err = w.CreateDevice(ctx, w.owner, inventory.DeviceInput{GroupID: &w.paris.ID, Platform: ptr(ra.MacOS), PlatformID: ptr("UDID-1")})
		wantKind(w.t, "the platform ID elsewhere in the organization", err, ra.Conflict)
		_, err = w.CreateDevice(ctx, w.owner, inventory.DeviceInput{GroupID: &w.other.ID, Platform: ptr(ra.MacOS), PlatformID: ptr("UDID-1")})
		wantKind(w.t, "the platform ID in another organization", err, "")
		_, err = w.UpdateDevice(ctx, w.owner, d.ID, inventory.DeviceInput{PlatformID: ptr("UDID-2")})
		wantKind(w.t, "another identity", err, ra.Invalid)
		_, err = w.UpdateDevice(ctx, w.owner, d.ID, inventory.DeviceInput{GroupID: &w.other.ID})
		wantKind(w.t, "another organization", err, ra.Conflict)
		_, err = w.UpdateDevice(ctx, as(ra.RoleOperator, w.berlin), d.ID, inventory.DeviceInput{GroupID: &w.paris.ID})
		wantKind(w.t, "a group the operator may not see", err, ra.NotFound)
		d, err = w.UpdateDevice(ctx, as(ra.RoleOperator, w.acme), d.ID, inventory.DeviceInput{GroupID: &w.paris.ID, Name: ptr("Jane's Mac")})
		if err != nil || d.GroupID != w.paris.ID || d.Name != "Jane's Mac" {
			w.t.Errorf("moved within the organization: %+v, %v", d, err)
		}
	})
}

func TestDeviceAndUserShareAnOrganization(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		d, boss, jane, stranger := w.device(w.berlin, "d"), w.user(w.acme, "boss"), w.user(w.berlin, "jane"), w.user(w.other, "stranger")
		operator := as(ra.RoleOperator, w.berlin)
		for _, c := range []struct {
			name  string
			actor ra.Actor
			user  ra.UserID
			kind  ra.Kind
		}{
			{"of the group", operator, jane.ID, ""}, {"of a group the operator cannot see", operator, boss.ID, ra.NotFound},
			{"of the organization", w.owner, boss.ID, ""}, {"of another organization", w.owner, stranger.ID, ra.Invalid},
			{"nobody there is", w.owner, "usr_x", ra.NotFound}, {"nobody", operator, "", ""}, {"again", w.owner, jane.ID, ""},
		} {
			_, err := w.UpdateDevice(ctx, c.actor, d.ID, inventory.DeviceInput{UserID: &c.user})
			wantKind(w.t, "a user "+c.name, err, c.kind)
		}
		_, err := w.UpdateUser(ctx, w.owner, jane.ID, inventory.UserInput{GroupID: &w.other.ID})
		wantKind(w.t, "a user with a device to another organization", err, ra.Conflict)
		_, err = w.UpdateUser(ctx, w.owner, jane.ID, inventory.UserInput{GroupID: &w.paris.ID})
		wantKind(w.t, "a user with a device within the organization", err, "")
		_, err = w.UpdateDevice(ctx, w.owner, d.ID, inventory.DeviceInput{UserID: ptr(ra.UserID(""))})
		wantKind(w.t, "unassigned", err, "")
		_, err = w.UpdateUser(ctx, w.owner, jane.ID, inventory.UserInput{GroupID: &w.other.ID})
		wantKind(w.t, "a user without a device", err, "")
	})
}

func TestDeleteWaitsForCertificatesAndRequests(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		d, u := w.device(w.berlin, "d"), w.user(w.berlin, "u")
		hour := w.clock.Now().Add(time.Hour)
		held := w.certificate(w.berlin, d.ID, u.ID, ra.OnHold, hour)
		w.certificate(w.berlin, d.ID, u.ID, ra.Revoked, hour)
		wantKind(w.t, "a device with a certificate on hold", w.DeleteDevice(ctx, w.owner, d.ID), ra.Conflict)
		wantKind(w.t, "its user", w.DeleteUser(ctx, w.owner, u.ID), ra.Conflict)
		w.clock.Advance(2 * time.Hour)
		r := &ra.Request{ID: "req_1", GroupID: w.berlin.ID, AuthorityID: held.AuthorityID, TemplateID: held.TemplateID, DeviceID: d.ID, State: ra.PendingAtCA, KeyPlace: ra.KeyOnDevice,
			IdempotencyKey: "1", Fill: []byte("{}"), Obligation: ra.Obligation{Action: ra.ActionFetch, At: w.clock.Now()}}
		w.write(func(tx *store.Tx) error { return tx.CreateRequest(r) })
		err := w.DeleteDevice(ctx, w.owner, d.ID)
		wantKind(w.t, "a device that waits for a certificate", err, ra.Conflict)
		if err != nil && !strings.Contains(ra.AsError(err).Remedy, "Unenrol") {
			w.t.Errorf("the remedy is %q, want it to tell to unenrol", ra.AsError(err).Remedy)
		}
		w.write(func(tx *store.Tx) error {
			r.State, r.Obligation = ra.Failed, ra.Obligation{}
			return tx.UpdateRequest(r)
		})
		stop := errors.New("stop")
		w.OnDelete = func(*store.Tx, ra.Actor, *ra.Device) error { return stop }
		if err := w.DeleteDevice(ctx, w.owner, d.ID); !errors.Is(err, stop) {
			w.t.Errorf("got %v, want what the hook gave", err)
		}
		var told ra.DeviceID
		w.OnDelete = func(tx *store.Tx, actor ra.Actor, d *ra.Device) error {
			told = d.ID
			_, err := tx.Device(d.ID)
			return err
		}
		wantKind(w.t, "when all is over", w.DeleteDevice(ctx, w.owner, d.ID), "")
		same(w.t, "the hook was told", told, d.ID)
		wantKind(w.t, "its user then", w.DeleteUser(ctx, w.owner, u.ID), "")
		_, err = w.Device(ctx, w.owner, d.ID)
		wantKind(w.t, "the device afterwards", err, ra.NotFound)
	})
}

func TestDeviceStates(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		d := w.device(w.berlin, "d")
		before := len(w.trail())
		w.OnUnenrol = func(tx *store.Tx, actor ra.Actor, d *ra.Device) error {
			if d.State == ra.DeviceUnenrolled {
				w.t.Error("the hook came after the change")
			}
			return tx.Append(&ra.AuditEntry{Code: "test.hook", Actor: actor, Object: string(d.ID), Result: "ok"})
		}
		moves := []struct {
			name string
			do   func() (*ra.Device, error)
			want ra.DeviceState
		}{
			{"enrol an enrolled one", func() (*ra.Device, error) { return w.EnrolDevice(ctx, w.owner, d.ID) }, ra.DeviceEnrolled},
			{"block", func() (*ra.Device, error) { return w.BlockDevice(ctx, w.owner, d.ID) }, ra.DeviceBlocked},
			{"unenrol", func() (*ra.Device, error) { return w.UnenrolDevice(ctx, w.owner, d.ID) }, ra.DeviceUnenrolled},
			{"unenrol again", func() (*ra.Device, error) { return w.UnenrolDevice(ctx, w.owner, d.ID) }, ra.DeviceUnenrolled},
			{"enrol", func() (*ra.Device, error) { return w.EnrolDevice(ctx, w.owner, d.ID) }, ra.DeviceEnrolled},
		}
		for _, m := range moves {
			got, err := m.do()
			if err != nil || got.State != m.want {
				w.t.Errorf("%s: %+v, %v, want %s", m.name, got, err, m.want)
			}
		}
		same(w.t, "audit", w.trail()[before:], []string{"device.blocked", "test.hook", "device.unenrolled", "device.enrolled"})
		w.OnUnenrol = func(*store.Tx, ra.Actor, *ra.Device) error {
			return ra.Errorf(ra.Conflict, "Not now.").WithRemedy("Later.")
		}
		_, err := w.UnenrolDevice(ctx, w.owner, d.ID)
		wantKind(w.t, "when the hook refuses", err, ra.Conflict)
		got, err := w.Device(ctx, w.owner, d.ID)
		if err != nil || got.State != ra.DeviceEnrolled {
			w.t.Errorf("after a refused move: %+v, %v", got, err)
		}
	})
}
