package store_test

import (
	"errors"
	"testing"

	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

// config gives the configuration of a transaction.
func config(t *testing.T, tx *store.Tx) *store.Config {
	t.Helper()
	c, err := tx.Config()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// templateOf gives the template as a Read of its own sees it.
func templateOf(t *testing.T, db *store.DB, id ra.TemplateID) (got *ra.Template) {
	t.Helper()
	read(t, db, func(tx *store.Tx) (err error) {
		got, err = config(t, tx).Template(id)
		return err
	})
	return got
}

// The configuration is what the rows say, the moment after any change, on the
// node that made it and on every other; while nothing changes, it is loaded
// once.
func TestConfigFollowsEveryChange(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		c := newClock()
		db, other := open(t, address, c), open(t, address, c)
		w := newWorld(t, db, c)
		gone := *w.endpoint
		gone.ID, gone.Name = id[ra.EndpointID](ra.EndpointPrefix, c.Now()), "gone"
		write(t, db, func(tx *store.Tx) error { return tx.CreateEndpoint(&gone) })

		// view is everything the configuration tells, as text.
		view := func(t *testing.T, db *store.DB) map[string]any {
			t.Helper()
			got := map[string]any{}
			read(t, db, func(tx *store.Tx) error {
				c := config(t, tx)
				unit, err := c.Group(w.unit.ID)
				settings, err2 := c.EffectiveSettings(w.unit.ID)
				authority, err3 := c.Authority(w.authority.ID)
				template, err4 := c.Template(w.template.ID)
				endpoint, err5 := c.EndpointByName(w.endpoint.Name)
				issuers, err6 := c.Issuers(w.authority.ID)
				if err := errors.Join(err, err2, err3, err4, err5, err6); err != nil {
					return err
				}
				_, err = c.EndpointByName("gone")
				made, err7 := store.Keep(c, "test", "own", func(tx *store.Tx) (string, error) {
					t, err := tx.Template(w.template.ID)
					return "made of " + t.Spec.Subject, err
				})
				got["path"], got["settings"], got["authority"], got["template"] = unit.Path, settings, string(authority.Settings), template.Spec.Subject
				got["endpoint"], got["issuers"], got["gone"], got["made"] = endpoint.Disabled, len(issuers), ra.KindOf(err), made
				return err7
			})
			return got
		}
		// Both nodes have everything in memory before each change.
		change := func(what string, f func(tx *store.Tx) error, want map[string]any) {
			t.Helper()
			before := view(t, db)
			same(t, what+": on another node before", view(t, other), before)
			c.Advance(1)
			write(t, db, f)
			for name, v := range want {
				if before[name] == v {
					t.Errorf("%s: %s is %v already, so the change shows nothing", what, name, v)
				}
				before[name] = v
			}
			same(t, what, view(t, db), before)
			same(t, what+": on another node", view(t, other), before)
		}
		settings := ra.GroupSettings{Organization: "Acme Ltd", Country: "SE", Contact: "pki@acme.example"}
		change("a setting of a group above", func(tx *store.Tx) error {
			g, err := tx.Group(w.org.ID)
			g.Settings.Country = "SE"
			return errors.Join(err, tx.UpdateGroup(g))
		}, map[string]any{"settings": settings})
		change("a template", func(tx *store.Tx) error {
			x, err := tx.Template(w.template.ID)
			x.Spec.Subject = "CN=changed"
			return errors.Join(err, tx.UpdateTemplate(x))
		}, map[string]any{"template": "CN=changed", "made": "made of CN=changed"})
		change("an authority", func(tx *store.Tx) error {
			x, err := tx.Authority(w.authority.ID)
			x.Settings = []byte(`{"days":91}`)
			return errors.Join(err, tx.UpdateAuthority(x))
		}, map[string]any{"authority": `{"days":91}`})
		change("an endpoint", func(tx *store.Tx) error {
			x, err := tx.Endpoint(w.endpoint.ID)
			x.Disabled = true
			return errors.Join(err, tx.UpdateEndpoint(x))
		}, map[string]any{"endpoint": true})
		change("a deletion", func(tx *store.Tx) error { return tx.DeleteEndpoint(gone.ID) }, map[string]any{"gone": ra.NotFound})
		change("the issuers", func(tx *store.Tx) error {
			return tx.PutIssuers(w.authority.ID, []store.Issuer{{AuthorityID: w.authority.ID, Fingerprint: "f1", SPKIHash: "s1", DER: []byte{1}}})
		}, map[string]any{"issuers": 1})
		parent := &ra.Group{ID: id[ra.GroupID](ra.GroupPrefix, c.Now()), Name: "Holding"}
		change("a move of the group above", func(tx *store.Tx) error {
			if err := tx.CreateGroup(parent); err != nil {
				return err
			}
			g, err := tx.Group(w.org.ID)
			g.ParentID = parent.ID
			return errors.Join(err, tx.UpdateGroup(g))
		}, map[string]any{"path": "/" + string(parent.ID) + "/" + string(w.org.ID) + "/" + string(w.unit.ID) + "/"})

		first := templateOf(t, db, w.template.ID)
		if templateOf(t, db, w.template.ID) != first {
			t.Error("the same template was loaded twice")
		}
		write(t, db, func(tx *store.Tx) error { return tx.CreateRequest(w.newRequest(c.Now())) })
		if templateOf(t, db, w.template.ID) != first {
			t.Error("a new request had the configuration loaded again")
		}
		write(t, db, func(tx *store.Tx) error {
			got, err := config(t, tx).Template(w.template.ID)
			if got != first {
				t.Error("a Write that changes nothing of it loads the configuration again")
			}
			return err
		})
	})
}

