package lifecycle

import (
	"context"
	"crypto/x509"
	"slices"
	"strings"
	"sync"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// CRL gives a current DER CRL by its address: the SHA-256 of the issuer's public
// key, hex, or the first 16 digits of it, and for a part of the revocations a
// dash and the name of the shard. What was revoked before the call is on it: a
// list that lacks something is made anew first.
func (s *Service) CRL(ctx context.Context, address string) (store.CRL, error) {
	digits, name, part := strings.Cut(address, "-")
	shard, ok := ca.ParseShard(name)
	if !ok || part && name == "" {
		return store.CRL{}, noList()
	}
	var i store.Issuer
	var crl store.CRL
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if i, err = tx.IssuerByPrefix(digits); err != nil {
			return err
		}
		crl, err = tx.CRL(i.SPKIHash, shard.Name())
		if ra.KindOf(err) == ra.NotFound {
			return nil
		}
		return err
	})
	if err != nil {
		return store.CRL{}, err
	}
	o, signer, err := s.signerOf(ctx, i.AuthorityID)
	if err != nil {
		if current(crl, 1, s.Now()) && !crl.Stale() {
			return crl, nil // nothing has to be signed
		}
		return store.CRL{}, err
	}
	l := list{o, signer, i.SPKIHash, shard}
	if !l.offered() {
		return store.CRL{}, noList()
	}
	made, err := s.publish(ctx, l, crl, 0)
	if ra.KindOf(err) == ra.Unreachable && crl.DER != nil && crl.NextUpdate.After(s.Now()) {
		s.Log.Error("CRL cannot be made anew, the one before it is served while it lasts", "number", crl.Number, "next_update", crl.NextUpdate, "error", err)
		return crl, nil
	}
	return made, err
}

func noList() error {
	return ra.Errorf(ra.NotFound, "There is no such revocation list.").WithRemedy("Use the address the certificate names.")
}

// current reports whether a list was gathered when at least so much was wanted
// of it, and lasts beyond now.
func current(crl store.CRL, wanted int64, now time.Time) bool {
	return crl.Number > 0 && crl.Made >= wanted && crl.NextUpdate.After(now)
}

// Issuer gives an authority certificate by the SHA-256 of its public key, hex,
// or the first 16 digits of it.
func (s *Service) Issuer(ctx context.Context, issuerHash string) (*x509.Certificate, error) {
	var i store.Issuer
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		i, err = tx.IssuerByPrefix(issuerHash)
		return err
	})
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(i.DER)
}

// PublishDue makes the CRLs that are stale or near their end. One authority
// that cannot sign does not keep the others from it; a switched-off one still
// publishes, because what it issued is still in use.
func (s *Service) PublishDue(ctx context.Context) error {
	var all []*ra.Authority
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		all, err = tx.AllAuthorities()
		return err
	})
	if err != nil {
		return err
	}
	for _, a := range all {
		o, signer, err := s.signerOf(ctx, a.ID)
		if err != nil {
			continue // publishes itself, or cannot be opened; its own page says so
		}
		for _, i := range signer.Issuers() {
			if err := s.publishOf(ctx, o, signer, authority.Hash(i.RawSubjectPublicKeyInfo)); err != nil {
				s.Log.Error("CRL cannot be published", "authority", a.Name, "issuer", i.Subject.String(), "error", err)
			}
		}
	}
	return nil
}

// publishOf makes the lists of one issuer that are due: those its certificates
// name now, and those they named before. Where the revocations are divided, the
// complete list is read by few and costs the most, so a revocation alone does
// not make it: that is done when somebody asks for it.
func (s *Service) publishOf(ctx context.Context, o *authority.Open, signer ca.CRLSigner, hash string) error {
	var known []store.CRL
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		known, err = tx.CRLsOf(hash)
		return err
	}); err != nil {
		return err
	}
	byName := map[string]store.CRL{}
	for _, crl := range known {
		byName[crl.Name] = crl
	}
	shards := wantedShards(signer, hash, known)
	_, overlap := signer.CRLTimes()
	for _, shard := range shards {
		l, crl := list{o, signer, hash, shard}, byName[shard.Name()]
		wanted := crl.Wanted
		if shard.Name() == "" && len(shards) > 1 {
			wanted = 0
		}
		if l.named(crl) && current(crl, wanted, s.Now().Add(overlap)) {
			continue
		}
		if _, err := s.publish(ctx, l, crl, overlap); err != nil {
			return err
		}
	}
	return nil
}

// signerOf opens an authority whose CRLs are signed here.
func (s *Service) signerOf(ctx context.Context, id ra.AuthorityID) (*authority.Open, ca.CRLSigner, error) {
	o, err := s.Authorities.Reach(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	signer, ok := o.Connector.(ca.CRLSigner)
	if !ok {
		return nil, nil, ra.Errorf(ra.NotFound, "The CRL of %q is published by the authority itself.", o.Authority.Name).WithRemedy("Use the address the certificate names.")
	}
	return o, signer, nil
}

// list is one revocation list and who signs it.
type list struct {
	*authority.Open
	signer ca.CRLSigner
	hash   string // of the issuer's key
	shard  ca.Shard
}

// offered reports whether the issuer has such a list. Any part that its
// certificates may ever have named is one, whatever the number of lists is now:
// after a change back, or in a database put back to before the change, they are
// still asked for. A stranger who asks for all the rest makes a few hundred small
// lists at most.
func (l list) offered() bool {
	return (l.shard.Name() == "" || l.signer.CRLPoint(l.hash, l.shard) != "") &&
		slices.ContainsFunc(l.signer.Issuers(), func(i *x509.Certificate) bool { return authority.Hash(i.RawSubjectPublicKeyInfo) == l.hash })
}

// points are the addresses a list says it is found at: the one that certificates
// name now, and those that they named before the server moved. A complete list
// says nothing: it is good for every certificate of its issuer.
func (l list) points(crl store.CRL) []string {
	now := l.signer.CRLPoint(l.hash, l.shard)
	if l.shard.Name() == "" || now == "" || slices.Contains(crl.Points, now) {
		return crl.Points
	}
	return append(slices.Clone(crl.Points), now)
}

// named reports whether a list is known under the address in use.
func (l list) named(crl store.CRL) bool {
	return crl.Wanted > 0 && len(l.points(crl)) == len(crl.Points)
}

// makers has a lock for each list, so that one at a time is made of each here.
type makers struct {
	mu  sync.Mutex
	all map[string]*sync.Mutex
}

func (m *makers) of(l list) *sync.Mutex {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[string]*sync.Mutex{}
	}
	key := l.hash + l.shard.Name()
	if m.all[key] == nil {
		m.all[key] = &sync.Mutex{}
	}
	return m.all[key]
}
