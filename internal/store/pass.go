package store

import (
	"database/sql"
	"errors"
	"time"

	"chancery/internal/ra"
)

type passRow struct {
	ID             string `db:"id"`
	GroupID        string `db:"group_id"`
	AuthorityID    string `db:"authority_id"`
	TemplateID     string `db:"template_id"`
	TemplateRev    int64  `db:"template_rev"`
	DeviceID       string `db:"device_id"`
	UserID         string `db:"user_id"`
	Model          string `db:"model"`
	State          string `db:"state"`
	Hash           string `db:"hash"`
	Box            []byte `db:"box"`
	Subject        string `db:"subject"`
	Marker         string `db:"marker"`
	Fill           string `db:"fill"`
	TransactionID  string `db:"transaction_id"`
	SignerHash     string `db:"signer_hash"`
	Messages       int64  `db:"messages"`
	MaxMessages    int64  `db:"max_messages"`
	Failures       int64  `db:"failures"`
	PKIStatus      string `db:"pki_status"`
	FailInfo       string `db:"fail_info"`
	CertificateID  string `db:"certificate_id"`
	Confirmed      bool   `db:"confirmed"`
	Renews         string `db:"renews"`
	RenewAt        int64  `db:"renew_at"`
	Challenges     int64  `db:"challenges"`
	RevealedAt     int64  `db:"revealed_at"`
	ChallengeUntil int64  `db:"challenge_until"`
	ExpiresAt      int64  `db:"expires_at"`
	Hops           int64  `db:"hops"`
	Reason         string `db:"reason"`
	CreatedBy      string `db:"created_by"`
	obligationRow
	timesRow
}

func toPass(p *ra.Pass) passRow {
	return passRow{
		ID: string(p.ID), GroupID: string(p.GroupID), AuthorityID: string(p.AuthorityID), TemplateID: string(p.TemplateID), TemplateRev: int64(p.TemplateRev),
		DeviceID: string(p.DeviceID), UserID: string(p.UserID), Model: string(p.Model), State: string(p.State), Hash: p.Hash, Box: blob(p.SealedToken),
		Subject: p.Subject, Marker: p.Marker, Fill: string(p.Fill), TransactionID: p.TransactionID, SignerHash: p.SignerHash, Messages: int64(p.Messages),
		MaxMessages: int64(p.MaxMessages), Failures: int64(p.Failures), PKIStatus: p.PKIStatus, FailInfo: p.FailInfo, CertificateID: string(p.CertificateID),
		Confirmed: p.Confirmed, Renews: string(p.Renews), RenewAt: millis(p.RenewAt), Challenges: int64(p.Challenges), RevealedAt: millis(p.RevealedAt),
		ChallengeUntil: millis(p.ChallengeUntil), ExpiresAt: millis(p.ExpiresAt), Hops: int64(p.Hops), Reason: p.Reason, CreatedBy: text(p.CreatedBy),
		obligationRow: toObligation(p.Obligation), timesRow: toTimes(p.Times),
	}
}

func (r *passRow) noun() (*ra.Pass, error) {
	p := &ra.Pass{
		ID: ra.PassID(r.ID), GroupID: ra.GroupID(r.GroupID), AuthorityID: ra.AuthorityID(r.AuthorityID), TemplateID: ra.TemplateID(r.TemplateID),
		TemplateRev: int(r.TemplateRev), DeviceID: ra.DeviceID(r.DeviceID), UserID: ra.UserID(r.UserID), Model: ra.PassModel(r.Model),
		State: ra.PassState(r.State), Hash: r.Hash, Subject: r.Subject, Marker: r.Marker, Fill: []byte(r.Fill), TransactionID: r.TransactionID,
		SignerHash: r.SignerHash, Messages: int(r.Messages), MaxMessages: int(r.MaxMessages), Failures: int(r.Failures), PKIStatus: r.PKIStatus,
		FailInfo: r.FailInfo, CertificateID: ra.CertificateID(r.CertificateID), Confirmed: r.Confirmed, Renews: ra.CertificateID(r.Renews),
		RenewAt: instant(r.RenewAt), Challenges: int(r.Challenges), RevealedAt: instant(r.RevealedAt), ChallengeUntil: instant(r.ChallengeUntil),
		ExpiresAt: instant(r.ExpiresAt), Hops: int(r.Hops), Reason: r.Reason, Obligation: r.obligationRow.noun(), Times: r.timesRow.noun(),
	}
	p.SealedToken = some(r.Box)
	return p, parse(r.CreatedBy, &p.CreatedBy)
}

