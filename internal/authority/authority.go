// Package authority keeps the authorities somebody defined: their settings,
// their sealed credentials, the connector opened from them, and the limits
// under which it is used.
//
// Settings come in as JSON, are read through the kind's own description, and
// are stored in two places: the open part with the row, each secret sealed
// under (table, row, field) in a table of its own. Whoever wants to talk to an
// authority asks Open and works inside Do, which holds the authority's rate
// and concurrency limits.
package authority

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/ca"
	"chancery/internal/egress"
	"chancery/internal/observe"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/setting"
	"chancery/internal/store"
)

// Service is the capability. Fill the fields, then use it; it is safe for
// concurrent use.
type Service struct {
	DB        *store.DB
	Box       *seal.Box
	Kinds     []ca.Kind
	Now       func() time.Time
	Log       *slog.Logger
	Observer  *observe.Observer // nil: nobody watches
	PublicURL string            // where relying parties reach this server
	// Dial connects to authorities; nil: nothing may be reached.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Hold func() error // unless nil, asked by Open: an error says why nothing is issued now
	// Guard, unless nil, takes the last step of a test of a stored authority that
	// is guarded.
	Guard func(ctx context.Context, actor ra.Actor, id ra.AuthorityID) ca.Step

	mu     sync.Mutex
	open   map[ra.AuthorityID]*Open
	limits map[ra.AuthorityID]*limits
	pulses map[ra.AuthorityID]*pulse
	slots  map[ra.AuthorityID]*slots
}

const (
	table        = "authorities"
	journalTable = "journal"
)

// Kind gives a kind by its ID; an unknown one is Invalid.
func (s *Service) Kind(id string) (ca.Kind, error) {
	for _, k := range s.Kinds {
		if k.ID == id {
			return k, nil
		}
	}
	return ca.Kind{}, ra.Errorf(ra.Invalid, "There is no kind of authority called %q.", id).WithField("kind").
		WithRemedy("Choose one of the kinds that chancery authority kinds lists.")
}

// Create defines an authority. A kind that must make something first, such as
// the embedded CA's keys, does so here.
func (s *Service) Create(ctx context.Context, actor ra.Actor, kindID string, in Input) (*ra.Authority, error) {
	kind, err := s.Kind(kindID)
	if err != nil {
		return nil, err
	}
	a := &ra.Authority{ID: ra.NewID[ra.AuthorityID](ra.AuthorityPrefix, s.Now()), Kind: kind.ID}
	if err := apply(a, in); err != nil {
		return nil, err
	}
	if err := s.DB.Read(ctx, func(tx *store.Tx) error {
		return access.CheckGroup(tx, actor, access.EditAuthorities, a.GroupID)
	}); err != nil {
		return nil, err
	}
	settings := kind.New()
	setting.Defaults(settings)
	if err := setting.FromJSON(settings, orEmpty(in.Settings)); err != nil {
		return nil, prefixed("settings", err)
	}
	if err := checkHost(actor, nil, settings); err != nil {
		return nil, err
	}
	if err := s.checkDeputy(ctx, actor, nil, settings); err != nil {
		return nil, err
	}
	if err := s.checkDirectory(ctx, actor, nil, settings); err != nil {
		return nil, err
	}
	if p, ok := settings.(ca.Provisioner); ok {
		if err := p.Provision(ctx, s.env(a)); err != nil {
			return nil, err
		}
	}
	if _, err := settings.Connect(ctx, s.env(a)); err != nil {
		return nil, prefixed("settings", err)
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := s.put(tx, a, settings); err != nil {
			return err
		}
		if err := tx.CreateAuthority(a); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.AuthorityCreated, Actor: actor, Group: a.GroupID, Object: string(a.ID),
			Message: "Authority " + a.Name + " defined.", Details: map[string]any{"kind": a.Kind}})
	})
	if err != nil {
		return nil, err
	}
	s.remember(ctx, a)
	return a, nil
}

// remember stores the authority's certificates, when it can tell them, for
// chains, downloads and the identity of what it issues. They are learnt from
// the first certificate otherwise, so a failure only goes to the log.
func (s *Service) remember(ctx context.Context, a *ra.Authority) {
	o, err := s.Reach(ctx, a.ID)
	if err == nil {
		if _, signs := o.Connector.(ca.CRLSigner); !signs {
			return // its certificates are elsewhere, and no network call belongs here
		}
		err = s.putChain(ctx, o)
	}
	if err != nil && ra.KindOf(err) != ra.NotFound { // a subordinate CA that waits for its certificate has none yet
		s.Log.Warn("the certificates of an authority are not known yet", "authority", a.Name, "error", err)
	}
}

