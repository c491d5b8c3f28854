package lifecycle

import (
	"bytes"
	"context"
	"crypto"
	_ "crypto/sha1" // of names and keys, as most clients name an issuer
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"slices"
	"sync"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/ocspmsg"
)

// ocspLife is how long an OCSP answer may be used. One is given out again for
// the first half of it, so that every answer lasts for the other half at least.
const ocspLife = time.Hour

// Answer is a DER OCSP response.
type Answer struct {
	DER        []byte
	ThisUpdate time.Time
	NextUpdate time.Time // zero: no cache may keep it
}

// OCSP answers one DER OCSP request (RFC 6960) about certificates of an issuer
// whose revocations are signed here. The answer is always one the protocol
// knows: a request nobody can read is malformedRequest, one about a foreign
// issuer, or about several, is unauthorized.
//
// Signed answers are kept and given out again, but never without a look at the
// certificate's row: what any node revoked before the call is in the answer.
func (s *Service) OCSP(ctx context.Context, request []byte) Answer {
	q, err := ocspmsg.Parse(request)
	if err != nil {
		s.Observer.OCSP("malformed_request")
		return Answer{DER: ocspmsg.MalformedRequest}
	}
	a, err := s.answer(ctx, q)
	switch {
	case err == nil:
		return a
	case ra.KindOf(err) == ra.NotFound:
		s.Observer.OCSP("unauthorized")
		return Answer{DER: ocspmsg.Unauthorized}
	}
	s.Observer.OCSP("internal_error")
	s.Log.Error("OCSP request cannot be answered", "error", err)
	return Answer{DER: ocspmsg.InternalError}
}

func (s *Service) answer(ctx context.Context, q *ocspmsg.Request) (Answer, error) {
	issuer, err := s.ocspIssuer(ctx, q.Certs[0])
	if err != nil {
		return Answer{}, err
	}
	serials := make([]string, len(q.Certs))
	for i, c := range q.Certs {
		if serials[i] = c.Serial; !issuer.named(c) {
			return Answer{}, foreign()
		}
	}
	signer, err := s.ocspSigner(ctx, issuer)
	if err != nil {
		return Answer{}, err
	}
	states, err := s.states.read(ctx, s.DB, serials)
	if err != nil {
		return Answer{}, err
	}
	now := s.Now().UTC().Truncate(time.Second)
	singles := make([]ocspmsg.Single, len(q.Certs))
	for i, c := range q.Certs {
		singles[i] = statusOf(states, issuer.hash, c)
		s.Observer.OCSP(statusWord[singles[i].Status])
	}
	keep := len(q.Certs) == 1 && q.Nonce == nil && singles[0].Status != ocspmsg.Unknown
	if keep {
		if a, ok := s.answers.get(singles[0], signer.Row.ID, now); ok {
			return a, nil
		}
	}
	a := Answer{ThisUpdate: now, NextUpdate: now.Add(ocspLife)}
	if end := signer.Certificate.NotAfter; end.Before(a.NextUpdate) {
		a.NextUpdate = end
	}
	for i := range singles {
		singles[i].ThisUpdate, singles[i].NextUpdate = a.ThisUpdate, a.NextUpdate
	}
	if a.DER, err = (&ocspmsg.Response{ProducedAt: now, Singles: singles, Nonce: q.Nonce}).Sign(signer.Certificate, signer.Key); err != nil {
		return Answer{}, err
	}
	if keep {
		s.answers.put(singles[0], signer.Row.ID, a)
	} else {
		a.NextUpdate = time.Time{}
	}
	return a, nil
}

var statusWord = map[ocspmsg.Status]string{ocspmsg.Good: "good", ocspmsg.Revoked: "revoked", ocspmsg.Unknown: "unknown"}