// CreatePass stores a new pass.
func (tx *Tx) CreatePass(p *ra.Pass) error {
	p.CreatedAt, p.UpdatedAt = tx.Now, tx.Now
	row := toPass(p)
	return tx.insert("passes", &row)
}

// UpdatePass stores what changes in the life of a pass: everything but whom and
// what it is for. The rest of p is not looked at.
func (tx *Tx) UpdatePass(p *ra.Pass) error {
	p.UpdatedAt = tx.Now
	r := toPass(p)
	res, err := tx.x.ExecContext(tx.ctx, `UPDATE passes SET state = $1, box = $2, transaction_id = $3, signer_hash = $4, messages = $5, failures = $6, pki_status = $7,
		fail_info = $8, certificate_id = $9, confirmed = $10, renew_at = $11, challenges = $12, revealed_at = $13, challenge_until = $14, hops = $15, reason = $16,
		next_action = $17, next_action_at = $18, deadline_at = $19, attempts = $20, last_error = $21, escalated_at = $22, updated_at = $23 WHERE id = $24`,
		r.State, r.Box, r.TransactionID, r.SignerHash, r.Messages, r.Failures, r.PKIStatus, r.FailInfo, r.CertificateID, r.Confirmed, r.RenewAt, r.Challenges,
		r.RevealedAt, r.ChallengeUntil, r.Hops, r.Reason, r.NextAction, r.NextActionAt, r.DeadlineAt, r.Attempts, r.LastError, r.EscalatedAt, r.UpdatedAt, r.ID)
	if err != nil {
		return tx.conflict("passes", err)
	}
	return one("passes", res)
}

// MovePass is UpdatePass for a pass of which only an exchange with the server
// changed: it spares the indexes of what stays.
func (tx *Tx) MovePass(p *ra.Pass) error {
	p.UpdatedAt = tx.Now
	r := toPass(p)
	res, err := tx.x.ExecContext(tx.ctx, `UPDATE passes SET state = $1, box = $2, messages = $3, failures = $4, pki_status = $5, fail_info = $6, hops = $7, reason = $8,
		next_action = $9, next_action_at = $10, deadline_at = $11, last_error = $12, updated_at = $13 WHERE id = $14`,
		r.State, r.Box, r.Messages, r.Failures, r.PKIStatus, r.FailInfo, r.Hops, r.Reason, r.NextAction, r.NextActionAt, r.DeadlineAt, r.LastError, r.UpdatedAt, r.ID)
	if err != nil {
		return tx.conflict("passes", err)
	}
	return one("passes", res)
}

// ClaimPass is UpdatePass for a pass that a message was claimed with.
func (tx *Tx) ClaimPass(p *ra.Pass) error {
	p.UpdatedAt = tx.Now
	r := toPass(p)
	res, err := tx.x.ExecContext(tx.ctx, `UPDATE passes SET state = $1, box = $2, transaction_id = $3, signer_hash = $4, messages = $5, failures = $6, pki_status = $7, hops = $8,
		next_action = $9, next_action_at = $10, deadline_at = $11, updated_at = $12 WHERE id = $13`,
		r.State, r.Box, r.TransactionID, r.SignerHash, r.Messages, r.Failures, r.PKIStatus, r.Hops, r.NextAction, r.NextActionAt, r.DeadlineAt, r.UpdatedAt, r.ID)
	if err != nil {
		return tx.conflict("passes", err)
	}
	return one("passes", res)
}

// Pass loads a pass.
func (tx *Tx) Pass(id ra.PassID) (*ra.Pass, error) { return tx.pass("id = $1", string(id)) }

// PassGround is what a pass stands on besides itself.
type PassGround struct {
	Device            string // its name
	DeviceState       ra.DeviceState
	Template          string
	TemplateDisabled  bool
	Authority         string
	AuthorityDisabled bool
}

