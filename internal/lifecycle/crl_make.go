package lifecycle

import (
	"context"
	"crypto/x509"
	"math/big"
	"time"

	"chancery/internal/audit"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// publish gives a list that holds what was wanted of it when it was seen, and
// lasts beyond the overlap. Unless there is one, it is made: the revoked
// certificates are gathered from their rows, signed with no transaction open,
// and stored unless another node was faster.
//
// Of many who want a new list at once, one makes it, and one more makes another
// for all who came with a later revocation meanwhile. A second node that began at
// the same moment finds its number taken and gives what the first one made, or,
// when that is older than what it was asked for, makes the next.
func (s *Service) publish(ctx context.Context, l list, seen store.CRL, overlap time.Duration) (store.CRL, error) {
	wanted := max(seen.Wanted, 1)
	if !l.named(seen) {
		wanted = seen.Wanted + 1
	} else if current(seen, wanted, s.Now().Add(overlap)) && seen.DER != nil {
		return seen, nil
	}
	making := s.making.of(l)
	making.Lock()
	defer making.Unlock()
	const tries = 5
	for try := 1; ; try++ {
		crl, err := s.defined(ctx, l)
		if err != nil || current(crl, wanted, s.Now().Add(overlap)) {
			return crl, err
		}
		crl, err = s.makeList(ctx, l, crl.Number)
		if ra.KindOf(err) != ra.Conflict || try == tries {
			return crl, err
		}
	}
}

// defined loads a list, after making it known, or known under a new address, if
// need be.
func (s *Service) defined(ctx context.Context, l list) (crl store.CRL, err error) {
	load := func(tx *store.Tx) error {
		crl, err = tx.CRL(l.hash, l.shard.Name())
		if ra.KindOf(err) == ra.NotFound {
			return nil
		}
		return err
	}
	if err := s.DB.Read(ctx, load); err != nil || l.named(crl) {
		return crl, err
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := load(tx); err != nil {
			return err
		}
		low, high := l.shard.Endings()
		return tx.DefineCRL(store.CRL{IssuerHash: l.hash, Name: l.shard.Name(), AuthorityID: l.Authority.ID, Low: low, High: high, Points: l.points(crl)})
	})
	if err != nil {
		return store.CRL{}, err
	}
	err = s.DB.Read(ctx, load)
	return crl, err
}

// makeList gathers, signs and stores a list under the next number. Conflict
// when another was stored after the one with the number seen.
func (s *Service) makeList(ctx context.Context, l list, seen int64) (store.CRL, error) {
	began := time.Now()
	var crl store.CRL
	var entries []store.RevokedEntry
	// What is wanted is read with the rows: a revocation after this moment makes
	// the list stale again, whenever it is stored.
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if crl, err = tx.CRLState(l.hash, l.shard.Name()); err != nil {
			return err
		}
		if crl.Number != seen {
			return ra.Errorf(ra.Conflict, "Another node has just made this list.").WithRemedy("It is looked at again by itself.")
		}
		entries, err = tx.RevokedBy(l.hash, crl.Low, crl.High)
		return err
	})
	if err != nil {
		return store.CRL{}, err
	}
	lines, err := revocationList(entries)
	if err != nil {
		return store.CRL{}, err
	}
	before, now := crl.Number, s.Now()
	validity, _ := l.signer.CRLTimes()
	crl.Number, crl.Made = nextNumber(before, now), crl.Wanted
	crl.ThisUpdate = now.UTC().Truncate(time.Second)
	crl.NextUpdate = crl.ThisUpdate.Add(validity)
	s.step(StepCRLSign)
	crl.DER, err = l.signer.SignCRLFor(ctx, l.hash, ca.CRLOrder{Number: crl.Number, ThisUpdate: crl.ThisUpdate, NextUpdate: crl.NextUpdate, Points: crl.Points, Entries: lines})
	if err != nil {
		return store.CRL{}, err
	}
	s.step(StepCRLStore)
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := tx.PutCRL(crl, before); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.CRLPublished, Actor: ra.System("lifecycle"), Group: l.Authority.GroupID, Object: string(l.Authority.ID), Message: "CRL published by " + l.Authority.Name,
			Details: map[string]any{"number": crl.Number, "entries": len(entries), "next_update": crl.NextUpdate, "issuer": l.hash[:16], "shard": crl.Name}})
	})
	if err != nil {
		return store.CRL{}, err
	}
	s.Observer.CRL(l.Authority.Name, time.Since(began))
	s.step(StepCRLServe)
	return crl, nil
}

// nextNumber is greater than the number before and at least the milliseconds of
// the clock. No list is made a thousand times a second, so a number that was
// given out before the database was put back to an earlier state never comes
// again (RFC 5280 §5.2.3).
func nextNumber(before int64, now time.Time) int64 { return max(before+1, now.UnixMilli()) }

func revocationList(entries []store.RevokedEntry) ([]x509.RevocationListEntry, error) {
	out := make([]x509.RevocationListEntry, len(entries))
	for i, e := range entries {
		serial, ok := new(big.Int).SetString(e.Serial, 16)
		if !ok {
			return nil, ra.Errorf(ra.Internal, "A stored serial number is not a number.").WithRemedy("Run chancery doctor.")
		}
		out[i] = x509.RevocationListEntry{SerialNumber: serial, RevocationTime: e.RevokedAt, ReasonCode: int(e.Reason)}
	}
	return out, nil
}
