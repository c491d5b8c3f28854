package store

import (
	"strings"
	"time"

	"chancery/internal/ra"
)

type importedRow struct {
	CertificateID string `db:"certificate_id"`
	AuthorityID   string `db:"authority_id"`
	RunID         string `db:"run_id"`
	Number        int64  `db:"number"`
	Requester     string `db:"requester"`
	Template      string `db:"template"`
	At            int64  `db:"at"`
}

// CreateImported notes where a certificate was taken over from.
func (tx *Tx) CreateImported(f *ra.ImportedFrom) error {
	f.At = tx.Now
	return tx.insert("imported_certificates", &importedRow{string(f.Certificate), string(f.Authority), string(f.Run), f.Number, f.Requester, f.Template, millis(f.At)})
}

// ImportedFrom tells where a certificate was taken over from; NotFound when it
// was not.
func (tx *Tx) ImportedFrom(id ra.CertificateID) (*ra.ImportedFrom, error) {
	var r importedRow
	if err := tx.look("imported_certificates", &r, "certificate_id = $1", string(id)); err != nil {
		return nil, err
	}
	return &ra.ImportedFrom{Certificate: ra.CertificateID(r.CertificateID), Authority: ra.AuthorityID(r.AuthorityID), Run: ra.CAImportRunID(r.RunID), Number: r.Number,
		Requester: r.Requester, Template: r.Template, At: instant(r.At)}, nil
}

// KnownCertificate is what an import has to know of a certificate that is in the
// inventory.
type KnownCertificate struct {
	ID          ra.CertificateID    `db:"id"`
	GroupID     ra.GroupID          `db:"group_id"`
	TemplateID  ra.TemplateID       `db:"template_id"`
	DeviceID    ra.DeviceID         `db:"device_id"`
	UserID      ra.UserID           `db:"user_id"`
	Serial      string              `db:"serial"`
	Fingerprint string              `db:"fingerprint"`
	State       ra.CertificateState `db:"state"`
	Action      ra.Action           `db:"next_action"`
	Purpose     ra.Purpose          `db:"purpose"`
	Updated     int64               `db:"updated_at"` // milliseconds
	Imported    bool                `db:"imported"`   // it came from its authority's records
	Different   bool                `db:"different"`  // it is revoked here and not there, as far as is known
}

// UpdatedAt is when it last changed.
func (k *KnownCertificate) UpdatedAt() time.Time { return instant(k.Updated) }

// Ownerless reports whether it was taken over, is in use, and belongs to nobody.
func (k *KnownCertificate) Ownerless() bool {
	return k.Imported && k.State == ra.Valid && k.DeviceID == "" && k.UserID == ""
}

// KnownCertificates gives those of the serials of one issuer that are in the
// inventory, by serial.
func (tx *Tx) KnownCertificates(issuerHash string, serials []string) (map[string]*KnownCertificate, error) {
	w := &where{}
	w.add("c.issuer_hash = ?", issuerHash)
	w.in("c.serial", serials)
	q, args := tx.statement(w, `SELECT c.id, c.group_id, c.template_id, c.device_id, c.user_id, c.serial, c.fingerprint, c.state, c.next_action, c.purpose, c.updated_at,
		i.certificate_id IS NOT NULL AS imported, d.id IS NOT NULL AS different
		FROM certificates AS c LEFT JOIN imported_certificates AS i ON i.certificate_id = c.id LEFT JOIN ca_differences AS d ON d.certificate_id = c.id AND d.kind = 'not_revoked' AND d.settled_at = 0`)
	var rows []*KnownCertificate
	if err := tx.x.SelectContext(tx.ctx, &rows, q, args...); err != nil {
		return nil, fit(err)
	}
	out := make(map[string]*KnownCertificate, len(rows))
	for _, r := range rows {
		out[r.Serial] = r
	}
	return out, nil
}

