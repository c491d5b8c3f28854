package lifecycle

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"sync"
	"time"

	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/pkixmsg"
)

// Own is one of the server's own certificates with its key.
type Own struct {
	Row         *ra.Certificate
	Certificate *x509.Certificate
	Issuer      *x509.Certificate
	Key         crypto.Signer
}

// ownLife is the validity of the server's own certificates; they are renewed
// after two thirds of it.
const ownLife = 180 * 24 * time.Hour

// ownRefresh is how long the certificates found in the store are used before
// the store is asked again: another node may have renewed them.
const ownRefresh = time.Minute

type ownKey struct {
	authority ra.AuthorityID
	purpose   ra.Purpose
}

type ownCache struct {
	mu     sync.Mutex
	list   map[ownKey][]Own
	at     map[ownKey]time.Time
	making map[ownKey]*sync.Mutex // one at a time is made of each
}

// Own gives an authority's certificates for a purpose (ra.PurposeSCEPRA,
// ra.PurposeOCSP), the one in use first, former ones that may still be needed
// after it. The first call makes one. A renewal that fails is in the log while
// the present certificate lasts.
func (s *Service) Own(ctx context.Context, id ra.AuthorityID, purpose ra.Purpose) ([]Own, error) {
	key := ownKey{id, purpose}
	if list := s.own.get(key, s.Now()); list != nil {
		return list, nil
	}
	list, err := s.ensureOwn(ctx, key)
	if err != nil && len(list) > 0 {
		s.Log.Error("own certificate cannot be renewed, the present one stays in use", "purpose", purpose, "not_after", list[0].Row.NotAfter, "error", err)
		err = nil
	}
	return list, err
}

// renewOwn renews a certificate that is due, for the sweep.
func (s *Service) renewOwn(ctx context.Context, key ownKey) error {
	_, err := s.ensureOwn(ctx, key)
	return err
}

// ensureOwn gives what is in use, after making a new one if none is or it is
// due. With an error the list may still hold a certificate that can be used.
func (s *Service) ensureOwn(ctx context.Context, key ownKey) ([]Own, error) {
	making := s.own.lock(key)
	making.Lock()
	defer making.Unlock()
	list, err := s.loadOwn(ctx, key)
	if err != nil {
		return nil, err
	}
	due, err := s.dueOwn(ctx, key, list)
	if due && err == nil {
		err = s.issueOwn(ctx, key, list)
		// Another node may have been faster, and this one refused for that.
		fresh, loadErr := s.loadOwn(ctx, key)
		if loadErr != nil {
			return list, loadErr
		}
		if len(fresh) > 0 && (len(list) == 0 || fresh[0].Row.ID != list[0].Row.ID) {
			err = nil
		}
		list = fresh
	}
	if len(list) > 0 {
		s.own.put(key, list, s.Now())
	}
	return list, err
}

// dueOwn: two thirds of its life are over, or the authority signs with another
// key now.
func (s *Service) dueOwn(ctx context.Context, key ownKey, list []Own) (bool, error) {
	if len(list) == 0 || s.Now().After(list[0].Row.NotAfter.Add(-list[0].Row.Lifetime()/3)) {
		return true, nil
	}
	o, err := s.Authorities.Reach(ctx, key.authority)
	if err != nil {
		return false, err
	}
	signer, ok := o.Connector.(ca.CRLSigner)
	if !ok {
		return false, nil
	}
	now := signer.Issuers()
	return len(now) > 0 && authority.Hash(now[0].RawSubjectPublicKeyInfo) != list[0].Row.IssuerHash, nil
}

func (c *ownCache) get(k ownKey, now time.Time) []Own {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.at[k]).Abs() > ownRefresh {
		return nil
	}
	return c.list[k]
}

func (c *ownCache) put(k ownKey, list []Own, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.list == nil {
		c.list, c.at = map[ownKey][]Own{}, map[ownKey]time.Time{}
	}
	c.list[k], c.at[k] = list, now
}

