package console

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
	"time"

	"chancery/internal/access"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/wire/pkixmsg"
)

// issuerLine is one certificate of an authority.
type issuerLine struct {
	Subject, Fingerprint string
	NotAfter             time.Time
	Address              string // where relying parties find it; empty when others publish it
}

type authorityView struct {
	Authority   *ra.Authority
	KindTitle   string
	Group       link
	Health      health
	Abilities   []string
	Settings    []previewLine
	Chain       []issuerLine
	Published   []publication // empty when others publish its revocations
	OCSP        string
	Unnamed     bool // certificates name no address of this server
	Subordinate bool
	Renews      bool // its signing certificate can be renewed here
	Steps       []ca.Step
	Tested      bool
	CSR         string
	Trouble     *trouble
	SCEP        *scepServerView // nil: it has no server of its own
	Forecast    *forecastView   // nil: there is none
	Guard       *guardState     // nil: it has none
	Import      *importCard     // nil: it tells nobody what it issued
	Events      []*ra.AuditEntry
	MayEdit     bool
	MayAudit    bool
	CLI         []string
}

var authorityPage = view[authorityView]("authority")

var abilityWords = map[ca.Ability]string{ca.CanFetch: "may answer later", ca.CanFind: "finds a lost answer again", ca.CanMakeKey: "makes keys", ca.CanRevoke: "revokes",
	ca.CanHold: "puts on hold", ca.CanCheck: "can be tested", ca.CanCatalog: "lists its profiles", ca.CanChallenge: "hands out SCEP challenges", ca.CanForward: "has a SCEP server for devices", ca.CanChain: "tells its chain",
	ca.CanCRL: "publishes a revocation list", ca.CanSignCRL: "revocation lists are signed here", ca.CanList: "tells what it issued to others"}

func (v *visit) loadAuthority() (*ra.Authority, error) {
	return v.Authorities.Get(v.ctx(), v.actor, id[ra.AuthorityID](v))
}

func (v *visit) authority() error {
	return v.showAuthority(nil, nil)
}

// showAuthority shows the page; change adds what an action just gave.
func (v *visit) showAuthority(change func(*authorityView), wrong error) error {
	a, err := v.loadAuthority()
	if err != nil {
		return err
	}
	data := authorityView{Authority: a, KindTitle: a.Kind, Group: v.groupLink(a.GroupID), MayEdit: v.may(access.EditAuthorities, a.GroupID), MayAudit: v.mayAnywhere(access.SeeAudit), Trouble: v.trouble(wrong),
		CLI: []string{"chancery authority show " + string(a.ID), "chancery authority test " + string(a.ID)}}
	data.Health = v.health(a)
	data.Guard = v.guardOf(a)
	if data.Forecast, err = v.forecast(a); err != nil {
		return err
	}
	events, err := v.Audit.About(v.ctx(), string(a.ID), manyEvents)
	if err != nil {
		return err
	}
	data.Events = notable(events, 20)
	if k, err := v.Authorities.Kind(a.Kind); err == nil {
		data.KindTitle = k.Title
		s := k.New()
		setting.Defaults(s)
		if err := setting.Load(s, a.Settings); err != nil {
			v.Log.Warn("settings cannot all be read", "authority", a.ID, "error", err)
		}
		data.Settings = settingLines(s, setSecrets(a.Settings))
		_, subordinate := s.(ca.Subordinate)
		data.Subordinate = subordinate && strings.Contains(string(a.Settings), `"subordinate"`)
		_, renewer := s.(ca.Renewer)
		data.Renews = renewer && !data.Subordinate
	}
	if err := v.authorityCertificates(&data); err != nil {
		return err
	}
	if data.SCEP, err = v.scepServer(a); err != nil {
		return err
	}
	if data.SCEP != nil {
		data.CLI = append(data.CLI, "chancery authority challenges "+string(a.ID), "chancery authority accept "+string(a.ID))
	}
	if change != nil {
		change(&data)
	}
	return authorityPage.show(v, statusOf(wrong), data)
}

// authorityCertificates fills in the chain, what the authority can do and,
// where revocations are signed here, the addresses that relying parties use.
func (v *visit) authorityCertificates(data *authorityView) error {
	chain, err := v.Authorities.Chain(v.ctx(), data.Authority.ID)
	if err != nil {
		return err
	}
	var addresses map[string]string // of its certificates, by the hash of the key
	// One that cannot be opened says so in its health.
	if o, err := v.Authorities.Reach(v.ctx(), data.Authority.ID); err == nil {
		for _, ability := range ca.Abilities(o.Connector) {
			data.Abilities = append(data.Abilities, abilityWords[ability])
		}
		if _, lists := o.Connector.(ca.Lister); lists {
			if data.Import, err = v.importOf(data.Authority); err != nil {
				return err
			}
		}
		if _, signs := o.Connector.(ca.CRLSigner); signs {
			if addresses, err = v.published(data); err != nil {
				return err
			}
		}
	}
	for _, x := range chain {
		name, err := pkixmsg.ParseNameDER(x.RawSubject)
		if err != nil {
			return err
		}
		data.Chain = append(data.Chain, issuerLine{Subject: name.String(), Fingerprint: fingerprint(x.Raw), NotAfter: x.NotAfter, Address: addresses[authority.Hash(x.RawSubjectPublicKeyInfo)]})
	}
	return nil
}

