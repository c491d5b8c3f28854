// Package directory takes users over from Active Directory: who they are, their
// names and their security identifiers, into one organization group for each
// directory. It looks a user up once more right before a certificate is made,
// and brings issued certificates into their users' entries.
//
// A user is known by objectGUID, so a renamed one stays the same and one who
// was deleted and made anew under the same name is another. Every run compares
// the list of those who are there (their GUIDs only) with those who were taken
// over before, and reads in full who is new or has changed since, by the update
// sequence number of one domain controller's database; another database, and
// other settings, mean that everybody is read. Who is not there any more, or is
// disabled there, is disabled here: such a user gets no further certificate and
// no renewal, while what was issued lives on by the rules of its template until
// somebody revokes it or unenrols the device. A run that would disable too many
// disables nobody and waits for a person.
//
// No network call is made inside a database transaction.
package directory

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/dirpolicy"
	"chancery/internal/egress"
	"chancery/internal/job"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/setting"
	"chancery/internal/store"
)

// Service is the capability. Fill the fields, then use it; it is safe for
// concurrent use.
type Service struct {
	DB    *store.DB
	Box   *seal.Box
	Queue *job.Queue
	Now   func() time.Time
	Log   *slog.Logger
	// Dial connects to directories; nil: nothing may be reached.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Step, when set, is called with the label of a step just before it is
	// taken. Fault tests stop the process there.
	Step func(label string)

	mu    sync.Mutex
	lines map[ra.DirectoryID]*line
}

const table = "directories"

// Input is what somebody says about a directory. In an update, nil fields stay
// as they are; Settings then may name only what changes.
type Input struct {
	GroupID     *ra.GroupID
	Name        *string
	Description *string
	Settings    []byte // JSON
	Disabled    *bool
	Seen        time.Time // unless zero: the version an update is made for; any other is a Conflict
}

// Create defines a directory; its users are taken over soon after.
func (s *Service) Create(ctx context.Context, actor ra.Actor, in Input) (*ra.Directory, error) {
	d := &ra.Directory{ID: ra.NewID[ra.DirectoryID](ra.DirectoryPrefix, s.Now())}
	v := &dirpolicy.Settings{}
	setting.Defaults(v)
	may := func(tx *store.Tx) error { return access.CheckGroup(tx, actor, access.EditAuthorities, d.GroupID) }
	if in.GroupID != nil { // whoever may not do this learns nothing else
		d.GroupID = *in.GroupID
		if err := s.DB.Read(ctx, may); err != nil {
			return nil, err
		}
	}
	if err := accept(d, v, in); err != nil {
		return nil, err
	}
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := may(tx); err != nil {
			return err
		}
		if err := s.put(tx, d, v); err != nil {
			return err
		}
		state := &ra.DirectoryState{ID: d.ID, Obligation: due(tx, v)}
		if d.Disabled {
			state.Obligation = ra.Obligation{}
		}
		if err := tx.CreateDirectory(d, state); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.DirectoryCreated, Actor: actor, Group: d.GroupID, Object: string(d.ID), Message: "Directory " + d.Name + " defined."})
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// due is the obligation to take users over now.
func due(tx *store.Tx, v *dirpolicy.Settings) ra.Obligation {
	return ra.Obligation{Action: ra.ActionSync, At: tx.Now, Deadline: tx.Now.Add(patience(v))}
}

// patience is how long a directory may go without a run that went through before
// people are told.
func patience(v *dirpolicy.Settings) time.Duration { return max(3*v.Interval, 6*time.Hour) }

