package scripted

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"slices"
	"sync"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
)

// Book is what a scripted authority shows of its records. It is safe for
// concurrent use.
type Book struct {
	mu      sync.Mutex
	now     func() time.Time
	rows    []bookRow
	former  []*x509.Certificate
	faults  []fault
	asked   []ca.Listing
	portion func()          // called before each portion
	reading context.Context // of the last reading
}

type bookRow struct {
	ca.Listed
	changed time.Time
}

type fault struct {
	after int
	err   error
}

const portion = 150 // rows, so that portions and the batches of who reads them differ

// Enter adds rows, which get the next numbers unless they have some, and are Valid
// unless they say otherwise. It gives the number of the last.
func (b *Book) Enter(rows ...ca.Listed) (number int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range rows {
		if n := len(b.rows); r.Number == 0 && n > 0 {
			r.Number = b.rows[n-1].Number + 1
		} else if r.Number == 0 {
			r.Number = 1
		}
		if r.State == "" {
			r.State = ra.Valid
		}
		b.rows = append(b.rows, bookRow{r, b.now()})
		number = r.Number
	}
	return number
}

// Alter changes a row, which shows from then on as changed.
func (b *Book) Alter(number int64, change func(*ca.Listed)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.rows {
		if b.rows[i].Number == number {
			change(&b.rows[i].Listed)
			b.rows[i].changed = b.now()
		}
	}
}

// Cut has the next reading fail after so many rows.
func (b *Book) Cut(after int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, fault{after, err})
}

// Former adds a certificate that the authority signed with before.
func (b *Book) Former(c *x509.Certificate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.former = append(b.former, c)
}

// OnPortion has something done before each portion is given.
func (b *Book) OnPortion(do func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.portion = do
}

// Ended gives what is closed when the last reading was given up.
func (b *Book) Ended() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reading.Done()
}

// Asked gives what was asked for so far.
func (b *Book) Asked() []ca.Listing {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.asked)
}

// view gives the rows of a listing, and where to fail.
func (b *Book) view(ctx context.Context, from ca.Listing) (rows []ca.Listed, f *fault, before func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked, b.reading = append(b.asked, from), ctx
	for _, r := range b.rows {
		if r.Number <= from.After || r.changed.Before(from.Changed) {
			continue
		}
		if c, err := x509.ParseCertificate(r.DER); err == nil && !from.EndsAfter.IsZero() && !c.NotAfter.After(from.EndsAfter) {
			continue
		}
		rows = append(rows, r.Listed)
	}
	if len(b.faults) > 0 {
		f, b.faults = &b.faults[0], b.faults[1:]
	}
	return rows, f, b.portion
}

// Book gives the authority's records.
func (a *Authority) Book() *Book {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.book == nil {
		a.book = &Book{now: a.now}
	}
	return a.book
}

// Certify signs a certificate that nobody asked for through a connector. A serial
// number, and a validity of a year from yesterday, are filled in.
func (a *Authority) Certify(t x509.Certificate, public crypto.PublicKey) ([]byte, error) {
	if t.SerialNumber == nil {
		t.SerialNumber = freshSerial()
	}
	if t.NotBefore.IsZero() {
		t.NotBefore = a.now().UTC().Truncate(time.Second).Add(-24 * time.Hour)
	}
	if t.NotAfter.IsZero() {
		t.NotAfter = t.NotBefore.AddDate(1, 0, 0)
	}
	return x509.CreateCertificate(rand.Reader, &t, a.cert, public, a.key)
}

// ListingKind is the authority with the ability to show its records, besides all
// others.
func (a *Authority) ListingKind() ca.Kind {
	k := a.Kind()
	k.ID, k.Title = "scripted-listing", "Scripted authority that shows its records"
	k.New = func() ca.Settings { return &Settings{authority: a, lists: true} }
	return k
}

// lister is a Connector that shows the records.
type lister struct{ *Connector }

// List gives the rows in portions.
func (l lister) List(ctx context.Context, from ca.Listing, each func([]ca.Listed) error) error {
	rows, fault, before := l.authority.Book().view(ctx, from)
	given := 0
	for some := range slices.Chunk(rows, portion) {
		if before != nil {
			before()
		}
		if err := ctx.Err(); err != nil {
			return unreachable("The reading was cut off.", err)
		}
		if fault != nil && given+len(some) > fault.after {
			some = some[:max(0, fault.after-given)]
		}
		if err := each(some); err != nil {
			return err
		}
		if given += len(some); fault != nil && given >= fault.after {
			return fault.err
		}
	}
	if fault != nil && given >= fault.after {
		return fault.err
	}
	return nil
}

// Issuers gives the authority's certificate and its former ones.
func (l lister) Issuers(context.Context) ([]*x509.Certificate, error) {
	b := l.authority.Book()
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]*x509.Certificate{l.authority.cert}, b.former...), nil
}
