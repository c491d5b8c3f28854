package console

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"chancery/internal/keyring"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// TestMasterKeyRotation replaces the master key from the console: the step that
// asks, each stage as the page tells it, and the former key dropped.
func TestMasterKeyRotation(t *testing.T) {
	w := newWorld(t)
	w.fill()
	ctx := context.Background()
	keys := w.c.Keyring
	must(t, keys.Sync(ctx))
	b := w.visit(w.owner)
	former := keys.Box.KeyID()
	shows := func(parts ...string) string {
		t.Helper()
		a := b.get("/master-key")
		text := visible(a.body)
		for _, part := range parts {
			if a.status != http.StatusOK || !strings.Contains(text, part) {
				t.Errorf("status %d, %q is not on the page:\n%s", a.status, part, text)
			}
		}
		for _, f := range flaws(a.body) {
			t.Error(f)
		}
		return a.body
	}
	if page := shows("In use", former, "Rotate the master key…", "no other key", "0 secrets", "Nothing is on record yet."); strings.Contains(page, "data-refresh") || strings.Contains(page, "/master-key/drop") {
		t.Error("a page at rest that moves, or offers to drop the only key")
	}
	b.get("/master-key/rotate").want(t, http.StatusOK, "cannot be called off")
	if len(w.masterKeys()) != 0 {
		t.Fatal("looking at the step before has begun the rotation")
	}
	b.done("/master-key/rotate", nil)
	// The rotation has moved on when this server, the only one, has looked at it.
	fresh := w.masterKeys()[0].ID
	if page := shows("Servers learn it", fresh, "0 of 1 server"); !strings.Contains(page, `data-refresh="2"`) || strings.Contains(page, `href="/master-key/rotate"`) {
		t.Error("the page does not follow the rotation, or offers another")
	}
	if a := b.post("/master-key/rotate", nil); a.status != http.StatusConflict || !strings.Contains(a.body, "being introduced already") {
		t.Errorf("a second rotation: status %d\n%s", a.status, visible(a.body))
	}
	if a := b.post("/master-key/drop", nil); a.status != http.StatusConflict || !strings.Contains(a.body, "There is no master key to drop now.") {
		t.Errorf("dropping the key in use: status %d\n%s", a.status, visible(a.body))
	}
	must(t, keys.Sync(ctx)) // it learns the key
	must(t, keys.Sync(ctx)) // it seals with it
	before, err := keys.Status(ctx, system)
	must(t, err)
	if before.Left == 0 {
		t.Fatal("nothing was sealed before")
	}
	shows("Under way", plural(int(before.Left), "secret"), "0 secrets sealed anew, "+count(int(before.Left))+" to go", "It goes on after a restart.")
	must(t, keys.Reseal(ctx, keyring.ResealJob{Key: fresh}))
	if page := shows("Waits for you", "Drop the former key…", "none is left under the former key", former); strings.Contains(page, "data-refresh") {
		t.Error("the page goes on looking when it is people's turn")
	}
	b.get("/master-key/drop").want(t, http.StatusOK, "Backups made before now")
	b.done("/master-key/drop", nil)
	if page := shows("In use", fresh, "no other key", "The former master key was dropped.", "· "+w.owner.Name+" over console"); strings.Contains(page, former+"</code>") {
		t.Error("the former key is still kept")
	}
	if _, err := w.c.Authorities.Reach(ctx, ra.AuthorityID(w.ids["authorities"])); err != nil {
		t.Errorf("the authority's key does not open: %v", err)
	}
}

func (w *world) masterKeys() (list []store.MasterKey) {
	w.t.Helper()
	must(w.t, w.c.DB.Read(context.Background(), func(tx *store.Tx) (err error) {
		list, err = tx.MasterKeys()
		return err
	}))
	return list
}

// TestMasterKeyIsForTheWholeInstallation: an owner of one organization neither
// sees nor changes what seals everybody's secrets.
func TestMasterKeyIsForTheWholeInstallation(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.admin("greta", ra.Grant{Role: ra.RoleOwner, Group: ra.GroupID(w.ids["groups"])}))
	if menu := b.get("/administrators"); menu.status != http.StatusOK || strings.Contains(menu.body, `href="/master-key"`) {
		t.Errorf("status %d; the menu offers what is refused", menu.status)
	}
	for _, path := range []string{"/master-key", "/master-key/rotate", "/master-key/drop"} {
		if a := b.get(path); a.status != http.StatusForbidden {
			t.Errorf("GET %s: status %d", path, a.status)
		}
	}
	for _, path := range []string{"/master-key/rotate", "/master-key/drop"} {
		if a := b.post(path, nil); a.status != http.StatusForbidden {
			t.Errorf("POST %s: status %d", path, a.status)
		}
	}
	if len(w.masterKeys()) != 0 {
		t.Error("a rotation has begun")
	}
	if menu := w.visit(w.owner).get("/"); !strings.Contains(menu.body, `href="/master-key"`) {
		t.Error("the menu does not lead to the master key")
	}
}