// PassGround gives what a pass stands on, in one look; the device stays as it is
// until the end of the transaction. NotFound means that the device is gone.
func (tx *Tx) PassGround(p *ra.Pass) (g PassGround, err error) {
	q := `SELECT d.name, d.state, t.name, t.disabled, a.name, a.disabled FROM devices d, templates t, authorities a WHERE d.id = $1 AND t.id = $2 AND a.id = $3`
	if tx.lck && tx.e.keepRow != "" {
		q += tx.e.keepRow + " OF d"
	}
	err = tx.x.QueryRowContext(tx.ctx, q, string(p.DeviceID), string(p.TemplateID), string(p.AuthorityID)).
		Scan(&g.Device, &g.DeviceState, &g.Template, &g.TemplateDisabled, &g.Authority, &g.AuthorityDisabled)
	if errors.Is(err, sql.ErrNoRows) {
		return g, notFound("devices")
	}
	return g, fit(err)
}

// PassAsIs gives a copy of a pass that was stored before, if nothing has changed
// it since, and what is stored now otherwise. Nobody else changes it until the
// end of the transaction.
func (tx *Tx) PassAsIs(p *ra.Pass) (*ra.Pass, error) {
	n, err := tx.exec("UPDATE passes SET updated_at = updated_at WHERE id = $1 AND updated_at = $2 AND hops = $3 AND messages = $4 AND state = $5",
		string(p.ID), millis(p.UpdatedAt), p.Hops, p.Messages, string(p.State))
	if err != nil || n == 0 {
		if err == nil {
			return tx.Pass(p.ID)
		}
		return nil, err
	}
	same := *p
	return &same, nil
}

// PassTicket is what never changes of a pass and tells whom it concerns.
type PassTicket struct {
	Pass      ra.PassID
	Authority ra.AuthorityID
	Device    ra.DeviceID
	ExpiresAt time.Time
}

// PassTicket gives that of the pass whose token has a hash.
func (tx *Tx) PassTicket(hash string) (PassTicket, error) {
	var row struct {
		ID          string `db:"id"`
		AuthorityID string `db:"authority_id"`
		DeviceID    string `db:"device_id"`
		ExpiresAt   int64  `db:"expires_at"`
	}
	err := tx.look("passes", &row, "hash = $1 AND hash <> ''", hash)
	return PassTicket{ra.PassID(row.ID), ra.AuthorityID(row.AuthorityID), ra.DeviceID(row.DeviceID), instant(row.ExpiresAt)}, err
}

// PassByCertificate loads the pass that led to a certificate.
func (tx *Tx) PassByCertificate(id ra.CertificateID) (*ra.Pass, error) {
	return tx.pass("certificate_id = $1 AND certificate_id <> ''", string(id))
}

// RenewalPass loads the pass that waits to renew a certificate.
func (tx *Tx) RenewalPass(id ra.CertificateID) (*ra.Pass, error) {
	return tx.pass("renews = $1 AND renews <> '' AND next_action <> '' ORDER BY id LIMIT 1", string(id))
}

func (tx *Tx) pass(where string, args ...any) (*ra.Pass, error) {
	var row passRow
	if err := tx.get("passes", &row, where, args...); err != nil {
		return nil, err
	}
	return row.noun()
}

// PassFilter narrows a list of passes; empty fields do not.
type PassFilter struct {
	Groups    []ra.GroupID // any of these; nil: all
	States    []ra.PassState
	Authority ra.AuthorityID
	Template  ra.TemplateID
	Device    ra.DeviceID
	Signer    string // SHA-256 of the key that signed the first message, hex
	Marker    string
	Action    ra.Action
	LateOnly  bool // past the deadline
	Page
}

// FindPasses lists passes, newest first.
func (tx *Tx) FindPasses(f PassFilter) ([]*ra.Pass, string, error) {
	w := &where{}
	if err := tx.scope(w, f.Groups); err != nil {
		return nil, "", err
	}
	among(w, "state", f.States)
	w.equal("authority_id", string(f.Authority))
	w.equal("template_id", string(f.Template))
	w.owner("device_id", string(f.Device))
	w.owner("signer_hash", f.Signer)
	w.owner("marker", f.Marker)
	w.owner("next_action", string(f.Action))
	if f.LateOnly {
		w.add("next_action <> '' AND deadline_at > 0 AND deadline_at < ?", millis(tx.Now))
	}
	return find[ra.Pass, passRow](tx, "passes", w, f.Page, sorting{"": {"id", true}})
}

