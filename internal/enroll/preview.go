package enroll

import (
	"context"

	"chancery/internal/access"
	"chancery/internal/lookup"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/pkixmsg"
)

// Preview is what a template gives for a chosen device, before anything is
// saved or asked for.
type Preview struct {
	Fill       *Fill
	CSR        []byte             // DER of the request as it would be, with a throw-away key
	Tree       *pkixmsg.Node      // its DER structure
	Extensions []PreviewExtension // what the certificate will carry
	Tests      []TestResult
}

// PreviewExtension is one extension in words.
type PreviewExtension struct {
	OID      string
	Name     string
	Critical bool
	Value    string
}

// Preview fills a template as given (stored or not) for a device or user. The
// key in it is a throw-away one.
func (s *Service) Preview(ctx context.Context, actor ra.Actor, in TemplateInput, id ra.TemplateID, device ra.DeviceID, user ra.UserID) (*Preview, error) {
	t := &ra.Template{ID: id}
	var sub lookup.Subject
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if id != "" {
			if t, err = tx.Template(id); err != nil {
				return err
			}
			if err := access.CheckLent(tx, actor, t.GroupID); err != nil {
				return err
			}
		}
		apply(t, in)
		sub, err = s.previewSubject(tx, actor, t, device, user)
		return err
	})
	if err != nil {
		return nil, err
	}
	a, err := s.Authorities.Get(ctx, actor, t.AuthorityID)
	if err != nil {
		return nil, err
	}
	kind, err := s.Authorities.Kind(a.Kind)
	if err != nil {
		return nil, err
	}
	if err := check(&t.Spec, kind); err != nil {
		return nil, err
	}
	f, err := fill(t, sub)
	if err != nil {
		return nil, err
	}
	return preview(t, f)
}

func (s *Service) previewSubject(tx *store.Tx, actor ra.Actor, t *ra.Template, device ra.DeviceID, user ra.UserID) (sub lookup.Subject, err error) {
	group := t.GroupID
	if device != "" {
		if sub.Device, err = tx.Device(device); err != nil {
			return sub, err
		}
		group = sub.Device.GroupID
		if user == "" {
			user = sub.Device.UserID
		}
	}
	if user != "" {
		if sub.User, err = tx.User(user); err != nil {
			return sub, err
		}
		if device == "" {
			group = sub.User.GroupID
		}
	}
	if err := access.CheckGroup(tx, actor, access.See, group); err != nil {
		return sub, err
	}
	if sub.Device != nil && sub.User != nil {
		if err := otherUser(tx, actor, access.See, &sub); err != nil {
			return sub, err
		}
	}
	if sub.Group, err = tx.Group(group); err != nil {
		return sub, err
	}
	sub.Settings, err = tx.EffectiveSettings(group)
	return sub, err
}

func preview(t *ra.Template, f *Fill) (*Preview, error) {
	name, err := pkixmsg.ParseDN(f.Subject)
	if err != nil {
		return nil, fieldError("subject", err)
	}
	extensions, err := Extensions(name, f)
	if err != nil {
		return nil, err
	}
	key, err := pkixmsg.GenerateKey(pkixmsg.P256)
	if err != nil {
		return nil, err
	}
	der, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: name, Extensions: extensions, Signer: key})
	if err != nil {
		return nil, fieldError("csr", err)
	}
	tree, err := pkixmsg.Tree(der)
	if err != nil {
		return nil, err
	}
	p := &Preview{Fill: f, CSR: der, Tree: tree, Tests: RunTests(t)}
	for _, e := range extensions {
		p.Extensions = append(p.Extensions, PreviewExtension{OID: e.OID, Name: pkixmsg.OIDName(e.OID), Critical: e.Critical, Value: describe(e)})
	}
	return p, nil
}

// Extensions gives the extensions a certificate of this fill will carry,
// besides those the authority adds by itself.
func Extensions(name pkixmsg.Name, f *Fill) ([]pkixmsg.Extension, error) {
	var out []pkixmsg.Extension
	add := func(e pkixmsg.Extension, err error) error {
		if err == nil {
			out = append(out, e)
		}
		return plain(err)
	}
	if usage := keyUsage(f.Usage, f.KeyType); usage != 0 {
		if err := add(pkixmsg.KeyUsageExtension(usage)); err != nil {
			return nil, err
		}
	}
	if len(f.EKUs) > 0 {
		if err := add(pkixmsg.ExtKeyUsageExtension(f.EKUs, false)); err != nil {
			return nil, err
		}
	}
	if len(f.SANs) > 0 {
		if err := add(pkixmsg.SubjectAltName(name, f.SANs)); err != nil {
			return nil, err
		}
	}
	if f.SID != "" {
		if err := add(pkixmsg.SIDExtension(f.SID)); err != nil {
			return nil, err
		}
	}
	return out, nil
}