// statusOf is what the rows say about a certificate. One that was never issued
// here is Unknown.
func statusOf(states []store.CertificateStatus, issuerHash string, c ocspmsg.CertID) ocspmsg.Single {
	single := ocspmsg.Single{Cert: c, Status: ocspmsg.Unknown}
	for _, state := range states {
		if state.Serial != c.Serial || state.IssuerHash != issuerHash {
			continue
		}
		single.Status = ocspmsg.Good
		if state.State == ra.Revoked || state.State == ra.OnHold {
			single.Status, single.RevokedAt, single.Reason = ocspmsg.Revoked, state.RevokedAt, int(state.Reason)
		}
	}
	return single
}

// ocspSigner gives the delegated responder of an issuer (RFC 6960 §4.2.2.2). An
// issuer that has none, such as the root, is as foreign as any other.
func (s *Service) ocspSigner(ctx context.Context, issuer ocspIssuer) (*Own, error) {
	own, err := s.Own(ctx, issuer.authority, ra.PurposeOCSP)
	if err != nil {
		return nil, err
	}
	for i := range own {
		if own[i].Row.IssuerHash == issuer.hash {
			return &own[i], nil
		}
	}
	return nil, foreign()
}

func foreign() error {
	return ra.Errorf(ra.NotFound, "The request is about another issuer.").WithRemedy("Ask the responder the certificate names.")
}

// ocspIssuers remembers the authorities whose revocations are signed here: a
// responder is asked about the same few, often.
type ocspIssuers struct {
	mu   sync.Mutex
	list []ocspIssuer
}

// ocspIssuer is an issuer as requests name it.
type ocspIssuer struct {
	authority ra.AuthorityID
	hash      string // SHA-256 of the public key, hex
	names     map[crypto.Hash][2][]byte
}

func (i ocspIssuer) named(c ocspmsg.CertID) bool {
	sums := i.names[c.Hash]
	return bytes.Equal(sums[0], c.NameHash) && bytes.Equal(sums[1], c.KeyHash)
}

// ocspIssuer finds the issuer a request means by the hashes of its name and
// key, among the authorities whose revocations are signed here.
func (s *Service) ocspIssuer(ctx context.Context, c ocspmsg.CertID) (ocspIssuer, error) {
	s.asked.mu.Lock()
	known := s.asked.list
	s.asked.mu.Unlock()
	meant := func(i ocspIssuer) bool { return i.named(c) }
	at := slices.IndexFunc(known, meant)
	if at < 0 {
		var err error
		if known, err = s.signing(ctx); err != nil {
			return ocspIssuer{}, err
		}
		s.asked.mu.Lock()
		s.asked.list = known
		s.asked.mu.Unlock()
		if at = slices.IndexFunc(known, meant); at < 0 {
			return ocspIssuer{}, foreign()
		}
	}
	return known[at], nil
}

// signing lists every issuer whose key is here.
func (s *Service) signing(ctx context.Context) (list []ocspIssuer, err error) {
	var all []*ra.Authority
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		all, err = tx.AllAuthorities()
		return err
	}); err != nil {
		return nil, err
	}
	for _, a := range all {
		_, signer, err := s.signerOf(ctx, a.ID)
		if err != nil {
			continue
		}
		for _, i := range signer.Issuers() {
			known, err := newOCSPIssuer(a.ID, i)
			if err != nil {
				return nil, err
			}
			list = append(list, known)
		}
	}
	return list, nil
}

func newOCSPIssuer(id ra.AuthorityID, cert *x509.Certificate) (ocspIssuer, error) {
	i := ocspIssuer{id, authority.Hash(cert.RawSubjectPublicKeyInfo), map[crypto.Hash][2][]byte{}}
	key, err := ocspmsg.PublicKeyBits(cert.RawSubjectPublicKeyInfo)
	for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		i.names[h] = [2][]byte{sum(h, cert.RawSubject), sum(h, key)}
	}
	return i, err
}

func sum(h crypto.Hash, b []byte) []byte {
	d := h.New()
	d.Write(b)
	return d.Sum(nil)
}
