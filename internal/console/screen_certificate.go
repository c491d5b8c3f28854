package console

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"strings"
	"time"

	"chancery/internal/access"
	"chancery/internal/ra"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/pkixmsg"
)

// chainLine is one certificate of a chain.
type chainLine struct {
	Subject, Fingerprint string
	NotAfter             time.Time
	Leaf                 bool
}

type certificateView struct {
	Certificate *ra.Certificate
	Parsed      parsedCertificate
	Late        bool
	Life        []station
	Chain       []chainLine
	Tree        *pkixmsg.Node
	Events      []*ra.AuditEntry
	Device      link
	User        link
	Group       link
	Template    link
	Authority   link
	Request     link
	Imported    *ra.ImportedFrom // nil: it was issued here
	Run         link             // that took it over
	Renews      link
	Pass        link // that it came through
	MayPass     bool // a new pass can renew it
	RenewedBy   link
	Publication *ra.Publication // nil: it does not belong into a directory
	Delivery    *ra.KeyDelivery // nil: its key goes nowhere
	Receiver    link            // where it goes
	Entry       link            // that directory
	MayRenew    bool
	MayRevoke   bool
	MayHold     bool
	MayUnhold   bool
	MayTakeKey  bool
	CLI         []string
}

// refreshAfter lets the page follow a revocation that the authority has not
// confirmed yet.
func (d certificateView) refreshAfter() int {
	if d.Certificate.Action == ra.ActionRevoke {
		return 4
	}
	return 0
}

var certificatePage = view[certificateView]("certificate")

// loadCertificate gives the certificate of the address, if it may be seen.
func (v *visit) loadCertificate() (*ra.Certificate, error) {
	return v.Lifecycle.Certificate(v.ctx(), v.actor, id[ra.CertificateID](v))
}

func (v *visit) certificate() error {
	c, err := v.loadCertificate()
	if err != nil {
		return err
	}
	parsed, err := describeCertificate(c.DER)
	if err != nil {
		return err
	}
	chain, err := v.Lifecycle.Chain(v.ctx(), c)
	if err != nil {
		return err
	}
	tree, err := pkixmsg.Tree(c.DER)
	if err != nil {
		return err
	}
	from, err := v.Imports.From(v.ctx(), v.actor, c.ID)
	if err != nil && ra.KindOf(err) != ra.NotFound {
		return err
	}
	life, events, err := v.certificateLife(c, from)
	if err != nil {
		return err
	}
	a := v.certificateActions(c)
	a.Imported = from
	a.Certificate, a.Parsed, a.Late, a.Life, a.Tree, a.Events = c, parsed, c.Late(v.Now()), life, tree, events
	for i, der := range chain {
		x, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		name, err := pkixmsg.ParseNameDER(x.RawSubject)
		if err != nil {
			return err
		}
		a.Chain = append(a.Chain, chainLine{name.String(), fingerprint(der), x.NotAfter, i == 0})
	}
	a.Device, a.User, a.Group, a.Template, a.Authority = v.deviceLink(c.DeviceID), v.userLink(c.UserID), v.groupLink(c.GroupID), v.templateLink(c.TemplateID), v.authorityLink(c.AuthorityID)
	a.Request = linked(string(c.RequestID), "/requests/", string(c.RequestID))
	if c.RequestID == "" && c.DeviceID != "" {
		t, err := v.Traces.Show(v.ctx(), v.actor, string(c.ID))
		if err != nil && ra.KindOf(err) != ra.NotFound {
			return err
		}
		if err == nil && t.Pass != nil {
			a.Pass = linked(string(t.Pass.ID), "/passes/", string(t.Pass.ID))
			a.MayPass = (c.State == ra.Valid || c.State == ra.Superseded) && v.may(access.Request, c.GroupID)
		}
	}
	a.Renews, a.RenewedBy = linked(string(c.Renews), "/certificates/", string(c.Renews)), linked(string(c.RenewedBy), "/certificates/", string(c.RenewedBy))
	if a.Imported != nil {
		a.Run = linked("took it over", "/imports/", string(a.Imported.Run))
	}
	p, err := v.Directories.Publication(v.ctx(), v.actor, c.ID)
	switch {
	case err == nil:
		a.Publication, a.Entry = p, v.directoryLink(p.Directory)
	case ra.KindOf(err) != ra.NotFound:
		return err
	}
	d, err := v.Keys.Delivery(v.ctx(), v.actor, c.ID)
	switch {
	case err == nil && d.Service != "":
		a.Delivery, a.Receiver = d, v.keyServiceLink(d.Service)
	case err == nil:
		a.Delivery, a.Receiver = d, v.directoryLink(d.Directory)
	case ra.KindOf(err) != ra.NotFound:
		return err
	}
	return certificatePage.show(v, http.StatusOK, a)
}

// certificateActions says what the visitor can do with a certificate, and how
// the command line does it.
func (v *visit) certificateActions(c *ra.Certificate) certificateView {
	var a certificateView
	kind, reachable := v.kindOf(c.AuthorityID)
	live := c.State == ra.Valid || c.State == ra.Superseded
	leaf := c.Purpose == ra.PurposeLeaf
	show := "chancery certificate show " + string(c.ID)
	a.CLI = []string{show, "chancery certificate download " + string(c.ID) + " --format pem"}
	if leaf && live && c.KeyPlace != ra.KeyOnDevice && v.may(access.Request, c.GroupID) {
		a.MayRenew = true
		a.CLI = append(a.CLI, "chancery certificate renew "+string(c.ID))
	}
	if reachable && kind.Traits.Revoke && v.may(access.Revoke, c.GroupID) {
		a.MayRevoke = live || c.State == ra.OnHold
		a.MayHold = live && kind.Traits.Hold
		a.MayUnhold = c.State == ra.OnHold
		if a.MayRevoke {
			a.CLI = append(a.CLI, "chancery certificate revoke "+string(c.ID)+" --reason keyCompromise")
		}
	}
	if leaf && live && c.KeyPlace != ra.KeyOnDevice && v.may(access.TakeKey, c.GroupID) {
		has, err := v.Enroll.HasKey(v.ctx(), c.RequestID)
		a.MayTakeKey = err == nil && has
		if a.MayTakeKey {
			a.CLI = append(a.CLI, "chancery certificate key "+string(c.ID)+" --out key.p12")
		}
	}
	return a
}

// certificateFile sends a certificate in the form that was asked for.
func (v *visit) certificateFile() error {
	c, err := v.loadCertificate()
	if err != nil {
		return err
	}
	chain, err := v.Lifecycle.Chain(v.ctx(), c)
	if err != nil {
		return err
	}
	name := strings.ToLower(c.Serial)
	switch v.query("format") {
	case "", "pem":
		return v.download(name+".pem", "application/x-pem-file", pemOf([][]byte{c.DER}))
	case "der":
		return v.download(name+".cer", "application/pkix-cert", c.DER)
	case "chain":
		return v.download(name+"-chain.pem", "application/x-pem-file", pemOf(chain))
	case "p7b":
		p7b, err := cms.Degenerate(chain, nil)
		if err != nil {
			return err
		}
		return v.download(name+".p7b", "application/x-pkcs7-certificates", p7b)
	}
	return ra.Errorf(ra.Invalid, "There is no such format.").WithField("format").WithRemedy("Use pem, der, chain or p7b.")
}

func pemOf(certificates [][]byte) []byte {
	var b bytes.Buffer
	for _, der := range certificates {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return b.Bytes()
}
