package directory

import (
	"context"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/dirpolicy"
	"chancery/internal/ldapdir"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// PublishJob brings what is due into the entries of one directory, and takes
// out of them what does not belong there any longer. It is unique per
// directory.
type PublishJob struct {
	Directory ra.DirectoryID `json:"directory"`
}

// Kind is the stable name of the job.
func (PublishJob) Kind() string { return "directory.publish" }

const (
	// published is the attribute of a user's certificates. Active Directory
	// takes its name with ;binary too, Samba does not.
	published = "userCertificate"
	// publishBatch is how many publications are loaded at a time.
	publishBatch = 50
	// publishSpan is how long the job works before it lets others go first.
	publishSpan = time.Minute
	// publishWithin is after how long people hear of a publication that waits.
	publishWithin = 24 * time.Hour
)

// The labels of the steps of a publication, in order.
const (
	StepPublishTell = "directory.publish.tell" // the directory is not asked yet
	StepPublishNote = "directory.publish.note" // it has done it, the row does not say so
)

// Publish has a certificate that is issued in the caller's transaction brought
// into its user's entry, if the template wants that and the user comes from a
// directory.
func Publish(tx *store.Tx, c *ra.Certificate, spec *ra.TemplateSpec) error {
	if !spec.Publish.Certificate || c.UserID == "" || c.State != ra.Valid {
		return nil
	}
	u, err := tx.User(c.UserID)
	if ra.KindOf(err) == ra.NotFound || err == nil && u.Directory == "" {
		return nil
	}
	if err != nil {
		return err
	}
	return tx.CreatePublication(&ra.Publication{ID: ra.NewID[ra.PublicationID](ra.PublicationPrefix, tx.Now), Certificate: c.ID, Directory: u.Directory, GroupID: c.GroupID,
		AuthorityID: c.AuthorityID, DeviceID: c.DeviceID, UserID: u.ID, ObjectGUID: u.ObjectGUID, Subject: c.Subject, Obligation: publishing(tx, ra.ActionPublish)})
}

func publishing(tx *store.Tx, a ra.Action) ra.Obligation {
	return ra.Obligation{Action: a, At: tx.Now, Deadline: tx.Now.Add(publishWithin)}
}

// Follow has the user's entry follow the state of a certificate that changed in
// the caller's transaction: one that was replaced, revoked, put on hold or has
// ended is taken out, one that is off hold is brought back.
func Follow(tx *store.Tx, c *ra.Certificate) error {
	p, err := tx.PublicationOf(c.ID)
	if ra.KindOf(err) == ra.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	next := ra.ActionWithdraw
	if c.State == ra.Valid {
		next = ra.ActionPublish
	}
	if p.Action == next || p.Action == ra.ActionNone && p.Published == (next == ra.ActionPublish) {
		return nil
	}
	p.Obligation = publishing(tx, next)
	return tx.UpdatePublication(p)
}

// Publication gives what a certificate owes its user's entry; NotFound when it
// is not published.
func (s *Service) Publication(ctx context.Context, actor ra.Actor, id ra.CertificateID) (p *ra.Publication, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if p, err = tx.PublicationOf(id); err != nil {
			return err
		}
		return access.CheckGroup(tx, actor, access.See, p.GroupID)
	})
	return p, err
}

// WorkPublish runs the job.
func (s *Service) WorkPublish(ctx context.Context, j PublishJob) error {
	var d *ra.Directory
	var v *dirpolicy.Settings
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if d, err = tx.Directory(j.Directory); err != nil {
			return err
		}
		v, err = s.settings(tx, d)
		return err
	}); err != nil {
		return err
	}
	conn, err := s.publisher(ctx, d, v)
	if err != nil {
		return s.postponeAll(ctx, d, err)
	}
	defer conn.Close()
	for began := time.Now(); time.Since(began) < publishSpan; {
		due, err := s.duePublications(ctx, j.Directory)
		if err != nil || len(due) == 0 {
			return err
		}
		for _, p := range due {
			if err := s.settle(ctx, conn, p); err != nil {
				return err
			}
			if conn.Closed() {
				return nil // the row says why; what is left is handed out again
			}
		}
	}
	return ra.Errorf(ra.Conflict, "The publications go on in a moment.").WithRemedy("Wait.").WithRetry(time.Second)
}

