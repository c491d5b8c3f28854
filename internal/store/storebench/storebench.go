// Package storebench fills a database with an inventory of any size, for
// measuring: organizations with groups, users, devices, templates, and
// certificates in every state whose ends are spread over the past and the
// coming year, each with the obligation it owes. What it writes goes through
// the methods of package store, so it is what the program itself would have
// written; only the indexes are taken away meanwhile and made anew at the end,
// which is how a million rows take a minute or two instead of an hour.
//
// Two databases filled with the same Shape hold the same people, names, serials
// and dates; only the IDs differ. Nothing in the program imports this package.
package storebench

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync/atomic"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// Shape says how much of everything there will be. Zero counts are derived
// from Certificates, see [Of].
type Shape struct {
	Groups       int // below one organization
	Authorities  int
	Templates    int
	Users        int
	Devices      int
	Certificates int
	Requests     int // those that led to the newest certificates, and one in a thousand still open
	Entries      int // of the audit log
	Now          time.Time
	Clock        *Clock // of the database; nil: all entries of the audit log are of the same time
}

// Clock is what a database is opened with (Now) to have the entries of its audit
// log spread over the time before. It is the system clock otherwise.
type Clock struct{ at atomic.Pointer[time.Time] }

// Now gives the time.
func (c *Clock) Now() time.Time {
	if at := c.at.Load(); at != nil {
		return *at
	}
	return time.Now()
}

func (c *Clock) set(at *time.Time) {
	if c != nil {
		c.at.Store(at)
	}
}

// Of gives the usual shape around a number of certificates: half as many
// devices, a fifth as many users, requests and audit entries.
func Of(certificates int, now time.Time) Shape {
	return Shape{
		Groups: min(max(certificates/2000, 10), 500), Authorities: 4, Templates: 12,
		Users: max(certificates/5, 10), Devices: max(certificates/2, 10), Certificates: certificates,
		Requests: certificates / 5, Entries: certificates / 5, Now: now,
	}
}

// World names what a filled database holds, for asking after it.
type World struct {
	Organization ra.GroupID
	Groups       []ra.GroupID // without the organization
	Authorities  []ra.AuthorityID
	Templates    []ra.TemplateID
	Endpoint     ra.EndpointID
	Users        []ra.UserID
	Devices      []ra.DeviceID
	IssuerHash   string // of every certificate
}

// batch is how many rows one transaction writes.
const batch = 5_000

// Fill writes a shape into db, which has been opened just now and is empty.
// progress, unless nil, is told what has been written. A Fill that fails leaves
// a database without indexes behind: throw it away.
func Fill(ctx context.Context, db *store.DB, s Shape, progress func(what string, n int)) (*World, error) {
	if progress == nil {
		progress = func(string, int) {}
	}
	f := &filler{ctx: ctx, db: db, s: s, progress: progress, w: &World{IssuerHash: digest("issuer", 0)}}
	indexes, err := takeIndexes(ctx, db)
	if err != nil {
		return nil, err
	}
	for _, step := range []func() error{f.frame, f.users, f.devices, f.certificates, f.requests, f.entries} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	progress("indexes", len(indexes))
	if err := putIndexes(ctx, db, indexes); err != nil {
		return nil, err
	}
	return f.w, db.FoldTexts(ctx)
}

type filler struct {
	ctx      context.Context
	db       *store.DB
	s        Shape
	progress func(string, int)
	w        *World
}

// each writes n rows of a kind in batches.
func (f *filler) each(what string, n int, row func(tx *store.Tx, i int) error) error {
	return f.eachBy(batch, what, n, row)
}

