// Package ca is the contract between Chancery and any certificate authority.
//
// A Connector does one thing, Issue. Everything else an authority may be able
// to do (answer later, be searched, revoke, list its profiles, make keys, hand
// out SCEP challenges, sign CRLs) is an optional one-method interface, found
// by asking (Abilities). Settings describe themselves once (package setting),
// so that forms, JSON, flags and documentation come for free.
//
// What a connector is owed: Issue is called with a checked Request whose ID is
// stable across crashes and retries; the intent is on disk before the call.
// What it owes: it never issues twice for one Request.ID where the authority
// offers any way to avoid it, its errors are *ra.Error with a remedy, it keeps
// no state besides what Env.Journal stores, it is safe for concurrent use, and
// it reaches the outside only through Env.
package ca

import (
	"context"
	"crypto"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"time"

	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/wire/pkixmsg"
)

// Connector asks one authority for certificates.
type Connector interface {
	// Issue asks for one certificate. The Reply holds a chain, or a handle and
	// the time to ask again. Kinds of error: RefusedByCA (final unless the
	// error says otherwise), Unreachable (nothing is known to have happened or
	// the outcome is unknown: the caller asks Finder before it asks again).
	Issue(ctx context.Context, r Request) (Reply, error)
}

// Settings are one authority's settings: they describe themselves and open a
// connector.
type Settings interface {
	setting.Describer
	// Connect gives a connector. It makes no network call; a wrong setting is
	// an Invalid error that names the field.
	Connect(ctx context.Context, env Env) (Connector, error)
}

// Kind is one sort of authority as administrators choose it.
type Kind struct {
	ID    string // "embedded", "adcs", "ejbca": lower case, stable forever
	Title string
	Help  string          // one sentence: when to choose it
	New   func() Settings // empty, ready to describe
	// NewOptions gives the per-template settings of the kind, or is nil: an
	// end entity profile, a product code. They reach Issue as Request.Options.
	// The one named RequesterOption is a text with lookup values of users.
	NewOptions func() setting.Describer
	// Traits says what the kind can do at best, for the comparison matrix and
	// for template forms; Abilities tells what an open connector really can.
	Traits Traits
}

// RequesterOption is the per-template setting, of kinds that have it, of whom a
// certificate is asked for on behalf of: a text with lookup values of users alone,
// which reaches Issue filled in as Request.RequestedBy.
const RequesterOption = "requester_name"

// Traits is what a kind can do at best.
type Traits struct {
	KeyPlaces []ra.KeyPlace // who may make the key
	KeyTypes  []string      // "rsa-2048", "p-256"; empty: the authority's profile dictates
	Revoke    bool
	Hold      bool
	Renew     bool // a renewal differs from a new request
	Pending   bool // may answer later
	Sure      bool // an answer lost on the wire is found again, never asked twice
	// House is an authority whose key is here: it also issues the certificates
	// that doors need for themselves.
	House      bool
	Ports      string
	Limits     string // what an administrator must know
	Extensions bool   // KU, EKU and validity come from our template, not only the authority's profile
	// SANs lists the alternative names a certificate can have; nil: all.
	SANs []pkixmsg.NameType
	SID  bool // the AD security identifier extension is possible
	// InFlight is the authority's limit of requests at once where none is
	// set; zero: the usual one.
	InFlight int
}

// Provisioner is implemented by Settings that must make something before
// their first use, such as the embedded CA's keys. It is called once, before
// the settings are stored, and fills the settings in place.
type Provisioner interface {
	Provision(ctx context.Context, env Env) error
}

// Subordinate is implemented by Settings whose own certificate comes from
// somebody else through a CSR: an issuing CA's from its superior, a
// registration authority's from the authority it speaks to.
type Subordinate interface {
	// CSR gives a DER PKCS#10 for a new or renewed signing certificate; the
	// key is kept in the settings until Install.
	CSR() ([]byte, error)
	// Install takes the superior's answer: the certificate first, its chain
	// after it. A certificate for another key is Invalid.
	// One that is not valid at now is Invalid as well.
	Install(chain []*x509.Certificate, now time.Time) error
}

// Renewer is implemented by Settings that renew their own signing certificate
// with a new key, keeping the former one for as long as it is needed.
type Renewer interface {
	Renew(ctx context.Context, env Env) error
}

// Env is all a connector sees of the world.
type Env struct {
	Authority ra.AuthorityID
	Name      string // the authority's name, for messages
	Dial      func(ctx context.Context, network, address string) (net.Conn, error)
	HTTP      *http.Client // built on Dial
	Now       func() time.Time
	Log       *slog.Logger
	Journal   Journal
	Slots     Slots  // account of the challenges that are out
	PublicURL string // where relying parties reach this server, for CDP and AIA
}

