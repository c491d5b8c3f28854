package lifecycle

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ocsp"

	"chancery/internal/authority"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// ocspLife is how long an OCSP answer may be used.
const ocspLife = time.Hour

// OCSP answers one DER OCSP request (RFC 6960) for a certificate of an issuer
// whose revocations are signed here. The answer is always one the protocol
// knows: a request nobody can read is malformedRequest, one about a foreign
// issuer is unauthorized.
func (s *Service) OCSP(ctx context.Context, request []byte) []byte {
	q, err := ocsp.ParseRequest(request)
	if err != nil {
		return ocsp.MalformedRequestErrorResponse
	}
	issuer, id, err := s.ocspIssuer(ctx, q)
	if ra.KindOf(err) == ra.NotFound {
		return ocsp.UnauthorizedErrorResponse
	}
	if err == nil {
		var answer []byte
		if answer, err = s.answer(ctx, q, issuer, id); err == nil {
			return answer
		}
	}
	s.Log.Error("OCSP request cannot be answered", "error", err)
	return ocsp.InternalErrorErrorResponse
}

func (s *Service) answer(ctx context.Context, q *ocsp.Request, issuer *x509.Certificate, id ra.AuthorityID) ([]byte, error) {
	status, err := s.status(ctx, q, issuer)
	if err != nil {
		return nil, err
	}
	own, err := s.Own(ctx, id, ra.PurposeOCSP)
	if err != nil {
		return nil, err
	}
	for _, o := range own {
		if o.Certificate.CheckSignatureFrom(issuer) == nil {
			status.IssuerHash, status.Certificate = q.HashAlgorithm, o.Certificate
			return ocsp.CreateResponse(issuer, o.Certificate, *status, o.Key)
		}
	}
	return nil, fmt.Errorf("no OCSP signer of issuer %s", authority.Hash(issuer.RawSubjectPublicKeyInfo)[:16])
}

// status looks the certificate up. One that was never issued here is Unknown.
func (s *Service) status(ctx context.Context, q *ocsp.Request, issuer *x509.Certificate) (*ocsp.Response, error) {
	now := s.Now().UTC().Truncate(time.Second)
	r := &ocsp.Response{SerialNumber: q.SerialNumber, Status: ocsp.Unknown, ThisUpdate: now, NextUpdate: now.Add(ocspLife)}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		c, err := tx.CertificateBySerial(authority.Hash(issuer.RawSubjectPublicKeyInfo), q.SerialNumber.Text(16))
		if ra.KindOf(err) == ra.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		r.Status = ocsp.Good
		if c.State == ra.Revoked || c.State == ra.OnHold {
			r.Status, r.RevokedAt, r.RevocationReason = ocsp.Revoked, c.RevokedAt, int(c.Reason)
		}
		return nil
	})
	return r, err
}

// ocspIssuers remembers the authorities whose revocations are signed here: a
// responder is asked about the same few, often.
type ocspIssuers struct {
	mu   sync.Mutex
	list []ocspIssuer
}

type ocspIssuer struct {
	cert      *x509.Certificate
	authority ra.AuthorityID
}

// ocspIssuer finds the issuer a request means by the hashes of its name and
// key, among the authorities whose revocations are signed here.
func (s *Service) ocspIssuer(ctx context.Context, q *ocsp.Request) (*x509.Certificate, ra.AuthorityID, error) {
	s.asked.mu.Lock()
	known := s.asked.list
	s.asked.mu.Unlock()
	meant := func(i ocspIssuer) bool { return isIssuer(q, i.cert) }
	at := slices.IndexFunc(known, meant)
	if at < 0 {
		var err error
		if known, err = s.signing(ctx); err != nil {
			return nil, "", err
		}
		s.asked.mu.Lock()
		s.asked.list = known
		s.asked.mu.Unlock()
		if at = slices.IndexFunc(known, meant); at < 0 {
			return nil, "", ra.Errorf(ra.NotFound, "The request is about another issuer.").WithRemedy("Ask the responder the certificate names.")
		}
	}
	return known[at].cert, known[at].authority, nil
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
			list = append(list, ocspIssuer{i, a.ID})
		}
	}
	return list, nil
}

func isIssuer(q *ocsp.Request, i *x509.Certificate) bool {
	if !q.HashAlgorithm.Available() {
		return false
	}
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(i.RawSubjectPublicKeyInfo, &spki); err != nil {
		return false
	}
	return bytes.Equal(sum(q.HashAlgorithm, i.RawSubject), q.IssuerNameHash) && bytes.Equal(sum(q.HashAlgorithm, spki.Key.RightAlign()), q.IssuerKeyHash)
}

func sum(h crypto.Hash, b []byte) []byte {
	d := h.New()
	d.Write(b)
	return d.Sum(nil)
}
