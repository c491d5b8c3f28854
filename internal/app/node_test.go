package app

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

// TestMasterKeyOfAnotherNode: two servers on one database have the same master
// key. One that has another is refused before it has sealed anything with it,
// whether it comes later or at the very same moment.
func TestMasterKeyOfAnotherNode(t *testing.T) {
	refused := func(t *testing.T, err error) {
		t.Helper()
		if e := ra.AsError(err); e.Kind != ra.Conflict || e.Field != "master_key" || !strings.Contains(e.Message, "began with key") || e.Remedy == "" {
			t.Errorf("a foreign master key: %v", err)
		}
	}
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		nodes := []Config{config(t, address), config(t, address)}
		var both sync.WaitGroup
		apps, errs := make([]*App, 2), make([]error, 2)
		for i, cfg := range nodes {
			both.Go(func() { apps[i], errs[i] = Open(context.Background(), cfg) })
		}
		both.Wait()
		winner, loser := 0, 1
		if errs[0] != nil {
			winner, loser = 1, 0
		}
		if errs[winner] != nil {
			t.Fatalf("nobody could start: %v", errs)
		}
		if err := apps[winner].closeParts(); err != nil {
			t.Fatal(err)
		}
		// Who comes a little later finds a database that is in use and, at its
		// own place, no key at all.
		if ra.KindOf(errs[loser]) != ra.NotFound {
			refused(t, errs[loser])
		}
		if _, err := seal.Create(filepath.Join(nodes[loser].Data, "master.key")); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), nodes[loser])
		refused(t, err)

		nodes[loser].MasterKey = filepath.Join(nodes[winner].Data, "master.key")
		second, err := Open(t.Context(), nodes[loser])
		if err != nil {
			t.Fatalf("with the right file: %v", err)
		}
		if err := second.closeParts(); err != nil {
			t.Error(err)
		}
	})
}

// TestNodeName: a data folder may have a long path, and two of them are two
// nodes.
func TestNodeName(t *testing.T) {
	long := "/" + strings.Repeat("folder/", 40)
	a, b := node(Config{Data: long + "a"}), node(Config{Data: long + "b"})
	if len(a) > maxNode || len(b) > maxNode || a == b || a != node(Config{Data: long + "a"}) {
		t.Errorf("%q, %q", a, b)
	}
	if short := node(Config{Data: "/srv/chancery"}); !strings.HasSuffix(short, ":/srv/chancery") {
		t.Errorf("%q", short)
	}
	cfg := config(t, "")
	cfg.Data = filepath.Join(cfg.Data, strings.Repeat("d", 90))
	app, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := app.closeParts(); err != nil {
		t.Error(err)
	}
}

// TestFirstStartTogether: nodes that begin on an empty database at the same
// moment make one installation.
func TestFirstStartTogether(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		key := filepath.Join(t.TempDir(), "master.key")
		var all sync.WaitGroup
		apps, errs := make([]*App, 3), make([]error, 3)
		for i := range apps {
			cfg := config(t, address)
			cfg.MasterKey = key
			all.Go(func() { apps[i], errs[i] = Open(context.Background(), cfg) })
		}
		all.Wait()
		for i, app := range apps {
			if errs[i] != nil {
				t.Errorf("node %d: %v", i+1, errs[i])
				continue
			}
			defer app.closeParts()
		}
		if t.Failed() {
			return
		}
		ctx := t.Context()
		groups, _, err := apps[0].Inventory.FindGroups(ctx, localActor(), store.GroupFilter{})
		if err != nil || len(groups) != 1 {
			t.Errorf("%d groups, %v", len(groups), err)
		}
		authorities, _, err := apps[1].Authorities.Find(ctx, localActor(), store.AuthorityFilter{})
		if err != nil || len(authorities) != 1 {
			t.Errorf("%d authorities, %v", len(authorities), err)
		}
		admins, _, err := apps[2].Signin.FindAdmins(ctx, localActor(), store.AdminFilter{})
		if err != nil || len(admins) != 1 {
			t.Errorf("%d administrators, %v", len(admins), err)
		}
	})
}