// Update changes a directory. Secrets that are not named stay as they are. What
// was changed is taken into account by the next run, which is due at once.
func (s *Service) Update(ctx context.Context, actor ra.Actor, id ra.DirectoryID, in Input) (*ra.Directory, error) {
	var d *ra.Directory
	defer s.forget(id)
	err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		if d, err = s.editable(tx, actor, id); err != nil {
			return err
		}
		if !in.Seen.IsZero() && !in.Seen.Equal(d.UpdatedAt) {
			return ra.Errorf(ra.Conflict, "Somebody else changed the directory meanwhile.").WithRemedy("Look at it again and repeat the change.")
		}
		before := *d
		old, err := s.settings(tx, d)
		if err != nil {
			return err
		}
		v, err := s.settings(tx, d)
		if err != nil {
			return err
		}
		if err := accept(d, v, in); err != nil {
			return err
		}
		if d.GroupID != before.GroupID {
			if err := access.CheckGroup(tx, actor, access.EditAuthorities, d.GroupID); err != nil {
				return err
			}
		}
		if err := s.put(tx, d, v); err != nil {
			return err
		}
		if err := tx.UpdateDirectory(d); err != nil {
			return err
		}
		state, err := tx.DirectoryState(id)
		if err != nil {
			return err
		}
		if state.Obligation = due(tx, v); d.Disabled {
			state.Obligation = ra.Obligation{}
		}
		if err := tx.UpdateDirectoryState(state); err != nil {
			return err
		}
		if err := tx.HastenKeyDeliveries(store.KeyReceiver{Directory: id}); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.DirectoryChanged, Actor: actor, Group: d.GroupID, Object: string(id), Message: "Directory " + d.Name + " changed.",
			Details: map[string]any{"changes": changes(&before, d, old, v)}})
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Delete removes a directory. Its users stay, as if they had been entered here,
// and those it has disabled stay disabled. Certificates that are still in its
// entries make it a Conflict.
func (s *Service) Delete(ctx context.Context, actor ra.Actor, id ra.DirectoryID) error {
	defer s.forget(id)
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		d, err := s.editable(tx, actor, id)
		if err != nil {
			return err
		}
		if err := keysWait(tx, d); err != nil {
			return err
		}
		if err := tx.DeleteSealed(string(id), ""); err != nil {
			return err
		}
		if err := tx.DeleteDirectory(id); err != nil {
			if ra.KindOf(err) == ra.Conflict {
				return ra.Errorf(ra.Conflict, "Certificates were published in the directory %q, or are about to be.", d.Name).
					WithRemedy("Revoke them first, or switch the directory off instead.").WithCause(err)
			}
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.DirectoryDeleted, Actor: actor, Group: d.GroupID, Object: string(id), Message: "Directory " + d.Name + " deleted."})
	})
}

// Get gives a directory and how far it is taken over.
func (s *Service) Get(ctx context.Context, actor ra.Actor, id ra.DirectoryID) (d *ra.Directory, state *ra.DirectoryState, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if d, err = tx.Directory(id); err != nil {
			return err
		}
		if err := access.CheckGroup(tx, actor, access.See, d.GroupID); err != nil {
			return err
		}
		state, err = tx.DirectoryState(id)
		return err
	})
	return d, state, err
}

// Find lists the directories the actor may see.
func (s *Service) Find(ctx context.Context, actor ra.Actor, f store.DirectoryFilter) (list []*ra.Directory, next string, err error) {
	asked := f.Groups
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if f.Groups, err = access.Within(tx, actor, access.See, asked); err != nil {
			return err
		}
		list, next, err = tx.FindDirectories(f)
		return err
	})
	return list, next, err
}

func (s *Service) editable(tx *store.Tx, actor ra.Actor, id ra.DirectoryID) (*ra.Directory, error) {
	d, err := tx.Directory(id)
	if err != nil {
		return nil, err
	}
	return d, access.CheckGroup(tx, actor, access.EditAuthorities, d.GroupID)
}

// accept takes an input into a directory and its settings, and checks both.
func accept(d *ra.Directory, v *dirpolicy.Settings, in Input) error {
	set(&d.GroupID, in.GroupID)
	set(&d.Name, in.Name)
	set(&d.Description, in.Description)
	set(&d.Disabled, in.Disabled)
	var p ra.Problems
	if ra.Fold(d.Name) == "" || len(d.Name) > 200 {
		p.Add("name", "A directory needs a name of 1 to 200 characters.", "Give it the name people know it by, such as that of the domain.")
	}
	if d.GroupID == "" {
		p.Add("group_id", "The users of a directory belong to an organization group.", "Name the group.")
	}
	raw := in.Settings
	if len(raw) == 0 {
		raw = []byte("{}")
	}
	p.Merge("settings", setting.FromJSON(v, raw))
	return p.Err()
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// changes lists what was changed, as people read it.
func changes(before, after *ra.Directory, old, next *dirpolicy.Settings) audit.Changes {
	var out audit.Changes
	out.Add("group_id", before.GroupID, after.GroupID)
	out.Add("name", before.Name, after.Name)
	out.Add("description", before.Description, after.Description)
	out.Add("disabled", before.Disabled, after.Disabled)
	out.Settings(old, next)
	return out
}

func (s *Service) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if s.Dial == nil {
		return egress.Policy{}.Dial(ctx, network, address) // nobody said where it may go
	}
	return s.Dial(ctx, network, address)
}
