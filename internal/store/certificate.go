package store

import (
	"strings"
	"time"

	"chancery/internal/ra"
)

type certificateRow struct {
	ID            string `db:"id"`
	GroupID       string `db:"group_id"`
	AuthorityID   string `db:"authority_id"`
	TemplateID    string `db:"template_id"`
	DeviceID      string `db:"device_id"`
	UserID        string `db:"user_id"`
	RequestID     string `db:"request_id"`
	Purpose       string `db:"purpose"`
	IssuerHash    string `db:"issuer_hash"`
	Serial        string `db:"serial"`
	Subject       string `db:"subject"`
	SubjectFolded string `db:"subject_folded"`
	SANs          string `db:"sans"`
	KeyType       string `db:"key_type"`
	KeyPlace      string `db:"key_place"`
	DER           []byte `db:"der"`
	Fingerprint   string `db:"fingerprint"`
	SPKIHash      string `db:"spki_hash"`
	NotBefore     int64  `db:"not_before"`
	NotAfter      int64  `db:"not_after"`
	State         string `db:"state"`
	Renews        string `db:"renews"`
	RenewedBy     string `db:"renewed_by"`
	RevokedAt     int64  `db:"revoked_at"`
	Reason        int64  `db:"reason"`
	obligationRow
	timesRow
}

func toCertificate(c *ra.Certificate) certificateRow {
	return certificateRow{
		ID: string(c.ID), GroupID: string(c.GroupID), AuthorityID: string(c.AuthorityID), TemplateID: string(c.TemplateID),
		DeviceID: string(c.DeviceID), UserID: string(c.UserID), RequestID: string(c.RequestID), Purpose: string(c.Purpose),
		IssuerHash: c.IssuerHash, Serial: c.Serial, Subject: c.Subject,
		SubjectFolded: foldedNames(c),
		SANs:          text(c.SANs), KeyType: c.KeyType, KeyPlace: string(c.KeyPlace), DER: blob(c.DER), Fingerprint: c.Fingerprint,
		SPKIHash: c.SPKIHash, NotBefore: millis(c.NotBefore), NotAfter: millis(c.NotAfter), State: string(c.State),
		Renews: string(c.Renews), RenewedBy: string(c.RenewedBy), RevokedAt: millis(c.RevokedAt), Reason: int64(c.Reason),
		obligationRow: toObligation(c.Obligation), timesRow: toTimes(c.Times),
	}
}

// foldedNames is what a certificate is found and sorted by. PostgreSQL's indexes
// have no entries beyond 2,704 bytes, so that of very many names the last are
// left out.
func foldedNames(c *ra.Certificate) string {
	s := ra.Fold(c.Subject + "\n" + strings.Join(c.SANs, "\n"))
	if len(s) <= maxFolded {
		return s
	}
	return strings.ToValidUTF8(s[:maxFolded], "")
}

// maxFolded is in bytes.
const maxFolded = 2500

func (r *certificateRow) noun() (*ra.Certificate, error) {
	c := &ra.Certificate{
		ID: ra.CertificateID(r.ID), GroupID: ra.GroupID(r.GroupID), AuthorityID: ra.AuthorityID(r.AuthorityID),
		TemplateID: ra.TemplateID(r.TemplateID), DeviceID: ra.DeviceID(r.DeviceID), UserID: ra.UserID(r.UserID),
		RequestID: ra.RequestID(r.RequestID), Purpose: ra.Purpose(r.Purpose), IssuerHash: r.IssuerHash, Serial: r.Serial,
		Subject: r.Subject, KeyType: r.KeyType, KeyPlace: ra.KeyPlace(r.KeyPlace), DER: r.DER, Fingerprint: r.Fingerprint,
		SPKIHash: r.SPKIHash, NotBefore: instant(r.NotBefore), NotAfter: instant(r.NotAfter), State: ra.CertificateState(r.State),
		Renews: ra.CertificateID(r.Renews), RenewedBy: ra.CertificateID(r.RenewedBy), RevokedAt: instant(r.RevokedAt),
		Reason: ra.RevocationReason(r.Reason), Obligation: r.obligationRow.noun(), Times: r.timesRow.noun(),
	}
	return c, parse(r.SANs, &c.SANs)
}