func (v *visit) authorityChain() error {
	a, err := v.loadAuthority()
	if err != nil {
		return err
	}
	chain, err := v.Authorities.Chain(v.ctx(), a.ID)
	if err != nil {
		return err
	}
	if len(chain) == 0 {
		return ra.Errorf(ra.NotFound, "The certificates of %q are not known yet.", a.Name).WithRemedy("They are learnt from the first certificate it issues, or installed below it.")
	}
	var ders [][]byte
	for _, x := range chain {
		ders = append(ders, x.Raw)
	}
	return v.download(strings.ToLower(a.Name)+"-chain.pem", "application/x-pem-file", pemOf(ders))
}

// testAuthority runs the steps of Test connection and shows them.
func (v *visit) testAuthority() error {
	a, err := v.loadAuthority()
	if err != nil {
		return err
	}
	var steps []ca.Step
	err = v.Authorities.Test(v.ctx(), v.actor, a.ID, func(s ca.Step) { steps = append(steps, s) })
	return v.showAuthority(func(data *authorityView) { data.Steps, data.Tested = steps, err == nil }, err)
}

func (v *visit) authorityCSR() error {
	a, err := v.loadAuthority()
	if err != nil {
		return err
	}
	der, err := v.Authorities.CSR(v.ctx(), v.actor, a.ID)
	return v.showAuthority(func(data *authorityView) {
		if err == nil {
			data.CSR = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
		}
	}, err)
}

func (v *visit) installAuthority() error {
	a, err := v.loadAuthority()
	if err != nil {
		return err
	}
	posted, err := v.form()
	if err != nil {
		return err
	}
	chain, err := readChain(posted.Get("chain"))
	if err == nil {
		err = v.Authorities.Install(v.ctx(), v.actor, a.ID, chain)
	}
	if err != nil {
		return v.showAuthority(nil, err)
	}
	return v.done("/authorities/"+string(a.ID), "The signing certificate is installed.")
}

// maxChain bounds how many certificates one answer of a superior CA may hold.
const maxChain = 10

func readChain(text string) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if len(chain) == maxChain {
			return nil, ra.Errorf(ra.Invalid, "There are more than %d certificates in it.", maxChain).WithField("chain").WithRemedy("Paste the issued certificate and those above it only.")
		}
		x, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, ra.Errorf(ra.Invalid, "A certificate cannot be read.").WithField("chain").WithRemedy("Paste PEM certificates only.").WithCause(err)
		}
		chain = append(chain, x)
	}
	if len(chain) == 0 {
		return nil, ra.Errorf(ra.Invalid, "There is no certificate in it.").WithField("chain").WithRemedy("Paste the issued certificate and every certificate above it, as PEM.")
	}
	return chain, nil
}

// authorityForm is what an authority is besides its settings.
type authorityForm struct {
	Name, Description, Group string
	Rate, InFlight           int
	Disabled, known          bool
}

// Describe names the fields.
func (f *authorityForm) Describe(s *setting.Form) {
	s.Text(&f.Name, "name", "Name").Required().MaxLength(200)
	s.Text(&f.Description, "description", "Description").MaxLength(1000)
	s.Choice(&f.Group, "group_id", "Organization group").Required().Lookup("groups")
	s.Int(&f.Rate, "rate_per_second", "Requests per second at most").Between(0, 10000).Advanced().Help("0: no limit.")
	s.Int(&f.InFlight, "max_in_flight", "Requests at once at most").Between(0, 1000).Advanced().Help("0: the usual number.")
	if f.known {
		s.Bool(&f.Disabled, "disabled", "Switched off").Help("Nothing is asked of it; what waits stays waiting.")
	}
}

type newAuthorityView struct {
	Kinds []kindLine
	CLI   []string
}

var chooseKindPage = view[newAuthorityView]("authority_kinds")

func (v *visit) newAuthorityPage() error {
	kind, err := v.Authorities.Kind(v.query("kind"))
	if v.query("kind") == "" {
		return chooseKindPage.show(v, http.StatusOK, newAuthorityView{Kinds: v.kinds(), CLI: []string{"chancery authority kinds"}})
	}
	if err != nil {
		return err
	}
	groups, err := v.groupOptions()
	if err != nil {
		return err
	}
	f := &authorityForm{}
	if len(groups) > 0 {
		f.Group = groups[0].Value
	}
	return v.editAuthorityForm(f, kind, nil, nil, nil)
}