func (c *ownCache) lock(k ownKey) *sync.Mutex {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.making == nil {
		c.making = map[ownKey]*sync.Mutex{}
	}
	if c.making[k] == nil {
		c.making[k] = &sync.Mutex{}
	}
	return c.making[k]
}

func (s *Service) loadOwn(ctx context.Context, k ownKey) (list []Own, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.OwnCertificates(k.authority, k.purpose)
		if err != nil {
			return err
		}
		for _, row := range rows {
			boxes, err := tx.Sealed(string(row.ID))
			if err != nil {
				return err
			}
			der, err := s.Box.Open("certificates", string(row.ID), "key", boxes["key"])
			if err != nil {
				return err
			}
			key, err := x509.ParsePKCS8PrivateKey(der)
			if err != nil {
				return err
			}
			cert, err := x509.ParseCertificate(row.DER)
			if err != nil {
				return err
			}
			i, err := tx.IssuerByHash(row.IssuerHash)
			if err != nil {
				return err
			}
			issuer, err := x509.ParseCertificate(i.DER)
			if err != nil {
				return err
			}
			list = append(list, Own{row, cert, issuer, key.(crypto.Signer)})
		}
		return nil
	})
	return list, err
}

// issueOwn makes the certificate that follows those seen. The key is sealed under a number
// before the authority is asked; after a crash the same number gives the same
// key and the same order, so nothing is issued twice.
func (s *Service) issueOwn(ctx context.Context, k ownKey, seen []Own) error {
	o, err := s.Authorities.Reach(ctx, k.authority)
	if err != nil {
		return err
	}
	chainer, ok := o.Connector.(ca.Chainer)
	if !ok {
		return ra.Errorf(ra.Invalid, "The authority %q cannot issue the server's own certificates.", o.Authority.Name).WithRemedy("Use an embedded CA for this endpoint.")
	}
	chain, err := chainer.Chain(ctx)
	if err != nil {
		return err
	}
	n, key, err := s.intendOwn(ctx, k, chain[0], seen)
	if err != nil {
		return err
	}
	s.step(StepOwnAsk)
	request, err := ownRequest(o.Authority, k.purpose, n, key)
	if err != nil {
		return err
	}
	var reply ca.Reply
	if err := o.Do(ctx, func(c ca.Connector) error {
		reply, err = c.Issue(ctx, request)
		return err
	}); err != nil {
		return err
	}
	if reply.Pending() {
		return ra.Errorf(ra.Unreachable, "The authority %q has not answered yet.", o.Authority.Name).WithRemedy("Approve the request at the authority.")
	}
	s.step(StepOwnRecord)
	leaf, issuer := reply.Chain[0], chain[0]
	for _, c := range reply.Chain[1:] { // decided before a crash, it may come from a former issuer
		if leaf.CheckSignatureFrom(c) == nil {
			issuer = c
			break
		}
	}
	return s.recordOwn(ctx, k, n, leaf, issuer, chain, key)
}

// intendOwn gives the number of the next own certificate and its key, made now
// or by an attempt that did not finish. Of two nodes that begin at once one
// makes it: the journal takes the first mark only.
func (s *Service) intendOwn(ctx context.Context, k ownKey, issuing *x509.Certificate, seen []Own) (n int, key crypto.Signer, err error) {
	kind := pkixmsg.RSA2048
	if _, isRSA := issuing.PublicKey.(*rsa.PublicKey); k.purpose == ra.PurposeOCSP && !isRSA {
		kind = pkixmsg.P256
	}
	fresh, err := pkixmsg.GenerateKey(kind)
	if err != nil {
		return 0, nil, err
	}
	made := ra.Errorf(ra.Conflict, "Another node has just made this certificate.").WithRemedy("It is looked at again by itself.")
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if n, err = tx.CountOwn(k.authority, k.purpose); err != nil {
			return err
		}
		now, err := tx.OwnCertificates(k.authority, k.purpose)
		if err != nil {
			return err
		}
		if len(now) > 0 && (len(seen) == 0 || now[0].ID != seen[0].Row.ID) {
			return made
		}
		field := ownField(k.purpose, n)
		mark := []byte(rand.Text())
		first, err := tx.PutJournal(k.authority, field, mark)
		if err != nil {
			return err
		}
		boxes, err := tx.Sealed(string(k.authority))
		if err != nil {
			return err
		}
		if box, ok := boxes[field]; ok {
			der, err := s.Box.Open("authorities", string(k.authority), field, box)
			if err != nil {
				return err
			}
			former, err := x509.ParsePKCS8PrivateKey(der)
			if err != nil {
				return err
			}
			key = former.(crypto.Signer)
			return nil
		}
		if !bytes.Equal(first, mark) {
			return made
		}
		key = fresh
		return s.sealOwn(tx, "authorities", string(k.authority), field, key)
	})
	return n, key, err
}

