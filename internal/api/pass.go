package api

import (
	"context"
	"encoding/csv"
	"encoding/pem"
	"io"
	"strconv"
	"strings"

	"chancery/internal/api/resource"
	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/pkixmsg"
)

func (s *Server) listPasses(ctx context.Context, actor ra.Actor, in *resource.PassQuery) (*body[resource.Page[resource.Pass]], error) {
	f, err := passSearch(in)
	if err != nil {
		return nil, err
	}
	list, next, err := s.Passes.Search(ctx, actor, f)
	return listed(list, next, err, resource.OfPass)
}

func passSearch(in *resource.PassQuery) (f store.PassSearch, err error) {
	f.Groups, f.Authority, f.Template, f.Device, f.LateOnly, f.Page = groups(in.Group), ra.AuthorityID(in.Authority), ra.TemplateID(in.Template), ra.DeviceID(in.Device), in.Late, pageOf(in.PageQuery)
	f.Model, f.Text = ra.PassModel(in.Model), in.Text
	f.States, err = words("state", in.States, ra.PassStates)
	return f, err
}

func (s *Server) exportPasses(ctx context.Context, actor ra.Actor, in *resource.PassQuery) (*download, error) {
	f, err := passSearch(in)
	if err != nil {
		return nil, err
	}
	f.Limit, f.After = store.MaxPage, ""
	list, next, err := s.Passes.Search(ctx, actor, f) // while a refusal can still be told
	if err != nil {
		return nil, err
	}
	return s.csvFile("passes.csv", func(ctx context.Context, to io.Writer) error {
		w := csv.NewWriter(to)
		w.Write([]string{"id", "state", "model", "subject", "group_id", "authority_id", "template_id", "device_id", "user_id", "transaction_id", "messages", "pki_status", "fail_info",
			"certificate_id", "renews", "created_at", "expires_at", "reason"})
		for {
			for _, p := range list {
				w.Write(passRow(resource.OfPass(p)))
			}
			w.Flush()
			if err := w.Error(); err != nil || next == "" {
				return err
			}
			f.After = next
			if list, next, err = s.Passes.Search(ctx, actor, f); err != nil {
				return err
			}
		}
	}), nil
}

func passRow(p resource.Pass) []string {
	row := []string{p.ID, p.State, p.Model, p.Subject, p.GroupID, p.AuthorityID, p.TemplateID, p.DeviceID, p.UserID, p.TransactionID, strconv.Itoa(p.Messages), p.PKIStatus, p.FailInfo,
		p.CertificateID, p.Renews, stamp(p.CreatedAt), stamp(p.ExpiresAt), p.Reason}
	return harmless(row)
}

func (s *Server) createPass(ctx context.Context, actor ra.Actor, in *body[resource.PassInput]) (*body[resource.Pass], error) {
	life, err := readSpan("life", in.Body.Life)
	if err != nil {
		return nil, err
	}
	b := in.Body
	if b.Renews != "" {
		if _, err := s.Lifecycle.Certificate(ctx, actor, ra.CertificateID(b.Renews)); err != nil {
			return nil, err
		}
	}
	ask := pass.CreateInput{Template: ra.TemplateID(b.TemplateID), Device: ra.DeviceID(b.DeviceID), User: ra.UserID(b.UserID), Model: ra.PassModel(b.Model), Life: life, Renews: ra.CertificateID(b.Renews)}
	if ask.Model == "" {
		ask.Model = ra.PassProxy
	}
	return wholePass(s.Passes.Create(ctx, actor, ask))
}

func wholePass(p *ra.Pass, err error) (*body[resource.Pass], error) {
	if err != nil {
		return nil, err
	}
	return &body[resource.Pass]{resource.OfWholePass(p)}, nil
}

func (s *Server) showPass(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.Pass], error) {
	return wholePass(s.Passes.Get(ctx, actor, ra.PassID(in.ID)))
}

func (s *Server) passParameters(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.PassParameters], error) {
	p, err := s.Passes.Parameters(ctx, actor, ra.PassID(in.ID))
	if err != nil {
		return nil, err
	}
	out := resource.PassParameters{PassID: string(p.Pass.ID), DeviceID: string(p.Pass.DeviceID), Model: string(p.Pass.Model), URL: p.URL, ChallengeUntil: p.ChallengeUntil.UTC(),
		ExpiresAt: p.Pass.ExpiresAt.UTC(), Subject: p.Subject, SANs: []string{}, KeyType: p.KeyType, KeyUsage: append([]string{}, pkixmsg.KeyUsageNames(p.KeyUsage)...), EKUs: append([]string{}, p.EKUs...),
		Retries: p.Retries, RetrySeconds: int(p.RetryDelay.Seconds()), CAFingerprint: p.CAFingerprint, CAThumbprint: p.CAThumbprint, CAIdentifier: p.CAIdentifier}
	for _, n := range p.SANs {
		out.SANs = append(out.SANs, string(n.Type)+":"+n.Value)
	}
	if p.Challenge.IsSet() {
		out.Challenge = p.Challenge.Reveal()
	}
	return &body[resource.PassParameters]{out}, nil
}

func (s *Server) revokePass(ctx context.Context, actor ra.Actor, in *posted[resource.PassReason]) (*body[resource.Pass], error) {
	return wholePass(s.Passes.Revoke(ctx, actor, ra.PassID(in.ID), in.Body.Reason))
}

// renewByPass makes a pass for the device of a certificate that came through
// one.
func (s *Server) renewByPass(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.Pass], error) {
	return wholePass(s.Passes.RenewAsked(ctx, actor, ra.CertificateID(in.ID)))
}

func (s *Server) learnPass(ctx context.Context, actor ra.Actor, in *body[resource.LearnInput]) (*body[resource.Learnt], error) {
	block, rest := pem.Decode([]byte(in.Body.Certificate))
	if block == nil || block.Type != "CERTIFICATE" || strings.TrimSpace(string(rest)) != "" {
		return nil, ra.Errorf(ra.Invalid, "This is not one certificate in PEM.").WithField("certificate").WithRemedy("Send the certificate of the device alone, in PEM.")
	}
	p, c, err := s.Passes.Learn(ctx, actor, pass.LearnInput{Authority: ra.AuthorityID(in.Body.AuthorityID), DER: block.Bytes, Device: ra.DeviceID(in.Body.DeviceID), Transaction: in.Body.TransactionID})
	if err != nil {
		return nil, err
	}
	return &body[resource.Learnt]{resource.Learnt{Pass: resource.OfPass(p), Certificate: resource.OfCertificate(c)}}, nil
}