func (s *Service) publisher(ctx context.Context, d *ra.Directory, v *dirpolicy.Settings) (*ldapdir.Conn, error) {
	if d.Disabled {
		return nil, ra.Errorf(ra.Conflict, "The directory %q is switched off.", d.Name).WithRemedy("Switch it on: certificates are waiting to be published.")
	}
	o, err := s.options(v)
	if err != nil {
		return nil, err
	}
	return ldapdir.Open(ctx, o)
}

func (s *Service) postponeAll(ctx context.Context, d *ra.Directory, cause error) error {
	e := ra.AsError(cause)
	s.Log.Warn("certificates are not published", "directory", d.Name, "error", cause)
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		return tx.PostponePublications(d.ID, tx.Now.Add(max(10*time.Minute, e.Retry)), e.Say())
	})
}

// duePublication is a publication with the certificate.
type duePublication struct {
	*ra.Publication
	der []byte
}

func (s *Service) duePublications(ctx context.Context, id ra.DirectoryID) (list []duePublication, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		due, err := tx.DuePublications(id, publishBatch)
		if err != nil {
			return err
		}
		list = nil
		for _, p := range due {
			c, err := tx.Certificate(p.Certificate)
			if err != nil {
				return err
			}
			list = append(list, duePublication{p, c.DER})
		}
		return nil
	})
	return list, err
}

// settle does what one publication is due for, and notes how it went. Doing it
// again after a crash changes nothing in the directory.
func (s *Service) settle(ctx context.Context, conn *ldapdir.Conn, p duePublication) error {
	s.step(StepPublishTell)
	entry := "<GUID=" + p.ObjectGUID + ">"
	var cause error
	if p.Action == ra.ActionPublish {
		cause = conn.AddValue(ctx, entry, published, p.der)
	} else if cause = conn.RemoveValue(ctx, entry, published, p.der); ra.KindOf(cause) == ra.NotFound {
		cause = nil // nothing is left of the user there
	}
	s.step(StepPublishNote)
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		fresh, err := tx.PublicationOf(p.Certificate)
		if err != nil {
			return err
		}
		if cause != nil {
			if fresh.Action != p.Action {
				return nil // something else is wanted by now
			}
			e := ra.AsError(cause)
			s.Log.Warn("a certificate is not published", "publication", p.ID, "action", p.Action, "error", cause)
			fresh.Attempts, fresh.LastError, fresh.At = fresh.Attempts+1, e.Say(), tx.Now.Add(max(publishAgain(fresh.Attempts+1), e.Retry))
			return tx.UpdatePublication(fresh)
		}
		fresh.Published = p.Action == ra.ActionPublish
		if fresh.Action == p.Action {
			fresh.Obligation = ra.Obligation{}
		}
		if err := tx.UpdatePublication(fresh); err != nil {
			return err
		}
		code, words := audit.CertificatePublished, "Published in the user's directory entry: "
		if p.Action == ra.ActionWithdraw {
			code, words = audit.CertificateWithdrawn, "Taken out of the user's directory entry: "
		}
		return audit.Record(tx, audit.Entry{Code: code, Actor: ra.System("directory"), Group: fresh.GroupID, Object: string(fresh.Certificate), Related: string(fresh.UserID), Message: words + fresh.Subject})
	})
}

// publishAgain is the wait after the n-th failed attempt: a minute doubling up to
// six hours.
func publishAgain(n int) time.Duration { return min(time.Minute<<min(max(n-1, 0), 10), 6*time.Hour) }

func (s *Service) alarmPublication(tx *store.Tx, p *ra.Publication) error {
	p.Escalated = tx.Now
	if err := tx.UpdatePublication(p); err != nil {
		return err
	}
	s.Log.Error("a certificate waits for its user's directory entry", "certificate", p.Certificate, "action", p.Action, "last_error", p.LastError)
	return audit.Record(tx, audit.Entry{Code: audit.PublicationOverdue, Actor: ra.System("directory"), Group: p.GroupID, Object: string(p.Certificate), Related: string(p.UserID), Result: "failed",
		Message: "Overdue (" + string(p.Action) + "): " + p.Subject, Details: map[string]any{"last_error": p.LastError}})
}