// DuePasses gives passes whose next action is due, the oldest first.
func (tx *Tx) DuePasses(limit int) ([]ra.PassID, error) {
	var ids []ra.PassID
	err := tx.x.SelectContext(tx.ctx, &ids, "SELECT id FROM passes WHERE next_action <> '' AND next_action_at <= $1 ORDER BY next_action_at, id LIMIT $2", millis(tx.Now), limit)
	return ids, err
}

// DueEnrolments gives passes whose certificates are to be enrolled anew.
func (tx *Tx) DueEnrolments(limit int) ([]ra.PassID, error) {
	var ids []ra.PassID
	err := tx.x.SelectContext(tx.ctx, &ids, "SELECT id FROM passes WHERE renew_at > 0 AND renew_at <= $1 ORDER BY renew_at, id LIMIT $2", millis(tx.Now), limit)
	return ids, err
}

// Sent is a message that was passed on with a pass.
type Sent struct {
	Pass       ra.PassID
	Hash       string    // SHA-256 of the message, hex
	Tries      int       // how often it was passed on
	SentAt     time.Time // the last time
	AnsweredAt time.Time // zero: there is no answer
	PKIStatus  string
	Media      string
	Body       []byte
}

type sentRow struct {
	PassID     string `db:"pass_id"`
	Hash       string `db:"message_hash"`
	Tries      int64  `db:"tries"`
	SentAt     int64  `db:"sent_at"`
	AnsweredAt int64  `db:"answered_at"`
	PKIStatus  string `db:"pki_status"`
	Media      string `db:"media"`
	Body       []byte `db:"body"`
}

// Sent loads a message that was passed on.
func (tx *Tx) Sent(pass ra.PassID, hash string) (*Sent, error) {
	var r sentRow
	if err := tx.get("pass_answers", &r, "pass_id = $1 AND message_hash = $2", string(pass), hash); err != nil {
		return nil, err
	}
	return &Sent{ra.PassID(r.PassID), r.Hash, int(r.Tries), instant(r.SentAt), instant(r.AnsweredAt), r.PKIStatus, r.Media, some(r.Body)}, nil
}

// PutSent stores a message that is passed on, or its answer, over what was
// there.
func (tx *Tx) PutSent(s *Sent) error {
	_, err := tx.exec(`INSERT INTO pass_answers (pass_id, message_hash, tries, sent_at, answered_at, pki_status, media, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (pass_id, message_hash) DO UPDATE SET tries = excluded.tries, sent_at = excluded.sent_at, answered_at = excluded.answered_at,
		pki_status = excluded.pki_status, media = excluded.media, body = excluded.body`,
		string(s.Pass), s.Hash, s.Tries, millis(s.SentAt), millis(s.AnsweredAt), s.PKIStatus, s.Media, blob(s.Body))
	return err
}

// AnswerSent stores the answer to a message that was passed on.
func (tx *Tx) AnswerSent(s *Sent) error {
	_, err := tx.exec("UPDATE pass_answers SET answered_at = $1, pki_status = $2, media = $3, body = $4 WHERE pass_id = $5 AND message_hash = $6",
		millis(s.AnsweredAt), s.PKIStatus, s.Media, blob(s.Body), string(s.Pass), s.Hash)
	return err
}

// LastSent gives when a message was last passed on with a pass; zero: never.
func (tx *Tx) LastSent(pass ra.PassID) (time.Time, error) {
	var at int64
	err := tx.x.GetContext(tx.ctx, &at, "SELECT COALESCE(max(sent_at), 0) FROM pass_answers WHERE pass_id = $1", string(pass))
	return instant(at), fit(err)
}

// DeleteSent forgets a message, because it did not leave.
func (tx *Tx) DeleteSent(pass ra.PassID, hash string) error {
	_, err := tx.exec("DELETE FROM pass_answers WHERE pass_id = $1 AND message_hash = $2", string(pass), hash)
	return err
}

// SweepSent forgets messages that were passed on before an instant and tells
// how many, at most limit.
func (tx *Tx) SweepSent(before time.Time, limit int) (int64, error) {
	return tx.exec("DELETE FROM pass_answers WHERE (pass_id, message_hash) IN (SELECT pass_id, message_hash FROM pass_answers WHERE sent_at < $1 ORDER BY sent_at LIMIT $2)",
		millis(before), limit)
}