func (s *Service) sealOwn(tx *store.Tx, table, id, field string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	box, err := s.Box.Seal(table, id, field, der)
	if err != nil {
		return err
	}
	return tx.PutSealed(id, field, box)
}

func ownField(p ra.Purpose, n int) string { return fmt.Sprintf("own.%s.%d", p, n) }

func ownRequest(a *ra.Authority, p ra.Purpose, n int, key crypto.Signer) (ca.Request, error) {
	title := map[ra.Purpose]string{ra.PurposeSCEPRA: "SCEP RA", ra.PurposeOCSP: "OCSP"}[p]
	name, err := pkixmsg.ParseDN(fmt.Sprintf("CN=Chancery %s %d", title, n+1))
	if err != nil {
		return ca.Request{}, err
	}
	csr, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: name, Signer: key})
	if err != nil {
		return ca.Request{}, err
	}
	id := string(a.ID)
	o := ca.Order{ID: fmt.Sprintf("own_%s_%d_%s", p, n, id[len(id)-16:]), Purpose: p, CSR: csr, Subject: name, Validity: ownLife, KeyUsage: x509.KeyUsageDigitalSignature}
	if p == ra.PurposeSCEPRA {
		o.KeyUsage |= x509.KeyUsageKeyEncipherment
	} else {
		o.EKUs = []string{"1.3.6.1.5.5.7.3.9"}
	}
	return ca.NewRequest(o)
}

func (s *Service) recordOwn(ctx context.Context, k ownKey, n int, leaf, issuer *x509.Certificate, chain []*x509.Certificate, key crypto.Signer) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		a, err := tx.Authority(k.authority)
		if err != nil {
			return err
		}
		row := enroll.Row(leaf, issuer, tx.Now)
		row.GroupID, row.AuthorityID, row.Purpose, row.KeyPlace = a.GroupID, a.ID, k.purpose, ra.KeyHere
		row.Obligation = ra.Obligation{Action: ra.ActionRenew, At: row.NotAfter.Add(-row.Lifetime() / 3), Deadline: row.NotAfter.Add(-row.Lifetime() / 6)}
		former, err := tx.OwnCertificates(k.authority, k.purpose)
		if err != nil {
			return err
		}
		for _, f := range former {
			f.State, f.RenewedBy = ra.Superseded, row.ID
			f.Obligation = ra.Obligation{Action: ra.ActionExpire, At: f.NotAfter, Deadline: f.NotAfter.Add(24 * time.Hour)}
			if err := tx.UpdateCertificate(f); err != nil {
				return err
			}
		}
		if err := tx.CreateCertificate(row); err != nil {
			return err
		}
		if err := authority.PutChain(tx, a.ID, chain); err != nil {
			return err
		}
		if err := tx.DeleteSealed(string(a.ID), ownField(k.purpose, n)); err != nil {
			return err
		}
		if err := s.sealOwn(tx, "certificates", string(row.ID), "key", key); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.CertificateIssued, Actor: ra.System("lifecycle"), Group: a.GroupID, Object: string(row.ID), Related: string(a.ID),
			Message: "Own certificate issued: " + row.Subject, Details: map[string]any{"serial": row.Serial, "purpose": k.purpose, "not_after": row.NotAfter}})
	})
}