// Journal keeps what a connector must know after a crash, durable when Put
// returns, and sealed: a value may be a secret. Keys are scoped to the
// authority.
type Journal interface {
	// Put stores value under key unless the key is taken, and gives what is
	// stored now: value, or what was there first.
	Put(ctx context.Context, key string, value []byte) ([]byte, error)
	// Get gives the value under key; a missing key is an ra.NotFound error.
	Get(ctx context.Context, key string) ([]byte, error)
}

// Reply is an authority's answer: a chain, or a handle with a time.
type Reply struct {
	Chain  []*x509.Certificate // the certificate first, then its issuers; empty while pending
	Key    crypto.Signer       // the key, when the authority made it
	Handle string              // the authority's name for the request, also set on success where there is one
	Again  time.Duration       // while pending: when to ask again
	// Issuer is whose key signed the certificate, when the connector has
	// verified the signature itself; nil leaves that to the caller.
	Issuer *x509.Certificate
}

// Pending reports whether the authority will answer later.
func (r Reply) Pending() bool { return len(r.Chain) == 0 }

// Fetcher is an authority that may answer later.
type Fetcher interface {
	// Fetch asks for the answer to a request that was left pending. Some
	// protocols want the request again, so it comes along.
	Fetch(ctx context.Context, r Request, handle string) (Reply, error)
}

// Finder is an authority that can be asked whether a request was already
// answered: by transaction attribute, by public key, by journal.
type Finder interface {
	// Find gives the answer to r if the authority knows it; found is false
	// when it certainly never got r. An error leaves the question open. A
	// reply to KeyAtCA without Key means that the key is lost: the certificate
	// is to be revoked and asked for anew under another ID.
	Find(ctx context.Context, r Request) (reply Reply, found bool, err error)
}

// Planner is an authority of this house that decides on a certificate before it
// makes it. What it decided on becomes durable together with the request, in one
// transaction, instead of in one of its own while the request waits.
type Planner interface {
	// Plan decides on the certificate for r. It keeps and signs nothing.
	// Errors are those of Issue.
	Plan(ctx context.Context, r Request) (Plan, error)
	// Make makes the certificate of a Plan whose Entry is in the journal. It
	// gives what Issue gives, and what Find gives after a crash.
	Make(ctx context.Context, r Request, p Plan) (Reply, error)
}

// Plan is what a Planner decided on.
type Plan interface {
	// Entry is the journal's, for the request.
	Entry() (key string, value []byte, err error)
}

// KeyMaker is an authority that makes the key itself. Issue of a Request with
// KeyAtCA then gives Reply.Key.
type KeyMaker interface {
	KeyTypesAtCA() []string
}

// Revocation is one certificate to be revoked, or taken off hold with
// ra.RemoveFromCRL.
type Revocation struct {
	Certificate *x509.Certificate
	Handle      string // of the request that issued it, when known
	Reason      ra.RevocationReason
	At          time.Time
	Comment     string
}

// Revoker is an authority that can be told to revoke. Revoking what is
// already revoked is no error.
type Revoker interface {
	Revoke(ctx context.Context, r Revocation) error
	// Reasons lists what it understands; a chosen reason outside the list is
	// sent as Unspecified. Without CertificateHold there is no hold, and
	// without any reason no revocation: some settings cannot.
	Reasons() []ra.RevocationReason
}

// Deputed is implemented by Settings of an authority that cannot be told to
// revoke over its own protocol, but stands for a CA that another authority
// reaches, too.
type Deputed interface {
	// RevokesThrough names the authority that is told instead; empty: none.
	RevokesThrough() ra.AuthorityID
}

// StepState is how a step of a check ended.
type StepState string

// The ends of a step.
const (
	StepOK      StepState = "ok"
	StepWarning StepState = "warning"
	StepFailed  StepState = "failed"
	StepSkipped StepState = "skipped" // an earlier step failed
)

// Step is one step of Test connection.
type Step struct {
	Name   string        `json:"name"`
	State  StepState     `json:"state"`
	Detail string        `json:"detail,omitempty"`
	Remedy string        `json:"remedy,omitempty"`
	Took   time.Duration `json:"took_ns"`
}

// Checker can test the way to the authority without changing anything there.
type Checker interface {
	// Check runs the steps in order and reports each as it ends, the skipped
	// ones included. It spends nothing at the authority.
	Check(ctx context.Context, report func(Step))
}