// Likeness is what of a certificate tells which other one it replaces.
type Likeness struct {
	ID        ra.CertificateID    `db:"id"`
	DeviceID  ra.DeviceID         `db:"device_id"`
	UserID    ra.UserID           `db:"user_id"`
	Subject   string              `db:"subject"`
	SANs      string              `db:"sans"` // as the row keeps them
	State     ra.CertificateState `db:"state"`
	RenewedBy ra.CertificateID    `db:"renewed_by"`
	NotBefore int64               `db:"not_before"` // milliseconds
	NotAfter  int64               `db:"not_after"`  // milliseconds
	Number    int64               `db:"number"`     // of the request at the authority
	Requester string              `db:"requester"`
	Template  string              `db:"template"` // the authority's
}

// ImportedLike gives the certificates in use that were taken over from an
// authority and say the same names as some certificate.
func (tx *Tx) ImportedLike(authority ra.AuthorityID, like []*ra.Certificate) ([]*Likeness, error) {
	folded := make([]string, len(like))
	for i, c := range like {
		folded[i] = foldedNames(c)
	}
	w := &where{led: !tx.e.remote, lead: []string{"c.subject_folded"}}
	w.in("c.subject_folded", folded)
	w.equal("c.authority_id", string(authority))
	among(w, "c.state", []ra.CertificateState{ra.Valid, ra.Superseded})
	w.add("i.certificate_id = c.id")
	q, args := tx.statement(w, `SELECT c.id, c.device_id, c.user_id, c.subject, c.sans, c.state, c.renewed_by, c.not_before, c.not_after, i.number, i.requester, i.template
		FROM certificates AS c CROSS JOIN imported_certificates AS i`) // SQLite takes the tables of a cross join in this order
	var rows []*Likeness
	err := tx.x.SelectContext(tx.ctx, &rows, q, args...)
	return rows, fit(err)
}

// NamedUser is a user whom a certificate may be for.
type NamedUser struct {
	ID          ra.UserID      `db:"id"`
	GroupID     ra.GroupID     `db:"group_id"`
	Name        string         `db:"name"`
	NameFolded  string         `db:"name_folded"`
	Email       string         `db:"email"`
	UPN         string         `db:"upn"`
	SID         string         `db:"sid"`
	DisplayName string         `db:"display_name"`
	Directory   ra.DirectoryID `db:"directory_id"`
}

// UserNames are the names by which users are looked up. Case does not count but
// in SIDs; outside of ASCII it may.
type UserNames struct{ SIDs, UPNs, Emails, Accounts []string }

// NamedUsers gives the users of some groups who have any of the names, some of
// them several times.
func (tx *Tx) NamedUsers(groups []ra.GroupID, n UserNames) ([]*NamedUser, error) {
	var sid, upn, email, account where
	sid.in("sid", n.SIDs)
	sid.add("sid <> ''")
	upn.in("lower(upn)", lowered(n.UPNs))
	upn.add("upn <> ''")
	email.in("lower(email)", lowered(n.Emails))
	email.add("email <> ''")
	account.in("name_folded", lowered(n.Accounts))
	return named[NamedUser](tx, "SELECT id, group_id, name, name_folded, email, upn, sid, display_name, directory_id FROM users", groups, &sid, &upn, &email, &account)
}

// NamedDevice is a device that a certificate may be for.
type NamedDevice struct {
	ID           ra.DeviceID `db:"id"`
	GroupID      ra.GroupID  `db:"group_id"`
	UserID       ra.UserID   `db:"user_id"`
	PlatformID   string      `db:"platform_id"`
	NameFolded   string      `db:"name_folded"`
	SerialNumber string      `db:"serial_number"`
}

// NamedDevices gives the devices of some groups, all of one organization, that
// any of the names is the platform ID, the name or the serial number of. Platform
// IDs are found as they are spelled, or in one case. Devices that have left are
// none.
func (tx *Tx) NamedDevices(organization ra.GroupID, groups []ra.GroupID, names []string) ([]*NamedDevice, error) {
	var identity, name, serial where
	identity.equal("organization_id", string(organization))
	identity.in("platform_id", spelled(names))
	name.in("name_folded", lowered(names))
	serial.in("lower(serial_number)", lowered(names))
	serial.add("serial_number <> ''")
	for _, w := range []*where{&identity, &name, &serial} {
		w.add("state <> 'unenrolled'")
	}
	return named[NamedDevice](tx, "SELECT id, group_id, user_id, platform_id, name_folded, serial_number FROM devices", groups, &identity, &name, &serial)
}