func (f *filler) eachBy(batch int, what string, n int, row func(tx *store.Tx, i int) error) error {
	defer f.s.Clock.set(nil)
	for from := 0; from < n; from += batch {
		at := f.at(from, n)
		f.s.Clock.set(&at)
		err := f.db.Write(f.ctx, func(tx *store.Tx) error {
			for i := from; i < min(from+batch, n); i++ {
				if err := row(tx, i); err != nil {
					return fmt.Errorf("%s %d: %w", what, i, err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		f.progress(what, min(from+batch, n))
	}
	return nil
}

// frame writes what there is little of.
func (f *filler) frame() error {
	return f.db.Write(f.ctx, func(tx *store.Tx) error {
		org := &ra.Group{ID: ra.NewID[ra.GroupID](ra.GroupPrefix, f.s.Now), Name: "Example"}
		f.w.Organization = org.ID
		if err := tx.CreateGroup(org); err != nil {
			return err
		}
		for i := range f.s.Groups {
			g := &ra.Group{ID: ra.NewID[ra.GroupID](ra.GroupPrefix, f.s.Now), ParentID: org.ID, Name: fmt.Sprintf("Site %04d", i)}
			if i%10 != 0 { // ten to a region
				g.ParentID = f.w.Groups[i-i%10]
			}
			if err := tx.CreateGroup(g); err != nil {
				return err
			}
			f.w.Groups = append(f.w.Groups, g.ID)
		}
		for i := range f.s.Authorities {
			a := &ra.Authority{ID: ra.NewID[ra.AuthorityID](ra.AuthorityPrefix, f.s.Now), GroupID: org.ID, Name: fmt.Sprintf("Issuing CA %d", i+1), Kind: "embedded", Settings: []byte(`{}`)}
			if err := tx.CreateAuthority(a); err != nil {
				return err
			}
			f.w.Authorities = append(f.w.Authorities, a.ID)
		}
		for i := range f.s.Templates {
			t := &ra.Template{ID: ra.NewID[ra.TemplateID](ra.TemplatePrefix, f.s.Now), GroupID: org.ID, AuthorityID: pick(f.w.Authorities, i),
				Name: fmt.Sprintf("Profile %02d", i), Revision: 1, Spec: ra.TemplateSpec{Subject: "CN={DeviceName}", KeyType: "rsa-2048", KeyPlace: ra.KeyOnDevice, Validity: 365}}
			if err := tx.CreateTemplate(t); err != nil {
				return err
			}
			f.w.Templates = append(f.w.Templates, t.ID)
		}
		e := &ra.Endpoint{ID: ra.NewID[ra.EndpointID](ra.EndpointPrefix, f.s.Now), GroupID: org.ID, TemplateID: f.w.Templates[0], Name: "bench", Settings: []byte(`{}`)}
		f.w.Endpoint = e.ID
		return tx.CreateEndpoint(e)
	})
}

// first and last name most people; together they are a few hundred.
var (
	first = []string{"Anna", "Ben", "Chloé", "David", "Emine", "Farid", "Grete", "Hugo", "Ines", "Jörg", "Katja", "Liam", "Mia", "Noah", "Olga", "Paul"}
	last  = []string{"Adler", "Brandt", "Costa", "Dietrich", "Ekström", "Fischer", "Garcia", "Huber", "Ivanov", "Jansen", "Kaya", "Lorenz", "Müller", "Novak", "Okafor", "Petit"}
)

func (f *filler) users() error {
	return f.each("users", f.s.Users, func(tx *store.Tx, i int) error {
		a, b := first[i%len(first)], last[i/len(first)%len(last)]
		name := fmt.Sprintf("%s.%s%d", a, b, i)
		u := &ra.User{ID: ra.NewID[ra.UserID](ra.UserPrefix, f.at(i, f.s.Users)), GroupID: pick(f.w.Groups, i), Name: name, Email: name + "@example.test",
			UPN: name + "@corp.example.test", FirstName: a, LastName: b, DisplayName: a + " " + b}
		f.w.Users = append(f.w.Users, u.ID)
		return tx.CreateUser(u)
	})
}

var platforms = []ra.Platform{ra.Windows, ra.IOS, ra.Windows, ra.Android, ra.MacOS, ra.IOS, ra.Windows, ra.Linux}

func (f *filler) devices() error {
	return f.each("devices", f.s.Devices, func(tx *store.Tx, i int) error {
		serial := digest("device", i)[:12]
		d := &ra.Device{ID: ra.NewID[ra.DeviceID](ra.DevicePrefix, f.at(i, f.s.Devices)), GroupID: pick(f.w.Groups, i), UserID: pick(f.w.Users, i),
			Platform: pick(platforms, i), PlatformID: digest("platform", i)[:32], Name: deviceName(i), SerialNumber: serial, Model: "Latitude 7450",
			OSVersion: "11.4", Ownership: "C", State: ra.DeviceEnrolled}
		f.w.Devices = append(f.w.Devices, d.ID)
		return tx.CreateDevice(d)
	})
}

func deviceName(i int) string {
	return fmt.Sprintf("WS-%s-%06d", []string{"BER", "MUC", "PAR", "OSL", "VIE"}[i%5], i)
}

// pick gives one of a list, always the same for the same number, without
// tying it to what another list gives.
func pick[T any](list []T, i int) T {
	return list[int(uint64(i)*0x9e3779b97f4a7c15>>33)%len(list)]
}

// at spreads n moments over the 400 days before now, in order.
func (f *filler) at(i, n int) time.Time {
	const span = 400 * 24 * time.Hour
	return f.s.Now.Add(-span + time.Duration(float64(span)*float64(i)/float64(n)))
}

// digest gives 64 hex digits that look random.
func digest(what string, i int) string { sum := sum(what, i); return hex.EncodeToString(sum[:]) }

func sum(what string, i int) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte(what), uint64(i)))
}