func (v *visit) editAuthorityForm(f *authorityForm, kind ca.Kind, a *ra.Authority, posted url.Values, wrong error) error {
	groups, err := v.groupOptions()
	if err != nil {
		return err
	}
	settings := kind.New()
	setting.Defaults(settings)
	set := map[string]bool{}
	if a != nil {
		if err := setting.Load(settings, a.Settings); err != nil {
			v.Log.Warn("settings cannot all be read", "authority", a.ID, "error", err)
		}
		set = setSecrets(a.Settings)
	}
	known := fieldNames(f)
	for name := range fieldNames(settings) {
		known["settings."+name] = true
	}
	p := v.sort(wrong, known)
	sets := draw(f, drawing{values: posted, bad: p.byField, options: map[string][]option{"group_id": groups}})
	choose, err := v.chooseReferred(settings, a)
	if err != nil {
		return err
	}
	sets = append(sets, draw(settings, drawing{prefix: "settings.", values: posted, bad: p.byField, set: set, change: choose})...)
	data := editView{Title: "Add an authority: " + kind.Title, Crumb: link{"Authorities", "/authorities"}, Form: form{Action: v.r.URL.RequestURI(), Sets: sets, Problem: p.summary, Submit: "Add the authority", Cancel: "/authorities"},
		CLI: []string{"chancery authority add " + kind.ID + " --name NAME --group GROUP"}}
	if a != nil {
		data.Title, data.Crumb, data.Form.Submit, data.Form.Cancel = "Edit "+a.Name, link{a.Name, "/authorities/" + string(a.ID)}, "Save", "/authorities/"+string(a.ID)
		data.CLI = []string{"chancery authority update " + string(a.ID) + " --name NAME"}
	}
	return editPage.show(v, statusOf(wrong), data)
}

func (f *authorityForm) input(settings []byte) authority.Input {
	rate := float64(f.Rate)
	return authority.Input{GroupID: (*ra.GroupID)(&f.Group), Name: &f.Name, Description: &f.Description, Settings: settings, RatePerSecond: &rate, MaxInFlight: &f.InFlight, Disabled: &f.Disabled}
}

func (v *visit) newAuthority() error {
	kind, err := v.Authorities.Kind(v.query("kind"))
	if err != nil {
		return err
	}
	posted, err := v.form()
	if err != nil {
		return err
	}
	f := &authorityForm{}
	if err := setting.FromForm(f, posted); err != nil {
		return v.editAuthorityForm(f, kind, nil, posted, err)
	}
	a, err := v.Authorities.Create(v.ctx(), v.actor, kind.ID, f.input(settingsJSON(kind.New(), posted, "settings.")))
	if err != nil {
		return v.editAuthorityForm(f, kind, nil, posted, err)
	}
	return v.done("/authorities/"+string(a.ID), "The authority is added. Test the connection next.")
}

func (v *visit) authorityFormOf() (*authorityForm, ca.Kind, *ra.Authority, error) {
	a, err := v.loadAuthority()
	if err != nil {
		return nil, ca.Kind{}, nil, err
	}
	kind, err := v.Authorities.Kind(a.Kind)
	return &authorityForm{Name: a.Name, Description: a.Description, Group: string(a.GroupID), Rate: int(a.RatePerSecond), InFlight: a.MaxInFlight, Disabled: a.Disabled, known: true}, kind, a, err
}

func (v *visit) editAuthorityPage() error {
	f, kind, a, err := v.authorityFormOf()
	if err != nil {
		return err
	}
	return v.editAuthorityForm(f, kind, a, nil, nil)
}

func (v *visit) editAuthority() error {
	f, kind, a, err := v.authorityFormOf()
	if err != nil {
		return err
	}
	posted, err := v.form()
	if err != nil {
		return err
	}
	if err := setting.FromForm(f, posted); err != nil {
		return v.editAuthorityForm(f, kind, a, posted, err)
	}
	in := f.input(settingsJSON(kind.New(), posted, "settings."))
	if int(a.RatePerSecond) == f.Rate {
		in.RatePerSecond = nil // a fraction set elsewhere stays
	}
	if _, err := v.Authorities.Update(v.ctx(), v.actor, a.ID, in); err != nil {
		return v.editAuthorityForm(f, kind, a, posted, err)
	}
	return v.done("/authorities/"+string(a.ID), "The authority is changed.")
}

func (v *visit) deleteAuthorityPage() error { return v.askDeleteAuthority(nil) }

func (v *visit) askDeleteAuthority(wrong error) error {
	a, err := v.loadAuthority()
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Delete the authority", About: a.Name, Effect: []string{"Its settings and keys here are destroyed. This cannot be taken back.", "Only an authority that nothing refers to can be deleted; switch others off instead."},
		Form: form{Cancel: "/authorities/" + string(a.ID), Danger: true}, CLI: []string{"chancery authority delete " + string(a.ID)}}, nil, nil, wrong)
}

func (v *visit) deleteAuthority() error {
	a, err := v.loadAuthority()
	if err != nil {
		return err
	}
	if err := v.Authorities.Delete(v.ctx(), v.actor, a.ID); err != nil {
		return v.askDeleteAuthority(err)
	}
	return v.done("/authorities", "The authority "+a.Name+" is deleted.")
}
