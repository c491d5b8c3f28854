package store_test

import (
	"encoding/base64"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// oneDevice is a database with one device in it.
func oneDevice(f *testing.F) (*store.DB, *ra.Device) {
	f.Helper()
	c := newClock()
	db, err := store.Open(f.Context(), "sqlite:"+filepath.Join(f.TempDir(), "fuzz.db"), c.Now)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { db.Close() })
	d := newDevice("og_1", c.Now())
	d.Name = `100% of Jürgen's_\iPhone`
	err = db.Write(f.Context(), func(tx *store.Tx) error {
		if err := tx.CreateGroup(&ra.Group{ID: "og_1", Name: "Acme"}); err != nil {
			return err
		}
		return tx.CreateDevice(d)
	})
	if err != nil {
		f.Fatal(err)
	}
	return db, d
}

// A cursor from outside gives a page or is refused; it never breaks a query.
func FuzzPageCursor(f *testing.F) {
	db, _ := oneDevice(f)
	encode := base64.RawURLEncoding.EncodeToString
	for _, s := range []string{`{"i":"dev_1","v":"a","s":""}`, `{"v":"dev_1","s":"created"}`, `{"v":7,"s":"-name"}`, `{"v":null}`, `{"v":{"a":[1e9]}}`, `{"s":"name`} {
		f.Add(encode([]byte(s)), "")
		f.Add(encode([]byte(s)), "-name")
	}
	f.Add("~", "created")
	f.Fuzz(func(t *testing.T, after, sort string) {
		err := db.Read(t.Context(), func(tx *store.Tx) error {
			_, _, err := tx.FindDevices(store.DeviceFilter{Page: store.Page{After: after, Sort: sort}})
			return err
		})
		if kind := ra.KindOf(err); kind != "" && kind != ra.Invalid {
			t.Errorf("cursor %q, sort %q: %v", after, sort, err)
		}
	})
}

// A text to look for finds what holds it, whatever it means elsewhere.
func FuzzText(f *testing.F) {
	db, d := oneDevice(f)
	for _, s := range []string{"", "%", "_", `\`, "0% of j", "JÜRGEN", "n's_", `_\i`, "a%e", "j_rgen", "x", "C02XK", " iphone ", "'", "\x00", "\xff", strings.Repeat("%", 60_000)} {
		f.Add(s)
	}
	searched := ra.Fold(d.Name + "\n" + d.SerialNumber + "\n" + d.PlatformID)
	f.Fuzz(func(t *testing.T, s string) {
		var found []*ra.Device
		err := db.Read(t.Context(), func(tx *store.Tx) (err error) {
			found, _, err = tx.FindDevices(store.DeviceFilter{Text: s})
			return err
		})
		if err != nil {
			t.Fatalf("text %q: %v", s, err)
		}
		if !utf8.ValidString(s) || strings.Contains(s, "\x00") {
			return // characters that no text has are left out
		}
		if got, want := len(found) == 1, strings.Contains(searched, ra.Fold(s)); got != want {
			t.Errorf("text %q: found %v, want %v", s, got, want)
		}
	})
}
