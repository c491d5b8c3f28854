package store

import (
	"errors"

	"chancery/internal/ra"
)

type differenceRow struct {
	ID            string `db:"id"`
	AuthorityID   string `db:"authority_id"`
	GroupID       string `db:"group_id"`
	Kind          string `db:"kind"`
	CertificateID string `db:"certificate_id"`
	Number        int64  `db:"number"`
	Serial        string `db:"serial"`
	Subject       string `db:"subject"`
	Requester     string `db:"requester"`
	Template      string `db:"template"`
	RequestID     string `db:"request_id"`
	SubjectFolded string `db:"subject_folded"`
	Search        string `db:"search"`
	FoundAt       int64  `db:"found_at"`
	SettledAt     int64  `db:"settled_at"`
	SettledBy     string `db:"settled_by"`
	Comment       string `db:"comment"`
}

func toDifference(d *ra.Difference) differenceRow {
	return differenceRow{ID: string(d.ID), AuthorityID: string(d.Authority), GroupID: string(d.GroupID), Kind: string(d.Kind), CertificateID: string(d.Certificate),
		Number: d.Number, Serial: d.Serial, Subject: d.Subject, Requester: d.Requester, Template: d.Template, RequestID: string(d.Request), SubjectFolded: ra.Fold(d.Subject),
		Search: ra.Fold(d.Subject + "\n" + d.Requester + "\n" + d.Serial + "\n" + d.Template), FoundAt: millis(d.FoundAt), SettledAt: millis(d.SettledAt), SettledBy: d.SettledBy, Comment: d.Comment}
}

func (r *differenceRow) noun() (*ra.Difference, error) {
	return &ra.Difference{ID: ra.DifferenceID(r.ID), Authority: ra.AuthorityID(r.AuthorityID), GroupID: ra.GroupID(r.GroupID), Kind: ra.DifferenceKind(r.Kind),
		Certificate: ra.CertificateID(r.CertificateID), Number: r.Number, Serial: r.Serial, Subject: r.Subject, Requester: r.Requester, Template: r.Template,
		Request: ra.RequestID(r.RequestID), FoundAt: instant(r.FoundAt), SettledAt: instant(r.SettledAt), SettledBy: r.SettledBy, Comment: r.Comment}, nil
}

// CreateDifference stores a new difference. A second one of its kind about the
// same certificate is a Conflict.
func (tx *Tx) CreateDifference(d *ra.Difference) error {
	d.FoundAt = tx.Now
	row := toDifference(d)
	return tx.insert("ca_differences", &row)
}

// UpdateDifference stores every field of d.
func (tx *Tx) UpdateDifference(d *ra.Difference) error {
	row := toDifference(d)
	return tx.update("ca_differences", &row)
}

// Difference loads a difference.
func (tx *Tx) Difference(id ra.DifferenceID) (*ra.Difference, error) {
	return tx.difference("id = $1", string(id))
}

// DifferenceOf loads the difference of a kind about a certificate.
func (tx *Tx) DifferenceOf(certificate ra.CertificateID, kind ra.DifferenceKind) (*ra.Difference, error) {
	return tx.difference("certificate_id = $1 AND kind = $2", string(certificate), string(kind))
}

func (tx *Tx) difference(where string, args ...any) (*ra.Difference, error) {
	var row differenceRow
	if err := tx.get("ca_differences", &row, where, args...); err != nil {
		return nil, err
	}
	return row.noun()
}

// DifferenceFilter narrows a list of differences; empty fields do not.
type DifferenceFilter struct {
	Groups    []ra.GroupID // any of these; nil: all
	Authority ra.AuthorityID
	Kind      ra.DifferenceKind
	Open      *bool  // only open ones, or only settled ones; nil: both
	Text      string // part of the subject, the requester, the serial or the authority's template
	Page
}

func (f DifferenceFilter) where(tx *Tx) (*where, error) {
	w := &where{}
	err := tx.scope(w, f.Groups)
	w.equal("authority_id", string(f.Authority))
	w.equal("kind", string(f.Kind))
	if f.Open != nil && *f.Open {
		w.add("settled_at = 0")
	} else if f.Open != nil {
		w.add("settled_at > 0")
	}
	w.contains(f.Text, "search")
	return w, err
}

// FindDifferences lists differences, newest first unless Page.Sort says
// "created" or "subject".
func (tx *Tx) FindDifferences(f DifferenceFilter) ([]*ra.Difference, string, error) {
	w, err := f.where(tx)
	if err != nil {
		return nil, "", err
	}
	return find[ra.Difference, differenceRow](tx, "ca_differences", w, f.Page, sorting{"": {"id", true}, "created": {"id", false}, "subject": {"subject_folded", false}})
}

// CountDifferences counts what a filter finds.
func (tx *Tx) CountDifferences(f DifferenceFilter) (n int, err error) {
	w, err := f.where(tx)
	q, args := tx.statement(w, "SELECT count(*) FROM ca_differences")
	return n, errors.Join(err, fit(tx.x.GetContext(tx.ctx, &n, q, args...)))
}
