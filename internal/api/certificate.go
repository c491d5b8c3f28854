package api

import (
	"context"
	"encoding/csv"
	"io"
	"slices"
	"strings"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
	"chancery/internal/wire/cms"
)

func (s *Server) listCertificates(ctx context.Context, actor ra.Actor, in *resource.CertificateQuery) (*body[resource.Page[resource.Certificate]], error) {
	actor, f, err := s.certificateFilter(ctx, actor, in.CertificateFilter)
	if err != nil {
		return nil, err
	}
	f.Page = pageOf(in.PageQuery)
	list, next, err := s.Lifecycle.FindCertificates(ctx, actor, f)
	return listed(list, next, err, resource.OfCertificate)
}

// certificateFilter reads a filter; a group narrows the actor.
func (s *Server) certificateFilter(ctx context.Context, actor ra.Actor, in resource.CertificateFilter) (ra.Actor, store.CertificateFilter, error) {
	f := store.CertificateFilter{Authority: ra.AuthorityID(in.Authority), Template: ra.TemplateID(in.Template), Device: ra.DeviceID(in.Device), User: ra.UserID(in.User),
		SPKIHash: strings.ToLower(in.SPKIHash), Serial: strings.ToLower(in.Serial), ExpiresBefore: in.ExpiresBefore, ExpiresAfter: in.ExpiresAfter, OwnToo: in.OwnToo, Imported: either(in.Imported), Text: in.Text}
	var err error
	if f.States, err = words("state", in.States, ra.CertificateStates); err != nil {
		return actor, f, err
	}
	actor, err = s.within(ctx, actor, in.Group)
	return actor, f, err
}

func (s *Server) exportCertificates(ctx context.Context, actor ra.Actor, in *resource.CertificateQuery) (*download, error) {
	actor, f, err := s.certificateFilter(ctx, actor, in.CertificateFilter)
	if err != nil {
		return nil, err
	}
	f.Page = pageOf(in.PageQuery)
	f.Limit, f.After = store.MaxPage, ""
	// The first page comes before the answer begins, so that a refusal can
	// still be told.
	list, next, err := s.Lifecycle.FindCertificates(ctx, actor, f)
	if err != nil {
		return nil, err
	}
	return s.csvFile("certificates.csv", func(ctx context.Context, to io.Writer) error {
		w := csv.NewWriter(to)
		w.Write([]string{"id", "state", "subject", "sans", "serial", "not_before", "not_after", "key_type", "fingerprint", "issuer_hash", "group_id", "authority_id",
			"template_id", "device_id", "user_id", "revoked_at", "reason", "next_action", "next_action_at"})
		for {
			for _, c := range list {
				w.Write(certificateRow(resource.OfCertificate(c)))
			}
			w.Flush()
			if err := w.Error(); err != nil || next == "" {
				return err
			}
			f.After = next
			if list, next, err = s.Lifecycle.FindCertificates(ctx, actor, f); err != nil {
				return err
			}
		}
	}), nil
}

func certificateRow(c resource.Certificate) []string {
	row := []string{c.ID, c.State, c.Subject, strings.Join(c.SANs, " "), c.Serial, stamp(c.NotBefore), stamp(c.NotAfter), c.KeyType, c.Fingerprint, c.IssuerHash, c.GroupID,
		c.AuthorityID, c.TemplateID, c.DeviceID, c.UserID, stamp(c.RevokedAt), c.Reason, c.Action, stamp(c.At)}
	return harmless(row)
}

// harmless keeps spreadsheet programs from running a cell that begins like a
// formula.
func harmless(row []string) []string {
	for i, cell := range row {
		if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
			row[i] = "'" + cell
		}
	}
	return row
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func (s *Server) showCertificate(ctx context.Context, actor ra.Actor, in *ByID) (*tagged[resource.Certificate], error) {
	c, err := s.Lifecycle.Certificate(ctx, actor, ra.CertificateID(in.ID))
	out, err := one(c, err, resource.OfCertificate, certificateUpdated)
	if err != nil {
		return nil, err
	}
	if out.Body.Facts, err = factsOf(c.DER); err != nil {
		return nil, err
	}
	out.Body.PEM = resource.PEM("CERTIFICATE", c.DER)
	if out.Body.KeyWaiting, err = s.Enroll.HasKey(ctx, c.RequestID); err != nil {
		return nil, err
	}
	switch p, err := s.Directories.Publication(ctx, actor, c.ID); {
	case err == nil:
		out.Body.Publication = resource.OfPublication(p)
	case ra.KindOf(err) != ra.NotFound:
		return nil, err
	}
	switch from, err := s.Imports.From(ctx, actor, c.ID); {
	case err == nil:
		out.Body.ImportedFrom = resource.OfImportedFrom(from)
	case ra.KindOf(err) != ra.NotFound:
		return nil, err
	}
	switch d, err := s.Keys.Delivery(ctx, actor, c.ID); {
	case err == nil:
		out.Body.KeyDelivery = resource.OfKeyDelivery(d)
	case ra.KindOf(err) != ra.NotFound:
		return nil, err
	}
	out.Body.History, err = s.history(ctx, c)
	return out, err
}

// maxHistory bounds the life line that one page shows.
const maxHistory = 200

