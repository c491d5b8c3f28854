package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"

	"chancery/internal/ca"
	"chancery/internal/ra"
)

// intent is what the journal keeps of a certificate before it is signed.
type intent struct {
	Serial  string     `json:"serial"` // hex without leading zeros
	TBS     []byte     `json:"tbs"`
	Hash    string     `json:"sha256"` // of TBS, hex
	Purpose ra.Purpose `json:"purpose,omitempty"`
	SPKI    string     `json:"spki"`   // Request.SPKIHash
	Issuer  string     `json:"issuer"` // SHA-256 of the issuing key's SubjectPublicKeyInfo, hex
}

func newIntent(r ca.Request, i *issuer, serial *big.Int, tbs []byte) intent {
	sum := sha256.Sum256(tbs)
	return intent{Serial: serial.Text(16), TBS: tbs, Hash: hex.EncodeToString(sum[:]), Purpose: r.Purpose, SPKI: r.SPKIHash, Issuer: i.hash}
}

// journalKey is where the intent of a request is kept.
func journalKey(requestID string) string { return "issue/" + requestID }

// planned is an intent that the journal does not hold yet (ca.Plan).
type planned struct {
	id string
	intent
}

// Entry is the intent for the journal.
func (p planned) Entry() (key string, value []byte, err error) {
	value, err = json.Marshal(p.intent)
	return journalKey(p.id), value, err
}

// commit makes the intent durable and gives the one that counts: n, or what an
// earlier call for the same request decided.
func (c *Connector) commit(ctx context.Context, id string, n intent) (intent, error) {
	raw, err := json.Marshal(n)
	if err != nil {
		return intent{}, ra.AsError(err)
	}
	stored, err := c.env.Journal.Put(ctx, journalKey(id), raw)
	if err != nil {
		return intent{}, journalError(err)
	}
	return parseIntent(stored)
}

// recall gives the intent of an earlier call; NotFound when there was none.
func (c *Connector) recall(ctx context.Context, id string) (intent, error) {
	raw, err := c.env.Journal.Get(ctx, journalKey(id))
	if errors.Is(err, &ra.Error{Kind: ra.NotFound}) {
		return intent{}, err
	}
	if err != nil {
		return intent{}, journalError(err)
	}
	return parseIntent(raw)
}

func parseIntent(raw []byte) (intent, error) {
	var n intent
	err := json.Unmarshal(raw, &n)
	sum := sha256.Sum256(n.TBS)
	if err != nil || hex.EncodeToString(sum[:]) != n.Hash {
		return intent{}, ra.Errorf(ra.Internal, "The record of an intended certificate is damaged.").
			WithRemedy("Restore the database from a backup, or ask for a new certificate.").WithRetry(ra.Never)
	}
	return n, nil
}

// check refuses to give the certificate of one request to another.
func (n intent) check(r ca.Request) error {
	if n.Purpose == r.Purpose && n.SPKI == r.SPKIHash {
		return nil
	}
	return ra.Errorf(ra.Conflict, "This request was already answered for another key or purpose.").
		WithRemedy("Make a new request instead of changing an old one.").WithRetry(ra.Never)
}

// journalError says that nothing was signed. Whether the intent was stored is
// open, and does not matter: the next call finds out.
func journalError(err error) error {
	return ra.Errorf(ra.Unreachable, "The authority could not record what it is about to issue, so nothing was signed.").
		WithRemedy("Check the database and its disk; the request is tried again.").WithCause(err)
}
