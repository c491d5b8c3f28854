package lifecycle

import (
	"context"
	"crypto/x509"
	"slices"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// Published is what an authority whose revocation lists are signed here tells
// relying parties: one for each of its issuing certificates, the one that signs
// now first.
type Published struct {
	Issuer  *x509.Certificate
	Address string // of the complete list, which every other address begins like; empty: certificates name none
	Lists   []PublishedList
}

// PublishedList is one revocation list as people look at it.
type PublishedList struct {
	store.CRL        // without the list itself; Number 0: never made
	Address   string // where the certificates issued now find it; empty: they name none
	Bytes     int64  // of the list
	OnDemand  bool   // a revocation alone does not make it anew: whoever asks for it does
}

// Published lists what an authority the actor may see publishes; NotFound for
// one that publishes its lists itself. Nothing is made.
func (s *Service) Published(ctx context.Context, actor ra.Actor, id ra.AuthorityID) ([]Published, error) {
	if _, err := s.Authorities.Get(ctx, actor, id); err != nil {
		return nil, err
	}
	_, signer, err := s.signerOf(ctx, id)
	if err != nil {
		return nil, err
	}
	var out []Published
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		out = nil
		for _, issuer := range signer.Issuers() {
			hash := authority.Hash(issuer.RawSubjectPublicKeyInfo)
			lists, err := published(tx, signer, hash)
			if err != nil {
				return err
			}
			out = append(out, Published{issuer, signer.CRLPoint(hash, ca.Shard{}), lists})
		}
		return nil
	})
	return out, err
}

// published gives the lists of one issuer: those its certificates name now, and
// those they named before; the complete one first, then by the part they hold.
func published(tx *store.Tx, signer ca.CRLSigner, hash string) ([]PublishedList, error) {
	known, err := tx.CRLsOf(hash)
	if err != nil {
		return nil, err
	}
	sizes, err := tx.CRLSizes(hash)
	if err != nil {
		return nil, err
	}
	shards := wantedShards(signer, hash, known)
	slices.SortStableFunc(shards, func(a, b ca.Shard) int {
		if a.Count != b.Count {
			return a.Count - b.Count
		}
		return a.Index - b.Index
	})
	out := make([]PublishedList, len(shards))
	for i, shard := range shards {
		name := shard.Name()
		l := PublishedList{CRL: store.CRL{IssuerHash: hash, Name: name}, Address: signer.CRLPoint(hash, shard), Bytes: sizes[name], OnDemand: name == "" && len(shards) > 1}
		if at := slices.IndexFunc(known, func(c store.CRL) bool { return c.Name == name }); at >= 0 {
			l.CRL = known[at]
		}
		out[i] = l
	}
	return out, nil
}

// wantedShards are the parts that lists are kept of: the complete one, those
// that certificates name now, and those they named before.
func wantedShards(signer ca.CRLSigner, hash string, known []store.CRL) []ca.Shard {
	shards := []ca.Shard{{}}
	if n := signer.CRLShards(hash); n > 1 {
		for i := range n {
			shards = append(shards, ca.Shard{Index: i, Count: n})
		}
	}
	for _, crl := range known {
		if shard, ok := ca.ParseShard(crl.Name); ok && !slices.Contains(shards, shard) {
			shards = append(shards, shard)
		}
	}
	return shards
}