// history is the life line of a certificate: what happened to it and to the
// request that led to it, oldest first.
func (s *Server) history(ctx context.Context, c *ra.Certificate) ([]resource.Event, error) {
	var entries []*ra.AuditEntry
	for _, id := range []string{string(c.ID), string(c.RequestID)} {
		if id == "" {
			continue
		}
		list, err := s.Audit.About(ctx, id, maxHistory)
		if err != nil {
			return nil, err
		}
		entries = append(entries, list...)
	}
	slices.SortFunc(entries, func(a, b *ra.AuditEntry) int { return int(a.Seq - b.Seq) })
	out := []resource.Event{}
	for _, e := range slices.CompactFunc(entries, func(a, b *ra.AuditEntry) bool { return a.Seq == b.Seq }) {
		event := resource.OfEvent(e)
		event.Actor.Remote, event.Hash, event.PrevHash = "", "", "" // those belong to the audit log, which takes another right
		out = append(out, event)
	}
	return out, nil
}

func certificateUpdated(c *ra.Certificate) time.Time { return c.UpdatedAt }

type downloadInput struct {
	ByID
	Format string `query:"format" enum:"pem,der,chain,p7b" doc:"pem (when left out), der, chain (PEM with the certificates above it) or p7b (PKCS #7, DER)."`
}

type file struct {
	Type        string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte
}

func (s *Server) downloadCertificate(ctx context.Context, actor ra.Actor, in *downloadInput) (*file, error) {
	c, err := s.Lifecycle.Certificate(ctx, actor, ra.CertificateID(in.ID))
	if err != nil {
		return nil, err
	}
	chain := [][]byte{c.DER}
	if in.Format == "chain" || in.Format == "p7b" {
		if chain, err = s.Lifecycle.Chain(ctx, c); err != nil {
			return nil, err
		}
	}
	out := &file{Type: "application/x-pem-file", Disposition: "pem"}
	switch in.Format {
	case "der":
		out.Type, out.Disposition, out.Body = "application/pkix-cert", "cer", c.DER
	case "p7b":
		out.Type, out.Disposition = "application/x-pkcs7-certificates", "p7b"
		if out.Body, err = cms.Degenerate(chain, nil); err != nil {
			return nil, err
		}
	default:
		out.Body = []byte(resource.PEMChain(chain))
	}
	out.Disposition = `attachment; filename="` + string(c.ID) + "." + out.Disposition + `"`
	return out, nil
}

func (s *Server) renewCertificate(ctx context.Context, actor ra.Actor, in *posted[resource.RenewInput]) (*body[resource.Request], error) {
	r, err := s.Lifecycle.Renew(ctx, actor, ra.CertificateID(in.ID), in.Body.Wait)
	if err != nil {
		return nil, err
	}
	return s.wholeRequest(ctx, actor, r.ID)
}

func (s *Server) revokeCertificate(ctx context.Context, actor ra.Actor, in *posted[resource.RevokeInput]) (*tagged[resource.Certificate], error) {
	reason, err := reasonOf(in.Body.Reason)
	if err != nil {
		return nil, err
	}
	return s.revoke(ctx, actor, in.ID, reason, in.Body.Comment)
}

func (s *Server) holdCertificate(ctx context.Context, actor ra.Actor, in *posted[resource.CommentInput]) (*tagged[resource.Certificate], error) {
	return s.revoke(ctx, actor, in.ID, ra.CertificateHold, in.Body.Comment)
}

func (s *Server) unholdCertificate(ctx context.Context, actor ra.Actor, in *posted[resource.CommentInput]) (*tagged[resource.Certificate], error) {
	return s.revoke(ctx, actor, in.ID, ra.RemoveFromCRL, in.Body.Comment)
}

func (s *Server) revoke(ctx context.Context, actor ra.Actor, id string, reason ra.RevocationReason, comment string) (*tagged[resource.Certificate], error) {
	c, err := s.Lifecycle.Revoke(ctx, actor, ra.CertificateID(id), reason, comment)
	return one(c, err, resource.OfCertificate, certificateUpdated)
}

// reasonOf reads a reason for a revocation that is for good.
func reasonOf(name string) (ra.RevocationReason, error) {
	reason, err := ra.ParseReason(name)
	if err == nil && (reason == ra.CertificateHold || reason == ra.RemoveFromCRL) {
		return reason, ra.Errorf(ra.Invalid, "A hold is not a revocation.").WithField("reason").WithRemedy("Use hold and unhold of the certificate.")
	}
	return reason, err
}

func (s *Server) takeKey(ctx context.Context, actor ra.Actor, in *posted[resource.KeyInput]) (*body[resource.KeyFile], error) {
	var password secret.Text
	if in.Body.Password != "" {
		password = secret.New(in.Body.Password)
	}
	file, err := s.Enroll.TakeKey(ctx, actor, ra.CertificateID(in.ID), password, in.Body.Encoding)
	if err != nil {
		return nil, err
	}
	out := &body[resource.KeyFile]{resource.KeyFile{PKCS12: file.PKCS12.Reveal()}}
	if in.Body.Password == "" {
		out.Body.Password = file.Password.Reveal()
	}
	return out, nil
}