// Profile is one thing the authority's own catalogue offers for a field.
type Profile struct {
	ID       string
	Title    string
	Fields   []ProfileField // what a request must bring beside the CSR
	KeyTypes []string       // dictated by the profile; empty: free
	// KeyPlaces is who may make the key; empty: free.
	KeyPlaces []ra.KeyPlace
	// RenewWithin is how long before expiry a renewal is allowed; zero: any time.
	RenewWithin time.Duration
	Note        string
	Requires    []string // what it asks of requests, in words
	Obstacles   []string // why it cannot be chosen now; empty: it can
}

// ProfileField is one field the profile asks for.
type ProfileField struct {
	Name      string
	Label     string
	Required  bool
	MaxLength int
}

// Cataloger answers the look-ups of a settings form: templates, profiles, CAs.
type Cataloger interface {
	// Catalog lists the choices of a look-up; chosen holds the form's other
	// values, because one list may depend on another.
	Catalog(ctx context.Context, lookup string, chosen map[string]string) ([]Profile, error)
}

// Chainer can tell the authority's certificates, the issuing one first.
type Chainer interface {
	Chain(ctx context.Context) ([]*x509.Certificate, error)
}

// CRLFetcher is an authority that publishes a CRL of its own.
type CRLFetcher interface {
	// CRL gives the current DER CRL.
	CRL(ctx context.Context) ([]byte, error)
}

// CRLOrder is a CRL to be signed. Entries come from the certificate rows. Points
// are the addresses that certificates name a part of the revocations by; with
// them the list says in its issuing distribution point (RFC 5280 §5.2.5) that it
// is that part. The complete list has none.
type CRLOrder struct {
	Number     int64
	ThisUpdate time.Time
	NextUpdate time.Time
	Points     []string
	Entries    []x509.RevocationListEntry
}

// CRLSigner is an authority whose CRLs are signed here.
type CRLSigner interface {
	// Issuers lists the certificates whose keys are here, the one that signs
	// now first. Each needs a CRL until the last certificate it signed ends.
	Issuers() []*x509.Certificate
	// CRLTimes is how long a CRL is valid, and how long before its end the
	// next one is due.
	CRLTimes() (validity, overlap time.Duration)
	// CRLShards is into how many lists the revocations of one of Issuers are
	// divided for the certificates it signs now; 1 is the complete list alone.
	CRLShards(issuerHash string) int
	// CRLPoint is the address that certificates of a shard name.
	CRLPoint(issuerHash string, s Shard) string
	// SignCRLFor signs the CRL of one of Issuers, named by the SHA-256 of its
	// SubjectPublicKeyInfo in hex.
	SignCRLFor(ctx context.Context, issuerHash string, o CRLOrder) ([]byte, error)
}

// Ability is the name of an optional interface, as lists and the API show it.
type Ability string

// The abilities.
const (
	CanFetch     Ability = "fetch"
	CanFind      Ability = "find"
	CanMakeKey   Ability = "make_key"
	CanRevoke    Ability = "revoke"
	CanHold      Ability = "hold"
	CanCheck     Ability = "check"
	CanCatalog   Ability = "catalog"
	CanChallenge Ability = "scep_challenge"
	CanForward   Ability = "scep_forward"
	CanChain     Ability = "chain"
	CanCRL       Ability = "crl"
	CanSignCRL   Ability = "sign_crl"
	CanList      Ability = "list"
)

// Abilities tells what an open connector can do, in display order.
func Abilities(c Connector) []Ability {
	var out []Ability
	add := func(ok bool, a Ability) {
		if ok {
			out = append(out, a)
		}
	}
	_, ok := c.(Fetcher)
	add(ok, CanFetch)
	_, ok = c.(Finder)
	add(ok, CanFind)
	maker, ok := c.(KeyMaker)
	add(ok && len(maker.KeyTypesAtCA()) > 0, CanMakeKey)
	revoker, ok := c.(Revoker)
	add(ok && len(revoker.Reasons()) > 0, CanRevoke)
	add(ok && canHold(revoker), CanHold)
	_, ok = c.(Checker)
	add(ok, CanCheck)
	_, ok = c.(Cataloger)
	add(ok, CanCatalog)
	_, ok = c.(Challenger)
	add(ok, CanChallenge)
	_, ok = c.(Forwarder)
	add(ok, CanForward)
	_, ok = c.(Chainer)
	add(ok, CanChain)
	_, ok = c.(CRLFetcher)
	add(ok, CanCRL)
	_, ok = c.(CRLSigner)
	add(ok, CanSignCRL)
	_, ok = c.(Lister)
	add(ok, CanList)
	return out
}

func canHold(r Revoker) bool {
	for _, reason := range r.Reasons() {
		if reason == ra.CertificateHold {
			return true
		}
	}
	return false
}
