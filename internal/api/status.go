package api

import (
	"context"

	"chancery/internal/access"
	"chancery/internal/api/resource"
	"chancery/internal/ra"
	"chancery/internal/store"
)

func (s *Server) showStatus(ctx context.Context, actor ra.Actor, _ *none) (*body[resource.Status], error) {
	out := resource.Status{Version: s.Version, Time: s.Now().UTC(), Database: s.DB.Engine(), Healthy: s.DB.Ping(ctx) == nil}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		groups, err := access.Scope(tx, actor, access.See)
		if err != nil {
			return err
		}
		if out.Certificates, err = counted(tx.CountCertificates(store.CertificateFilter{Groups: groups})); err != nil {
			return err
		}
		if out.Devices, err = counted(tx.CountDevices(groups)); err != nil {
			return err
		}
		if out.Requests, err = counted(tx.CountRequests(groups)); err != nil {
			return err
		}
		late, _, err := tx.FindObligations(store.ObligationFilter{Groups: groups, LateOnly: true, Page: store.Page{Limit: store.MaxPage}})
		out.Late = len(late)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &body[resource.Status]{out}, nil
}

func counted(counts []store.Count, err error) (map[string]int64, error) {
	out := map[string]int64{}
	for _, c := range counts {
		out[c.Key] = c.N
	}
	return out, err
}
