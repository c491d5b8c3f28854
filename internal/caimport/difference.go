package caimport

import (
	"context"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// Kinds lists the kinds of differences, in display order.
var Kinds = []ra.DifferenceKind{ra.DiffNotOurs, ra.DiffNoRequest, ra.DiffEnded, ra.DiffNotRevoked}

var words = map[ra.DifferenceKind][3]string{
	ra.DiffNotOurs: {"Issued under our account, not by this server",
		"The authority issued this certificate to the account that this server uses, and this server did not ask for it.",
		"Find out who asked with the account. If nobody knows, revoke the certificate, change the account's password and see who else may use it."},
	ra.DiffNoRequest: {"Issued for a request that is not here",
		"The certificate carries the number of a request of this house that this server does not know: it was made by another installation, or after the backup that was put back here.",
		"If another installation uses the same account, give each its own. After a restore, see that whoever holds the certificate is meant to; else revoke it."},
	ra.DiffEnded: {"Issued for a request that has ended",
		"The authority issued this certificate for a request that ended here without it: it was denied, cancelled, failed, or got another certificate.",
		"Revoke the certificate if its holder shall not have it; else say why it may stay."},
	ra.DiffNotRevoked: {"Revoked here, valid at the authority",
		"The certificate is revoked or on hold here, and the authority says that it is valid: somebody released it there, or its database was put back.",
		"Revoke it at the authority, or put it on hold there. Once the two agree this settles itself."},
}

// Words tells people about a kind of difference.
func Words(kind ra.DifferenceKind) (title, meaning, remedy string) {
	w := words[kind]
	return w[0], w[1], w[2]
}

// differ notes a difference.
func (b *storing) differ(kind ra.DifferenceKind, it *item, c *ra.Certificate, request ra.RequestID) error {
	d := &ra.Difference{ID: ra.NewID[ra.DifferenceID](ra.DifferencePrefix, b.tx.Now), Authority: b.authority.ID, GroupID: c.GroupID, Kind: kind, Certificate: c.ID, Number: it.Number,
		Serial: c.Serial, Subject: c.Subject, Requester: it.Requester, Template: it.Template, Request: request}
	if err := b.tx.CreateDifference(d); err != nil {
		return err
	}
	return found(b.tx, b.authority, d)
}

func found(tx *store.Tx, a *ra.Authority, d *ra.Difference) error {
	title, meaning, _ := Words(d.Kind)
	return audit.Record(tx, audit.Entry{Code: audit.DifferenceFound, Actor: ra.System("import"), Group: d.GroupID, Object: string(d.ID), Related: string(d.Certificate), Result: "failed",
		Message: title + ": " + d.Subject, Details: map[string]any{"kind": d.Kind, "meaning": meaning, "authority": a.ID, "number": d.Number, "serial": d.Serial, "request": d.Request}})
}

// unrevoked notes that a certificate is valid at the authority and not here. Where
// the two have agreed meanwhile and do not any more it is open again; what a person
// has settled stays settled.
func (b *storing) unrevoked(it *item, c *ra.Certificate) error {
	known, err := b.tx.DifferenceOf(c.ID, ra.DiffNotRevoked)
	if err != nil && ra.KindOf(err) != ra.NotFound {
		return err
	}
	if err == nil && known.SettledBy != settledItself {
		return nil
	}
	b.run.Strange++
	switch {
	case b.run.Preview:
		return nil
	case err != nil:
		return b.differ(ra.DiffNotRevoked, it, c, c.RequestID)
	}
	known.FoundAt, known.SettledAt, known.SettledBy, known.Comment = b.tx.Now, time.Time{}, "", ""
	if err := b.tx.UpdateDifference(known); err != nil {
		return err
	}
	return found(b.tx, b.authority, known)
}

// settledItself is who settles a difference when the two agree again.
const settledItself = "system"

// agree settles that a certificate was valid at the authority and not here.
func (b *storing) agree(id ra.CertificateID) error {
	if b.run.Preview {
		return nil
	}
	d, err := b.tx.DifferenceOf(id, ra.DiffNotRevoked)
	if err != nil || !d.SettledAt.IsZero() {
		return err
	}
	d.SettledAt, d.SettledBy, d.Comment = b.tx.Now, settledItself, "The two agree again."
	if err := b.tx.UpdateDifference(d); err != nil {
		return err
	}
	return settled(b.tx, ra.System("import"), d)
}

func settled(tx *store.Tx, actor ra.Actor, d *ra.Difference) error {
	title, _, _ := Words(d.Kind)
	return audit.Record(tx, audit.Entry{Code: audit.DifferenceSettled, Actor: actor, Group: d.GroupID, Object: string(d.ID), Related: string(d.Certificate),
		Message: "Settled (" + title + "): " + d.Subject, Details: map[string]any{"comment": d.Comment, "kind": d.Kind, "serial": d.Serial}})
}

// Differences lists the differences the actor may see: those about certificates of
// their groups.
func (s *Service) Differences(ctx context.Context, actor ra.Actor, f store.DifferenceFilter) (list []*ra.Difference, next string, err error) {
	asked := f.Groups
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if f.Groups, err = access.Within(tx, actor, access.See, asked); err != nil {
			return err
		}
		list, next, err = tx.FindDifferences(f)
		return err
	})
	return list, next, err
}

// CountDifferences counts what a filter finds among them.
func (s *Service) CountDifferences(ctx context.Context, actor ra.Actor, f store.DifferenceFilter) (n int, err error) {
	asked := f.Groups
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if f.Groups, err = access.Within(tx, actor, access.See, asked); err != nil {
			return err
		}
		n, err = tx.CountDifferences(f)
		return err
	})
	return n, err
}

// Difference gives one difference.
func (s *Service) Difference(ctx context.Context, actor ra.Actor, id ra.DifferenceID) (d *ra.Difference, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if d, err = tx.Difference(id); err != nil {
			return err
		}
		return access.CheckGroup(tx, actor, access.See, d.GroupID)
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// maxComment bounds a comment, in characters.
const maxComment = 2000

// Settle lets a difference be: the actor answers for it by name, with a comment.
// Errors are Invalid for the comment, Conflict for one that is settled, NotFound
// and Denied.
func (s *Service) Settle(ctx context.Context, actor ra.Actor, id ra.DifferenceID, comment string) (d *ra.Difference, err error) {
	comment = strings.TrimSpace(comment)
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if d, err = tx.Difference(id); err != nil {
			return err
		}
		if err := access.CheckGroup(tx, actor, access.EditAuthorities, d.GroupID); err != nil {
			return err
		}
		if n := utf8.RuneCountInString(comment); n < 3 || n > maxComment {
			return ra.Errorf(ra.Invalid, "A difference is settled with a comment of 3 to %d characters.", maxComment).WithField("comment").
				WithRemedy("Write what was found out, and what was done, for whoever asks later.")
		}
		if !d.SettledAt.IsZero() {
			return ra.Errorf(ra.Conflict, "The difference is settled already.").WithRemedy("Look at it again.")
		}
		d.SettledAt, d.SettledBy, d.Comment = tx.Now, actor.Name, comment
		if err := tx.UpdateDifference(d); err != nil {
			return err
		}
		return settled(tx, actor, d)
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// number counts certificates in words.
func number(n int) string {
	if n == 1 {
		return "1 certificate"
	}
	return strconv.Itoa(n) + " certificates"
}