// CreateCertificate stores a new certificate. A second one with the same
// issuer key and serial, or for the same request, is a Conflict.
func (tx *Tx) CreateCertificate(c *ra.Certificate) error {
	c.CreatedAt, c.UpdatedAt = tx.Now, tx.Now
	row := toCertificate(c)
	return tx.insert("certificates", &row)
}

// UpdateCertificate stores every field of c.
func (tx *Tx) UpdateCertificate(c *ra.Certificate) error {
	c.UpdatedAt = tx.Now
	row := toCertificate(c)
	return tx.update("certificates", &row)
}

// Certificate loads a certificate.
func (tx *Tx) Certificate(id ra.CertificateID) (*ra.Certificate, error) {
	return tx.certificate("id = $1", string(id))
}

// CertificateBySerial loads a certificate by its identity.
func (tx *Tx) CertificateBySerial(issuerHash, serial string) (*ra.Certificate, error) {
	return tx.certificate("issuer_hash = $1 AND serial = $2", issuerHash, serial)
}

// CertificateByFingerprint loads a certificate by the SHA-256 of its DER, hex.
func (tx *Tx) CertificateByFingerprint(fingerprint string) (*ra.Certificate, error) {
	return tx.certificate("fingerprint = $1", fingerprint)
}

// CertificateByRequest loads the certificate a request led to.
func (tx *Tx) CertificateByRequest(id ra.RequestID) (*ra.Certificate, error) {
	return tx.certificate("request_id = $1 AND request_id <> ''", string(id))
}

func (tx *Tx) certificate(where string, args ...any) (*ra.Certificate, error) {
	var row certificateRow
	if err := tx.get("certificates", &row, where, args...); err != nil {
		return nil, err
	}
	return row.noun()
}

// CertificateFilter narrows a list of certificates; empty fields do not.
type CertificateFilter struct {
	Groups        []ra.GroupID // any of these; nil: all
	States        []ra.CertificateState
	Authority     ra.AuthorityID
	Template      ra.TemplateID
	Device        ra.DeviceID
	User          ra.UserID
	SPKIHash      string
	Serial        string
	ExpiresBefore time.Time
	ExpiresAfter  time.Time
	Imported      *bool  // only those an import took over from their authority's records, or only the others; nil: both
	OwnToo        bool   // include the server's own (SCEP RA, OCSP signer)
	Text          string // part of the subject or of a SAN, a serial, or a fingerprint
	Page
}

func (f CertificateFilter) where(tx *Tx) (*where, error) {
	w := &where{}
	if err := tx.scope(w, f.Groups); err != nil {
		return nil, err
	}
	among(w, "state", f.States)
	if err := tx.place(w, "certificates", f.Authority, f.Template); err != nil {
		return nil, err
	}
	w.owner("device_id", string(f.Device))
	w.owner("user_id", string(f.User))
	w.equal("spki_hash", f.SPKIHash)
	w.equal("serial", f.Serial)
	w.between("not_after", f.ExpiresAfter, f.ExpiresBefore)
	if len(f.States) == 0 && (strings.TrimPrefix(f.Sort, "-") == "expires" || w.on("not_after") != nil) {
		among(w, "state", ra.CertificateStates) // the index by end is one by state
		w.on("state").implied = true
	}
	if f.Imported != nil {
		exists := "EXISTS"
		if !*f.Imported {
			exists = "NOT EXISTS"
		}
		w.add(exists + " (SELECT 1 FROM imported_certificates AS i WHERE i.certificate_id = certificates.id)")
		if sort := strings.TrimPrefix(f.Sort, "-"); *f.Imported && (sort == "" || sort == "created") { // the list is walked where some are, not from its end
			w.add("id BETWEEN (SELECT min(certificate_id) FROM imported_certificates) AND (SELECT max(certificate_id) FROM imported_certificates)")
		}
	}
	if !f.OwnToo {
		w.conditions = append(w.conditions, condition{text: "purpose = ''", column: "purpose"})
	}
	return w, f.narrow(tx, w)
}