// named selects rows of some groups in several ways.
func named[R any](tx *Tx, head string, groups []ra.GroupID, ways ...*where) ([]*R, error) {
	var out []*R
	for _, w := range ways {
		if len(w.conditions[0].args) == 0 {
			continue // nobody is asked for
		}
		within(w, "group_id", groups)
		q, args := tx.statement(w, head)
		var rows []*R
		if err := tx.x.SelectContext(tx.ctx, &rows, q, args...); err != nil {
			return nil, fit(err)
		}
		out = append(out, rows...)
	}
	return out, nil
}

// spelled gives names as they are, and in small and capital letters.
func spelled(names []string) []string {
	out := append(lowered(names), names...)
	for _, n := range names {
		out = append(out, strings.ToUpper(n))
	}
	return out
}

func lowered(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strings.ToLower(n)
	}
	return out
}

// RequestEnd is how far a request has come.
type RequestEnd struct {
	ID          ra.RequestID     `db:"id"`
	State       ra.RequestState  `db:"state"`
	Certificate ra.CertificateID `db:"certificate_id"`
	SPKIHash    string           `db:"spki_hash"`
	Created     int64            `db:"created_at"` // milliseconds
}

// CreatedAt is when it was asked.
func (r *RequestEnd) CreatedAt() time.Time { return instant(r.Created) }

// RequestEnds gives how far some requests have come, by ID; those that are not
// here are left out.
func (tx *Tx) RequestEnds(ids []string) (map[ra.RequestID]*RequestEnd, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	w := &where{}
	w.in("id", ids)
	q, args := tx.statement(w, "SELECT id, state, certificate_id, spki_hash, created_at FROM requests")
	var rows []*RequestEnd
	if err := tx.x.SelectContext(tx.ctx, &rows, q, args...); err != nil {
		return nil, fit(err)
	}
	out := map[ra.RequestID]*RequestEnd{}
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, nil
}

// PassTraces gives which of the key hashes and which of the renewal markers are
// those of passes that lack their certificate.
func (tx *Tx) PassTraces(signers, markers []string) (map[string]bool, error) {
	var signer, marker where
	signer.in("signer_hash", signers)
	signer.add("signer_hash <> '' AND certificate_id = ''")
	marker.in("marker", markers)
	marker.add("marker <> '' AND certificate_id = ''")
	type trace struct {
		Signer string `db:"signer_hash"`
		Marker string `db:"marker"`
	}
	found, err := named[trace](tx, "SELECT signer_hash, marker FROM passes", nil, &signer, &marker)
	out := map[string]bool{}
	for _, t := range found {
		out[t.Signer], out[t.Marker] = true, true
	}
	delete(out, "")
	return out, err
}

// HoldAtAuthority notes that a certificate's authority has put it on hold, at
// the instant that its row has.
func (tx *Tx) HoldAtAuthority(c *ra.Certificate) error {
	_, err := tx.exec("INSERT INTO authority_holds (certificate_id, held_at) VALUES ($1, $2) ON CONFLICT (certificate_id) DO UPDATE SET held_at = excluded.held_at",
		string(c.ID), millis(c.RevokedAt))
	return err
}

// HeldByAuthority reports whether the hold that a certificate is on was its
// authority's.
func (tx *Tx) HeldByAuthority(c *ra.Certificate) (held bool, err error) {
	if c.State != ra.OnHold {
		return false, nil
	}
	err = tx.x.GetContext(tx.ctx, &held, "SELECT count(*) > 0 FROM authority_holds WHERE certificate_id = $1 AND held_at = $2", string(c.ID), millis(c.RevokedAt))
	return held, fit(err)
}