// A transaction sees what it changed itself, and nobody else does before it is
// committed, or ever when it is not.
func TestConfigOfAChangingTransaction(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		first := templateOf(t, db, w.template.ID)
		stop := errors.New("stop")
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			x, err := tx.Template(w.template.ID)
			if err != nil {
				return err
			}
			if _, err := config(t, tx).Template(w.template.ID); err != nil {
				return err
			}
			x.Spec.Subject = "CN=never"
			if err := tx.UpdateTemplate(x); err != nil {
				return err
			}
			got, err := config(t, tx).Template(w.template.ID)
			if err != nil {
				return err
			}
			same(t, "inside", got.Spec.Subject, "CN=never")
			if got := templateOf(t, db, w.template.ID); got != first {
				t.Errorf("outside, before the end: %q", got.Spec.Subject)
			}
			return stop
		})
		if !errors.Is(err, stop) {
			t.Fatal(err)
		}
		if got := templateOf(t, db, w.template.ID); got != first {
			t.Errorf("after it was taken back: %q", got.Spec.Subject)
		}
	})
}

// A view that is older than a change neither sees it nor leaves what it saw to
// those that come after.
func TestConfigOfAnOldView(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		read(t, db, func(tx *store.Tx) error {
			view := config(t, tx)
			if _, err := view.Group(w.org.ID); err != nil {
				return err
			}
			c.Advance(1)
			write(t, db, func(tx *store.Tx) error {
				x, err := tx.Template(w.template.ID)
				x.Spec.Subject = "CN=new"
				return errors.Join(err, tx.UpdateTemplate(x))
			})
			same(t, "meanwhile, in a new view", templateOf(t, db, w.template.ID).Spec.Subject, "CN=new")
			old, err := view.Template(w.template.ID) // loaded now, from the old view
			if err != nil {
				return err
			}
			same(t, "in the old view", old.Spec.Subject, w.template.Spec.Subject)
			return nil
		})
		same(t, "afterwards", templateOf(t, db, w.template.ID).Spec.Subject, "CN=new")
	})
}

// What could not be loaded is looked for again.
func TestConfigKeepsNoError(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		calls := 0
		load := func(*store.Tx) (int, error) {
			if calls++; calls == 1 {
				return 0, errors.New("not now")
			}
			return calls, nil
		}
		for try, want := range []int{0, 2, 2} {
			read(t, db, func(tx *store.Tx) error {
				got, err := store.Keep(config(t, tx), "test", "x", load)
				if got != want || (err != nil) != (try == 0) {
					t.Errorf("try %d: got %d and %v, want %d", try, got, err, want)
				}
				return nil
			})
		}
	})
}