// narrow asks for those that hold the text, or have it as serial or fingerprint,
// and looks up which may.
func (f CertificateFilter) narrow(tx *Tx, w *where) error {
	text := ra.Fold(f.Text)
	if text == "" {
		return nil
	}
	var named []string
	err := tx.x.SelectContext(tx.ctx, &named, "SELECT id FROM certificates WHERE serial = $1 UNION SELECT id FROM certificates WHERE fingerprint = $1", text)
	if err != nil {
		return fit(err)
	}
	if len(named) > 0 {
		w.add("(subject_folded LIKE ?"+escape+" OR serial = ? OR fingerprint = ?)", like(text), text, text)
	} else {
		w.contains(text, "subject_folded") // which the index by subject answers alone
	}
	return tx.narrow(w, f.Page, "certificates", text, named...)
}

var certificateSorting = sorting{"": {"id", true}, "created": {"id", false}, "expires": {"not_after", false}, "subject": {"subject_folded", false}}

// FindCertificates lists certificates, newest first unless Page.Sort says
// "created", "expires" or "subject".
func (tx *Tx) FindCertificates(f CertificateFilter) ([]*ra.Certificate, string, error) {
	w, err := f.where(tx)
	if err != nil {
		return nil, "", err
	}
	return find[ra.Certificate, certificateRow](tx, "certificates", w, f.Page, certificateSorting)
}

// CountCertificates counts what a filter finds by state. By group, state and
// authority, or by template and state, that is a look at kept sums; every other
// filter has to find the certificates first.
func (tx *Tx) CountCertificates(f CertificateFilter) ([]Count, error) {
	w := &where{}
	switch {
	case f.otherwise():
		w, err := f.where(tx)
		if err != nil {
			return nil, err
		}
		return tx.counts("certificates", "state", w)
	case f.Template != "":
		w.equal("kind", byTemplate)
		w.equal("group_id", string(f.Template))
	case f.OwnToo:
		w.in("kind", []string{"certificates", ownCertificates})
	default:
		w.equal("kind", "certificates")
	}
	if f.Template == "" {
		if err := tx.scope(w, f.Groups); err != nil {
			return nil, err
		}
	}
	w.equal("authority_id", string(f.Authority))
	among(w, "item", f.States)
	return tx.sumsOf(w)
}

// otherwise reports whether the filter asks for something that is not summed
// up.
func (f CertificateFilter) otherwise() bool {
	return f.Imported != nil || f.Device != "" || f.User != "" || f.SPKIHash != "" || f.Serial != "" || !f.ExpiresBefore.IsZero() || !f.ExpiresAfter.IsZero() || ra.Fold(f.Text) != "" ||
		f.Template != "" && (f.OwnToo || f.Groups != nil || f.Authority != "")
}

// OwnCertificates gives the server's own certificates of an authority for a
// purpose that are not past their end, newest first.
func (tx *Tx) OwnCertificates(authority ra.AuthorityID, purpose ra.Purpose) ([]*ra.Certificate, error) {
	var rows []*certificateRow
	err := tx.x.SelectContext(tx.ctx, &rows, "SELECT * FROM certificates WHERE authority_id = $1 AND purpose = $2 AND purpose <> '' AND not_after > $3 AND state NOT IN ('on_hold', 'revoked', 'expired') ORDER BY not_after DESC, id DESC",
		string(authority), string(purpose), millis(tx.Now))
	if err != nil {
		return nil, err
	}
	return nouns[ra.Certificate](rows)
}

// CountOwn counts the server's own certificates of an authority for a purpose,
// ended ones included.
func (tx *Tx) CountOwn(authority ra.AuthorityID, purpose ra.Purpose) (n int, err error) {
	err = tx.x.GetContext(tx.ctx, &n, "SELECT count(*) FROM certificates WHERE authority_id = $1 AND purpose = $2 AND purpose <> ''", string(authority), string(purpose))
	return n, err
}
