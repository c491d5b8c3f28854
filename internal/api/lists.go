package api

import (
	"context"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/authority"
	"chancery/internal/lifecycle"
	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

func (s *Server) authorityLists(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.Lists], error) {
	all, err := s.Lifecycle.Published(ctx, actor, ra.AuthorityID(in.ID))
	if err != nil {
		return nil, err
	}
	return &body[resource.Lists]{published(all, s.Authorities.PublicURL, s.Now())}, nil
}

// published gives lists in wire form. public is the address of this server, for
// lists that no certificate names.
func published(all []lifecycle.Published, public string, now time.Time) resource.Lists {
	out := resource.Lists{Issuers: []resource.ListIssuer{}}
	for _, p := range all {
		hash := authority.Hash(p.Issuer.RawSubjectPublicKeyInfo)
		i := resource.ListIssuer{Subject: p.Issuer.Subject.String(), IssuerHash: hash, OCSP: p.Base(public) + "/ocsp", Certificate: p.Base(public) + "/pki/" + hash[:16] + ".cer", Lists: []resource.RevocationList{}}
		if name, err := pkixmsg.ParseNameDER(p.Issuer.RawSubject); err == nil {
			i.Subject = name.String()
		}
		for _, l := range p.Lists {
			r := resource.RevocationList{Address: p.At(l, public), Named: l.Address != "", State: l.State(now), Number: l.Number, ThisUpdate: l.ThisUpdate.UTC(), NextUpdate: l.NextUpdate.UTC(), Bytes: l.Bytes}
			r.Also = l.Also(r.Address)
			r.Part, r.Parts = l.Part()
			i.Lists = append(i.Lists, r)
		}
		out.Issuers = append(out.Issuers, i)
	}
	return out
}
