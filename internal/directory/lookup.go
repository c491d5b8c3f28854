package directory

import (
	"context"
	"sync"
	"time"

	"chancery/internal/dirpolicy"
	"chancery/internal/ldapdir"
	"chancery/internal/ra"
	"chancery/internal/store"
)

const (
	// lookupWithin bounds the look-up of one user: somebody waits.
	lookupWithin = 8 * time.Second
	// silence is how long a directory that did not answer is not asked again by
	// look-ups, unless its settings change or somebody tests the connection.
	silence = 15 * time.Second
	// lineIdle is how long a connection may be unused before a new one is made.
	lineIdle = time.Minute
)

// line is the connection for look-ups in one directory.
type line struct {
	mu      sync.Mutex
	made    time.Time // updated_at of the directory whose settings it was made with
	conn    *ldapdir.Conn
	base    string
	used    time.Time
	quiet   time.Time // until then nobody is asked
	problem error     // why
}

// forget ends the connection of a directory whose settings changed.
func (s *Service) forget(id ra.DirectoryID) {
	s.mu.Lock()
	l := s.lines[id]
	delete(s.lines, id)
	s.mu.Unlock()
	if l != nil {
		l.close()
	}
}

func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		l.conn.Close()
		l.conn = nil
	}
}

// Close ends the connections for look-ups.
func (s *Service) Close() {
	s.mu.Lock()
	lines := s.lines
	s.lines = nil
	s.mu.Unlock()
	for _, l := range lines {
		l.close()
	}
}

func (s *Service) lineOf(id ra.DirectoryID) *line {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lines == nil {
		s.lines = map[ra.DirectoryID]*line{}
	}
	if s.lines[id] == nil {
		s.lines[id] = &line{}
	}
	return s.lines[id]
}

// Lookup asks the user's directory about the user once more and takes over what
// it says; changed tells whether that differs from before. A user who was
// entered here, and one whose directory is not asked before certificates are
// made, is left as they are. Where the directory must be asked, a directory that
// does not answer is Unreachable; a user it does not have any more is Denied.
// Call it outside of transactions.
func (s *Service) Lookup(ctx context.Context, id ra.UserID) (changed bool, err error) {
	var u *ra.User
	var d *ra.Directory
	var v *dirpolicy.Settings
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if u, err = tx.User(id); err != nil || u.Directory == "" {
			return err
		}
		config, err := tx.Config()
		if err != nil {
			return err
		}
		if d, err = config.Directory(u.Directory); err != nil || d.Disabled {
			return err
		}
		v, err = s.settings(tx, d)
		return err
	})
	if err != nil || v == nil || v.AtIssue == dirpolicy.LookupOff {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookupWithin)
	defer cancel()
	p, err := s.ask(ctx, d, v, u.ObjectGUID)
	switch {
	case err != nil && v.AtIssue == dirpolicy.LookupTry:
		s.Log.Warn("a user is not looked up: what was taken over is used", "user", id, "directory", d.Name, "error", err)
		return false, nil
	case err != nil:
		e := ra.AsError(err)
		return false, ra.Errorf(ra.Unreachable, "User %q cannot be looked up in the directory %q now. %s", u.Name, d.Name, e.Message).WithRemedy("%s", e.Remedy).WithCause(err)
	case p == nil:
		return false, ra.Errorf(ra.Denied, "The directory %q does not have the user %q any more.", d.Name, u.Name).
			WithRemedy("Look for the user there: deleted, or moved out of what is taken over.").WithRetry(ra.Never)
	}
	return s.take(ctx, d, p)
}

// take stores what a look-up found, if that is anything new.
func (s *Service) take(ctx context.Context, d *ra.Directory, p *person) (changed bool, err error) {
	same := false
	if err := s.DB.Read(ctx, func(tx *store.Tx) error {
		_, save, err := s.plan(tx, ra.System("directory"), d, p)
		same = save == nil
		return err
	}); err != nil || same {
		return false, err
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		_, save, err := s.plan(tx, ra.System("directory"), d, p)
		if changed = save != nil; err != nil || !changed {
			return err
		}
		return save()
	})
	return changed, err
}

// ask gives a user as the directory has them now, nil when it has none. A
// connection that broke meanwhile is made anew once.
func (s *Service) ask(ctx context.Context, d *ra.Directory, v *dirpolicy.Settings, guid string) (*person, error) {
	l := s.lineOf(d.ID)
	for try := 1; ; try++ {
		conn, base, fresh, err := s.connect(ctx, l, d, v)
		if err != nil {
			return nil, err
		}
		p, err := lookUp(ctx, conn, v, base, guid)
		if ra.KindOf(err) != ra.Unreachable || fresh || try > 1 || ctx.Err() != nil {
			if ra.KindOf(err) == ra.Unreachable {
				l.hush(s.Now(), err)
			}
			return p, err
		}
		conn.Close()
	}
}

// connect gives the line's connection, and whether it was made just now.
func (s *Service) connect(ctx context.Context, l *line, d *ra.Directory, v *dirpolicy.Settings) (conn *ldapdir.Conn, base string, fresh bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := s.Now()
	if now.Before(l.quiet) && l.made.Equal(d.UpdatedAt) {
		return nil, "", false, l.problem
	}
	if l.conn != nil && !l.conn.Closed() && l.made.Equal(d.UpdatedAt) && now.Sub(l.used) < lineIdle {
		l.used = now
		return l.conn, l.base, false, nil
	}
	if l.conn != nil {
		l.conn.Close()
		l.conn = nil
	}
	o, err := s.options(v)
	if err != nil {
		return nil, "", false, err
	}
	l.made = d.UpdatedAt
	if conn, err = ldapdir.Open(ctx, o); err != nil {
		// A login that was refused is not tried at every certificate: that locks accounts.
		l.quiet, l.problem = now.Add(max(silence, ra.AsError(err).Retry)), err
		return nil, "", false, err
	}
	if base = v.Base; base == "" {
		root, err := conn.Root(ctx)
		if err != nil {
			conn.Close()
			return nil, "", false, err
		}
		base = root.Domain
	}
	l.conn, l.base, l.used = conn, base, now
	return conn, base, true, nil
}

// hush keeps look-ups away from a directory for a while.
func (l *line) hush(now time.Time, problem error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quiet, l.problem = now.Add(silence), problem
}

// lookUp reads a user by GUID within what is taken over.
func lookUp(ctx context.Context, conn *ldapdir.Conn, v *dirpolicy.Settings, base, guid string) (p *person, err error) {
	wanted := wanted(v)
	_, err = conn.Search(ctx, ldapdir.Query{Base: base, Scope: ldapdir.Subtree, Filter: v.Within(ldapdir.ByGUID(guid)), Attributes: wanted}, func(page []*ldapdir.Entry) error {
		p, err = readPerson(v, page[0], nil)
		return err
	})
	if p != nil {
		delete(p.attributes, dirpolicy.GroupsKey) // which are no part of the user's own entry
	}
	return p, err
}