func (s *Service) putChain(ctx context.Context, o *Open) error {
	c, ok := o.Connector.(ca.Chainer)
	if !ok {
		return nil
	}
	chain, err := c.Chain(ctx)
	if err != nil {
		return err
	}
	return s.DB.Write(ctx, func(tx *store.Tx) error { return PutChain(tx, o.Authority.ID, chain) })
}

// Delete removes an authority nothing was ever asked of; others are switched
// off instead, so that the record stays whole and what they issued can still
// be revoked.
func (s *Service) Delete(ctx context.Context, actor ra.Actor, id ra.AuthorityID) error {
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		a, err := s.editable(tx, actor, id)
		if err != nil {
			return err
		}
		if err := tx.DeleteSealed(string(id), ""); err != nil {
			return err
		}
		if err := tx.DeleteAuthority(id); err != nil {
			if ra.KindOf(err) == ra.Conflict {
				return ra.Errorf(ra.Conflict, "Authority %q has templates or certificates and stays in the record.", a.Name).
					WithRemedy("Switch it off instead: it then issues nothing, and what it issued can still be revoked.").WithCause(err)
			}
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.AuthorityDeleted, Actor: actor, Group: a.GroupID, Object: string(id), Message: "Authority " + a.Name + " deleted."})
	})
	s.forget(id)
	return err
}

// Get gives one authority with the JSON of its settings, secrets masked.
func (s *Service) Get(ctx context.Context, actor ra.Actor, id ra.AuthorityID) (a *ra.Authority, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if a, err = tx.Authority(id); err != nil {
			return err
		}
		return access.CheckLent(tx, actor, a.GroupID)
	})
	return a, err
}

// Find lists the authorities the actor may see.
func (s *Service) Find(ctx context.Context, actor ra.Actor, f store.AuthorityFilter) (list []*ra.Authority, next string, err error) {
	asked := f.Groups
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if f.Groups, err = access.LentWithin(tx, actor, asked); err != nil {
			return err
		}
		list, next, err = tx.FindAuthorities(f)
		return err
	})
	return list, next, err
}

func (s *Service) editable(tx *store.Tx, actor ra.Actor, id ra.AuthorityID) (*ra.Authority, error) {
	a, err := tx.Authority(id)
	if err != nil {
		return nil, err
	}
	return a, access.CheckGroup(tx, actor, access.EditAuthorities, a.GroupID)
}

func orEmpty(raw []byte) []byte {
	if len(raw) == 0 {
		return []byte("{}")
	}
	return raw
}

func prefixed(field string, err error) error {
	if k := ra.KindOf(err); k != ra.Invalid {
		return err
	}
	var p ra.Problems
	p.Merge(field, err)
	return p.Err()
}

func (s *Service) env(a *ra.Authority) ca.Env {
	dial := s.Dial
	if dial == nil {
		dial = egress.Policy{}.Dial // nobody said where it may go
	}
	return ca.Env{
		Authority: a.ID, Name: a.Name, Dial: dial, Now: s.Now, Log: s.Log.With("authority", a.Name), PublicURL: s.PublicURL,
		HTTP:    egress.Client(dial, 60*time.Second),
		Journal: journal{s.DB, s.Box, a.ID},
		Slots:   s.Slots(a.ID),
	}
}

// journal is ca.Journal on the database, scoped to one authority. Its values
// are sealed: a connector may keep a transport key in it.
type journal struct {
	db  *store.DB
	box *seal.Box
	id  ra.AuthorityID
}

func (j journal) Put(ctx context.Context, key string, value []byte) ([]byte, error) {
	sealed, err := j.box.Seal(journalTable, string(j.id), key, value)
	if err != nil {
		return nil, err
	}
	var stored []byte
	err = j.db.Write(ctx, func(tx *store.Tx) (err error) {
		stored, err = tx.PutJournal(j.id, key, sealed)
		return err
	})
	if err != nil {
		return nil, err
	}
	return j.box.Open(journalTable, string(j.id), key, stored)
}

func (j journal) Get(ctx context.Context, key string) ([]byte, error) {
	var stored []byte
	err := j.db.Read(ctx, func(tx *store.Tx) (err error) {
		stored, err = tx.Journal(j.id, key)
		return err
	})
	if err != nil {
		return nil, err
	}
	return j.box.Open(journalTable, string(j.id), key, stored)
}
