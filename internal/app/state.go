package app

import (
	"context"
	"crypto/x509"
	"slices"

	"chancery/internal/observe"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// state reads how things stand, for the metrics.
func (a *App) state(ctx context.Context) (observe.State, error) {
	s := observe.State{Late: map[string]int64{}}
	byID := map[ra.AuthorityID]*observe.AuthorityState{}
	var all []*ra.Authority
	err := a.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if all, err = tx.AllAuthorities(); err != nil {
			return err
		}
		for _, one := range all {
			byID[one.ID] = &observe.AuthorityState{Name: one.Name, Certificates: map[string]int64{}, Expiring: map[int]int64{}, Requests: map[string]int64{}}
		}
		for _, read := range []func(*store.Tx, *observe.State, map[ra.AuthorityID]*observe.AuthorityState) error{inventoryState, waitingState, signedState} {
			if err := read(tx, &s, byID); err != nil {
				return err
			}
		}
		s.Audit, err = tx.CountAudit()
		return err
	})
	if err != nil {
		return observe.State{}, err
	}
	for _, one := range all {
		if !one.Disabled {
			_, err := a.Authorities.Open(ctx, one.ID)
			byID[one.ID].Up = err == nil
		}
		s.Authorities = append(s.Authorities, *byID[one.ID])
	}
	return s, nil
}

// inventoryState counts certificates by state and by how soon they end.
func inventoryState(tx *store.Tx, _ *observe.State, byID map[ra.AuthorityID]*observe.AuthorityState) error {
	for id, a := range byID {
		counts, err := tx.CountCertificates(store.CertificateFilter{Authority: id})
		if err != nil {
			return err
		}
		for _, c := range counts {
			a.Certificates[c.Key] = c.N
		}
	}
	days := slices.Max(observe.ExpiringDays)
	ending, err := tx.ExpiryCalendar(nil, days+1) // today and so many whole days
	if err != nil {
		return err
	}
	for _, e := range ending {
		a := byID[ra.AuthorityID(e.AuthorityID)]
		for _, within := range observe.ExpiringDays {
			if a != nil && e.Day <= int64(within) {
				a.Expiring[within] += e.N
			}
		}
	}
	return nil
}

// waitingState counts what waits and what is late.
func waitingState(tx *store.Tx, s *observe.State, byID map[ra.AuthorityID]*observe.AuthorityState) error {
	requests, err := tx.WaitingRequests()
	if err != nil {
		return err
	}
	for _, r := range requests {
		s.Late["request"] += r.Late
		if a := byID[r.AuthorityID]; a != nil {
			a.Requests[string(r.State)] = r.N
		}
	}
	renewals, err := tx.RenewalCounts()
	if err != nil {
		return err
	}
	for _, r := range renewals {
		if a := byID[r.AuthorityID]; a != nil {
			a.Due, a.Late, a.Failing = r.Due, r.Late, r.Failing
		}
	}
	s.Late["certificate"], err = tx.LateCertificates()
	return err
}

// signedState tells when signing certificates, the server's own and CRLs end.
func signedState(tx *store.Tx, s *observe.State, byID map[ra.AuthorityID]*observe.AuthorityState) error {
	for id, a := range byID {
		issuers, err := tx.Issuers(id)
		if err != nil {
			return err
		}
		if len(issuers) > 0 {
			cert, err := x509.ParseCertificate(issuers[0].DER)
			if err != nil {
				return err
			}
			a.NotAfter = cert.NotAfter
		}
		for _, purpose := range []ra.Purpose{ra.PurposeSCEPRA, ra.PurposeOCSP} {
			own, err := tx.OwnCertificates(id, purpose)
			if err != nil {
				return err
			}
			if len(own) > 0 {
				s.Own = append(s.Own, observe.OwnState{Authority: a.Name, Purpose: string(purpose), NotAfter: own[0].NotAfter})
			}
		}
	}
	lists, err := tx.AllCRLs()
	if err != nil {
		return err
	}
	for _, l := range lists {
		if a := byID[l.AuthorityID]; a != nil && l.Number > 0 {
			s.CRLs = append(s.CRLs, observe.CRLState{Authority: a.Name, Issuer: l.IssuerHash[:16], Shard: l.Name, Number: l.Number, NextUpdate: l.NextUpdate, Stale: l.Stale()})
		}
	}
	return nil
}
