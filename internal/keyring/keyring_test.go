package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chancery/internal/job"
	"chancery/internal/job/jobtest"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

func TestMain(m *testing.M) { testpeer.Main(m, jobtest.Tables) }

var owner = ra.Actor{Kind: ra.ActorLocal, Name: "test", Grants: []ra.Grant{{Role: ra.RoleOwner}}}

// world is one database with as many nodes as a test wants.
type world struct {
	t       *testing.T
	address string
	db      *store.DB
	file    string // the first master key file
	dir     string
}

func each(t *testing.T, test func(*testing.T, *world)) {
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		db, err := store.Open(t.Context(), address, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		db.Rehearse()
		w := &world{t: t, address: address, db: db, dir: t.TempDir()}
		w.file = filepath.Join(w.dir, "first.key")
		if _, err := seal.Create(w.file); err != nil {
			t.Fatal(err)
		}
		test(t, w)
	})
}

// node is a server with a copy of a master key file in a folder of its own.
func (w *world) node(name, from string) *Service {
	w.t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		w.t.Fatal(err)
	}
	dir := filepath.Join(w.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	path := filepath.Join(dir, "master.key")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		w.t.Fatal(err)
	}
	box, err := seal.Open(path)
	if err != nil {
		w.t.Fatal(err)
	}
	q, err := job.Open(w.t.Context(), w.db, job.Options{Node: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return &Service{DB: w.db, Box: box, Path: path, Node: name, Queue: q, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
}

// owners in table sealed, with the table that their values are bound to.
var owners = map[string]string{"ca_": "authorities", "sep_": "endpoints", "req_": "requests", "crt_": "certificates"}

func plain(row string) []byte { return []byte("plain of " + row) }

// fill seals n values in each place that takes them without other rows.
func (w *world) fill(box *seal.Box, from, n int) {
	w.t.Helper()
	err := w.db.Write(w.t.Context(), func(tx *store.Tx) error {
		for i := from; i < from+n; i++ {
			for prefix, table := range owners {
				id := fmt.Sprintf("%s%06d", prefix, i)
				sealed, err := box.Seal(table, id, "key", plain(id))
				if err != nil {
					return err
				}
				if err := tx.PutSealed(id, "key", sealed); err != nil {
					return err
				}
			}
			key := fmt.Sprintf("issue/%d", i)
			sealed, err := box.Seal("journal", "ca_1", key, plain(key))
			if err != nil {
				return err
			}
			if _, err := tx.PutJournal("ca_1", key, sealed); err != nil {
				return err
			}
			if _, err := tx.PutJournal("ca_1", fmt.Sprintf("own.ocsp.%d", i), []byte("AMARKTHATISNOTSEALED")); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// opens asks a Box for everything that fill made.
func (w *world) opens(box *seal.Box, n int) {
	w.t.Helper()
	err := w.db.Read(w.t.Context(), func(tx *store.Tx) error {
		for i := range n {
			for prefix, table := range owners {
				id := fmt.Sprintf("%s%06d", prefix, i)
				boxes, err := tx.Sealed(id)
				if err != nil {
					return err
				}
				got, err := box.Open(table, id, "key", boxes["key"])
				if err != nil || !bytes.Equal(got, plain(id)) {
					return fmt.Errorf("%s: %q, %w", id, got, err)
				}
			}
			key := fmt.Sprintf("issue/%d", i)
			sealed, err := tx.Journal("ca_1", key)
			if err != nil {
				return err
			}
			got, err := box.Open("journal", "ca_1", key, sealed)
			if err != nil || !bytes.Equal(got, plain(key)) {
				return fmt.Errorf("%s: %q, %w", key, got, err)
			}
			mark, err := tx.Journal("ca_1", fmt.Sprintf("own.ocsp.%d", i))
			if err != nil || string(mark) != "AMARKTHATISNOTSEALED" {
				return fmt.Errorf("what was not sealed was changed: %q %w", mark, err)
			}
		}
		return nil
	})
	if err != nil {
		w.t.Error(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) state(s *Service) Status {
	w.t.Helper()
	st, err := s.Status(w.t.Context(), owner)
	must(w.t, err)
	return st
}

// refusedAs wants an error of a kind that a person can act on.
func refusedAs(t *testing.T, what string, err error, kind ra.Kind) {
	t.Helper()
	if e := ra.AsError(err); err == nil || e.Kind != kind || e.Remedy == "" {
		t.Errorf("%s: %v; want %s with a remedy", what, err, kind)
	}
}

// TestRotation walks two nodes through a rotation, step by step, and a third
// that was away.
func TestRotation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		a, b := w.node("a", w.file), w.node("b", w.file)
		must(t, a.Sync(ctx))
		must(t, b.Sync(ctx))
		const n = 150
		w.fill(a.Box, 0, n)
		former := a.Box.KeyID()

		id, err := a.Rotate(ctx, owner)
		must(t, err)
		_, err = a.Rotate(ctx, owner)
		refusedAs(t, "a second rotation", err, ra.Conflict)
		_, err = a.Drop(ctx, owner)
		refusedAs(t, "a drop before its time", err, ra.Conflict)
		must(t, a.Sync(ctx))
		if st := w.state(a); st.State != store.KeyOffered || a.Box.KeyID() != former || !a.Box.Holds(id) {
			t.Fatalf("while one node does not know the key: %+v", st)
		}
		late := w.node("late", w.file) // starts with the old file, and learns
		must(t, late.Catch(ctx))
		if !late.Box.Holds(id) || late.Box.KeyID() != former {
			t.Error("a node that starts meanwhile did not learn the key")
		}

		must(t, b.Sync(ctx)) // the last one to know: from now on it may seal
		must(t, b.Sync(ctx))
		if st := w.state(b); st.State != store.KeySealing || b.Box.KeyID() != id || a.Box.KeyID() != former {
			t.Fatalf("when every node knows the key: %+v", st)
		}
		w.opens(a.Box, n) // what b seals, a opens
		must(t, b.Reseal(ctx, ResealJob{Key: id}))
		w.fill(a.Box, n, 1) // a is behind and seals with the former key
		must(t, a.Sync(ctx))
		if a.Box.KeyID() != id {
			t.Fatal("a node did not take up the new key")
		}
		st := w.state(a)
		if st.State != store.KeyAlone || st.Resealed != 5*n || st.Left != 5 {
			t.Fatalf("%+v; want %d sealed anew, and the 5 that came in behind", st, 5*n)
		}
		_, err = a.Drop(ctx, owner)
		refusedAs(t, "a drop of a key that is needed", err, ra.Conflict)
		must(t, a.Reseal(ctx, ResealJob{Key: id}))
		if st := w.state(a); st.State != store.KeyAlone || st.Left != 0 {
			t.Fatalf("after another round: %+v", st)
		}
		must(t, b.Sync(ctx))
		dropped, err := a.Drop(ctx, owner)
		must(t, err)
		if len(dropped) != 1 || dropped[0] != former {
			t.Errorf("dropped %v; want %s", dropped, former)
		}
		must(t, b.Sync(ctx))
		for _, s := range []*Service{a, b} {
			w.opens(s.Box, n+1)
			again, err := seal.Open(s.Path)
			must(t, err)
			if keys := again.Keys(); len(keys) != 1 || keys[0] != id {
				t.Errorf("the file of %s holds %v", s.Node, keys)
			}
			w.opens(again, n+1)
		}
		stranger := w.node("stranger", w.file)
		refusedAs(t, "a node that missed it all", stranger.Catch(ctx), ra.Conflict)
		copied := w.node("copied", a.Path)
		must(t, copied.Catch(ctx))

		must(t, w.db.Read(ctx, func(tx *store.Tx) error {
			keys, err := tx.MasterKeys()
			for _, k := range keys {
				if strings.Trim(string(k.Box), "\x00") != "" {
					t.Errorf("the new key still lies in the database, sealed by a key that was dropped: %+v", k.State)
				}
			}
			return err
		}))
		if _, err := b.Rotate(ctx, owner); err != nil { // and once more
			t.Error(err)
		}
	})
}

// TestKilled stops the job at every step there is, and finds that the next run
// goes on where it was and does nothing twice.
func TestKilled(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		a := w.node("a", w.file)
		const n = 60
		w.fill(a.Box, 0, n)
		id, err := a.Rotate(ctx, owner)
		must(t, err)
		must(t, a.Sync(ctx))
		must(t, a.Sync(ctx))
		count, killed := 0, 0
		for round := 0; ; round++ {
			ctx, cancel := context.WithCancel(t.Context())
			left := 7 * (round + 1)
			a.Step = func(step string) {
				if left--; left == 0 {
					killed++
					if round%2 == 0 {
						panic(errKilled) // as if the process had ended: nothing runs any more
					}
					cancel()
				}
			}
			err := survive(func() error { return a.Reseal(ctx, ResealJob{Key: id}) })
			cancel()
			if err == nil {
				break
			}
			if count++; count > 100 {
				t.Fatal(err)
			}
			// The next process knows what the file and the database say.
			box, err := seal.Open(a.Path)
			must(t, err)
			a = &Service{DB: a.DB, Box: box, Path: a.Path, Node: a.Node, Queue: a.Queue, Now: a.Now, Log: a.Log}
		}
		if killed < 5 {
			t.Errorf("killed %d times only", killed)
		}
		if st := w.state(a); st.State != store.KeyAlone || st.Left != 0 || st.Resealed != 5*n {
			t.Errorf("%+v; want %d sealed anew, each once", st, 5*n)
		}
		w.opens(a.Box, n)
	})
}

var errKilled = errors.New("killed")

func survive(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return f()
}

// TestWorks runs the nodes as the server does, with others sealing all the
// while, until the former key is dropped.
func TestWorks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b := w.node("a", w.file), w.node("b", w.file)
		a.Handle()
		b.Handle()
		a.Every, b.Every = 50*time.Millisecond, 70*time.Millisecond
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan struct{}, 3)
		for _, s := range []*Service{a, b} {
			must(t, s.Queue.Start(ctx))
			t.Cleanup(func() { _ = s.Queue.Stop(context.Background()) })
			go func() { s.Run(ctx); done <- struct{}{} }()
		}
		until(t, "both nodes are known", func() bool { return len(w.state(a).Nodes) == 2 })
		const n = 40
		w.fill(a.Box, 0, n)
		_, err := a.Rotate(ctx, owner)
		must(t, err)
		stop := make(chan struct{})
		written := n
		go func() {
			defer func() { done <- struct{}{} }()
			for {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
					w.fill([]*seal.Box{a.Box, b.Box}[written%2], written, 1)
					written++
				}
			}
		}()
		until(t, "everything is sealed anew", func() bool { return w.state(a).State == store.KeyAlone })
		until(t, "the former key is dropped", func() bool { _, err := b.Drop(ctx, owner); return err == nil })
		close(stop)
		<-done
		until(t, "every node has forgotten it", func() bool { return len(a.Box.Keys()) == 1 && len(b.Box.Keys()) == 1 })
		w.opens(a.Box, written)
		w.opens(b.Box, written)
		cancel()
		<-done
		<-done
		must(t, w.db.Read(t.Context(), func(tx *store.Tx) error {
			nodes, err := tx.KeyNodes(time.Time{})
			if len(nodes) != 0 {
				t.Errorf("nodes that ended count as alive: %v", nodes)
			}
			return err
		}))
	})
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestFileThatCannotChange: a node whose file is read-only takes part, and
// keeps the former key from being dropped until somebody copies the file.
func TestFileThatCannotChange(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		a, b := w.node("a", w.file), w.node("b", w.file)
		gone := b.Path
		b.Path = filepath.Join(w.dir, "nowhere", "master.key")
		must(t, a.Sync(ctx))
		must(t, b.Sync(ctx))
		id, err := a.Rotate(ctx, owner)
		must(t, err)
		for range 3 {
			must(t, a.Sync(ctx))
			must(t, b.Sync(ctx))
		}
		must(t, a.Reseal(ctx, ResealJob{Key: id}))
		_, err = a.Drop(ctx, owner)
		refusedAs(t, "a drop while a node cannot keep the new key", err, ra.Conflict)
		if !strings.Contains(ra.AsError(err).Message, "b") {
			t.Errorf("the error does not name the node: %v", err)
		}
		b.Path = gone
		must(t, b.Sync(ctx))
		must(t, b.Sync(ctx))
		if _, err := a.Drop(ctx, owner); err != nil {
			t.Error(err)
		}
	})
}

func TestRights(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.node("a", w.file)
		for _, grants := range [][]ra.Grant{nil, {{Role: ra.RoleAuditor}}, {{Role: ra.RoleOwner, Group: "og_1", Path: "/og_1/"}}} {
			actor := ra.Actor{Kind: ra.ActorAdmin, Name: "ada", Grants: grants}
			_, err := a.Status(t.Context(), actor)
			refusedAs(t, "status", err, ra.Denied)
			_, err = a.Rotate(t.Context(), actor)
			refusedAs(t, "rotate", err, ra.Denied)
			_, err = a.Drop(t.Context(), actor)
			refusedAs(t, "drop", err, ra.Denied)
		}
	})
}
