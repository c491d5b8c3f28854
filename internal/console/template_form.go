package console

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"chancery/internal/enroll"
	"chancery/internal/lookup"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/wire/pkixmsg"
)

// templateForm is what a template is besides its spec.
type templateForm struct{ Name, Description, Group, Authority string }

// Describe names the fields.
func (f *templateForm) Describe(s *setting.Form) {
	s.Text(&f.Name, "name", "Name").Required().MaxLength(200)
	s.Text(&f.Description, "description", "Description").MaxLength(1000)
	s.Choice(&f.Group, "group_id", "Organization group").Required().Lookup("groups").Help("Devices of this group and of those below it may use the template.")
	s.Choice(&f.Authority, "authority_id", "Authority").Required().Lookup("authorities")
}

// specForm is the part of a spec that has one value per field. Names are those
// of the spec, so that its errors find their inputs.
type specForm struct{ *ra.TemplateSpec }

// Describe names the fields.
func (f *specForm) Describe(s *setting.Form) {
	s.Section("Names", "What the certificate says about its holder. Lookup values such as {EnrollmentUser} are filled for each device.")
	s.Text(&f.Subject, "subject", "Subject").MaxLength(4000).Placeholder("CN={EnrollmentUser},O={Organization}")
	s.Section("Directory mapping", "")
	s.Bool(&f.SID, "sid", "Add the user's security identifier as an extension").Help("Active Directory maps the certificate to the account by it. It comes from the directory, never from a request.")
	s.Bool(&f.SIDInURI, "sid_in_uri", "Add it as a URI name too").Advanced()
	s.Section("Key", "")
	k := s.Choice(&f.KeyType, "key_type", "Key type").Default("rsa-2048")
	for _, t := range pkixmsg.KeyTypes {
		k.Options(setting.Option{Value: string(t), Label: keyTypeWords(string(t))})
	}
	s.Choice((*string)(&f.KeyPlace), "key_place", "Key made").Default(string(ra.KeyOnDevice)).Options(
		setting.Option{Value: string(ra.KeyOnDevice), Label: "On the device"}, setting.Option{Value: string(ra.KeyHere), Label: "Here, handed out once"}, setting.Option{Value: string(ra.KeyAtCA), Label: "At the authority"})
	s.Bool(&f.ForceOnDevice, "force_on_device", "Never anywhere but on the device").When("key_place", string(ra.KeyOnDevice)).Advanced()
	s.Choice(&f.Usage, "usage", "Use").Default("both").Options(setting.Option{Value: "both", Label: "Signing and encryption"}, setting.Option{Value: "signing", Label: "Signing"}, setting.Option{Value: "encryption", Label: "Encryption"})
	s.Bool(&f.ReuseKey, "reuse_key", "A renewal may keep the key").Advanced()
	s.Section("Life", "")
	s.Int((*int)(&f.Validity), "validity_days", "Validity in days").Between(0, 36500).Help("0: the authority decides.")
	s.Bool(&f.AutoRenew, "auto_renew", "Renew by itself")
	s.Int((*int)(&f.RenewBefore), "renew_before_days", "Days before the end").When("auto_renew", "true").Between(0, 3650).Help("0: 30 days.")
	s.Choice(&f.RenewalMarker, "renewal_marker", "Renewal marker in the subject").Options(setting.Option{Value: "cn", Label: "As a common name"}, setting.Option{Value: "ou", Label: "As an organizational unit"}).Advanced().
		Help("Lets an outside SCEP server's certificates be recognised again.")
	s.Bool(&f.RevokeReplaced, "revoke_replaced", "Revoke the old certificate once it is replaced")
	s.Int((*int)(&f.Grace), "grace_hours", "Grace in hours").When("revoke_replaced", "true").Between(0, 8760).Help("How long the old one stays good.")
	s.Int((*int)(&f.MissingGrace), "missing_grace_hours", "Grace in hours when a certificate is found missing").Between(0, 8760).Advanced()
	s.Section("Requests", "")
	s.Choice(&f.CSRPolicy, "csr_policy", "When a request asks for more").Default("match").Options(
		setting.Option{Value: "match", Label: "Refuse it"}, setting.Option{Value: "overwrite", Label: "Leave out what is beyond the template"})
	s.Int(&f.Approvals, "approvals", "People who must approve").Between(0, 5).Help("0: nobody has to.")
	s.Int((*int)(&f.ApprovalExpiry), "approval_expiry_hours", "Hours they have").Between(0, 8760).Help("0: 72 hours.")
	s.Bool(&f.Publish.Certificate, "publish_certificate", "Publish in the directory").
		Help("Each certificate is brought into userCertificate of its user's entry, and taken out when it is replaced, revoked or has ended. For users who come from a directory.")
	f.describePublish(s)
	s.Section("At the authority", "")
	s.Text(&f.IssuingTemplate, "issuing_template", "The authority's own template or profile").MaxLength(200).Help("For authorities that have some; the embedded CA has none.")
}

func keyTypeWords(t string) string {
	return map[string]string{"rsa-2048": "RSA 2048", "rsa-3072": "RSA 3072", "rsa-4096": "RSA 4096", "p-256": "P-256", "p-384": "P-384", "p-521": "P-521", "ed25519": "Ed25519"}[t]
}

// sanRow is one alternative name in the editor.
type sanRow struct {
	Index    int
	ID       string
	Types    []option
	Value    string
	Optional bool
	Problem  *trouble
}

// testRow is one of the template's own tests in the editor.
type testRow struct {
	Index         int
	ID            string
	Name, Values  string
	Subject, SANs string
	Error         string
	Problem       *trouble
}

var sanTypes = []option{{Value: "email", Label: "Mail address"}, {Value: "upn", Label: "User principal name"}, {Value: "dns", Label: "DNS name"}, {Value: "uri", Label: "URI"},
	{Value: "ip", Label: "IP address"}, {Value: "dirname", Label: "Directory name"}}

// readSpec reads a spec from what was posted. What cannot be read is an error
// that names its input; the rest is filled all the same.
func (v *visit) readSpec(posted url.Values, spec *ra.TemplateSpec, options setting.Describer) error {
	var p ra.Problems
	p.Merge("", fillForm(&specForm{spec}, posted, "spec."))
	spec.EKUs, spec.KeyTypes, spec.RevokeOn = orNil(lines(posted["spec.ekus"])), orNil(lines(posted["spec.key_types"])), orNil(lines(posted["spec.revoke_on"]))
	spec.SANs = readSANs(posted)
	fields, err := readAttributes(lines(posted["spec.fields"]))
	if err != nil {
		p.Merge("spec", ra.AsError(err).WithField("fields"))
	}
	spec.Fields = nil // an empty one would be a change
	if len(fields) > 0 {
		spec.Fields = fields
	}
	if spec.Tests, err = readTests(posted); err != nil {
		p.Merge("spec", err)
	}
	spec.Options = nil
	if options != nil {
		if err := json.Unmarshal(settingsJSON(options, posted, "spec.options."), &spec.Options); err != nil {
			return err
		}
	}
	return p.Err()
}

func readSANs(posted url.Values) []ra.SANSpec {
	var out []ra.SANSpec
	for i := range rowCount(posted, "san.", ".type") {
		at := func(name string) string { return strings.TrimSpace(posted.Get(fmt.Sprintf("san.%d.%s", i, name))) }
		if at("value") != "" {
			out = append(out, ra.SANSpec{Type: at("type"), Value: at("value"), Optional: isOn(at("optional"))})
		}
	}
	return out
}

func readTests(posted url.Values) ([]ra.TemplateTest, error) {
	var out []ra.TemplateTest
	var p ra.Problems
	for i := range rowCount(posted, "test.", ".name") {
		at := func(name string) string { return strings.TrimSpace(posted.Get(fmt.Sprintf("test.%d.%s", i, name))) }
		if at("name") == "" && at("values") == "" && at("subject") == "" && at("error") == "" {
			continue
		}
		values, err := readAttributes(lines([]string{at("values")}))
		if err != nil {
			p.Add(fmt.Sprintf("tests[%d]", len(out)), ra.AsError(err).Message, "Write each lookup value as Name=value.")
			values = map[string]string{}
		}
		out = append(out, ra.TemplateTest{Name: at("name"), Values: values, Want: ra.TemplateWant{Subject: at("subject"), SANs: orNil(lines([]string{at("sans")})), Error: at("error")}})
	}
	return out, p.Err()
}

// orNil gives nothing for an empty list, as a spec that was stored has it.
func orNil(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}

// maxRows bounds the rows that are read from one form.
const maxRows = 100

func rowCount(posted url.Values, before, after string) int {
	n := 0
	for n < maxRows && posted.Has(before+strconv.Itoa(n)+after) {
		n++
	}
	return n
}

// sanRows draws the alternative names with room for one more.
func sanRows(sans []ra.SANSpec, more int, bad map[string]*trouble) []sanRow {
	list := append(slices.Clone(sans), make([]ra.SANSpec, more)...)
	out := make([]sanRow, len(list))
	for i, s := range list {
		name := fmt.Sprintf("spec.sans[%d]", i)
		out[i] = sanRow{Index: i, ID: inputID(name), Value: s.Value, Optional: s.Optional, Problem: bad[name], Types: slices.Clone(sanTypes)}
		for j := range out[i].Types {
			out[i].Types[j].Selected = out[i].Types[j].Value == s.Type
		}
	}
	return out
}

func testRows(tests []ra.TemplateTest, more int, bad map[string]*trouble) []testRow {
	list := append(slices.Clone(tests), make([]ra.TemplateTest, more)...)
	out := make([]testRow, len(list))
	for i, t := range list {
		name := fmt.Sprintf("spec.tests[%d]", i)
		out[i] = testRow{Index: i, ID: inputID(name), Name: t.Name, Values: strings.Join(writeAttributes(t.Values), "\n"), Subject: t.Want.Subject,
			SANs: strings.Join(t.Want.SANs, "\n"), Error: t.Want.Error, Problem: bad[name]}
	}
	return out
}

// checks draws a set of boxes; what is chosen and not offered is left to a text
// below them.
func checks(name, label, help string, offered []option, chosen []string, bad map[string]*trouble) (in input, rest []string) {
	in = input{ID: inputID(name), Name: name, Label: label, Help: help, Kind: "checks", Problem: bad[name]}
	for _, o := range offered {
		o.Selected = slices.Contains(chosen, o.Value)
		in.Options = append(in.Options, o)
	}
	for _, c := range chosen {
		if !slices.ContainsFunc(offered, func(o option) bool { return o.Value == c }) {
			rest = append(rest, c)
		}
	}
	return in, rest
}

// purposeLabels are the purposes that have a box of their own.
var purposeLabels = map[string]string{"clientAuth": "Client authentication", "serverAuth": "Server authentication", "emailProtection": "Mail protection", "smartcardLogon": "Smart card sign-in",
	"kdc": "Kerberos KDC", "pkinitClientAuth": "Kerberos client", "ipsecIKE": "IPsec IKE", "eapOverLAN": "EAP over LAN"}

// ekuInputs draws the common purposes as boxes and the others as lines.
func ekuInputs(chosen []string, bad map[string]*trouble) []input {
	var offered []option
	for _, p := range pkixmsg.Purposes {
		if label := purposeLabels[p.Name]; label != "" {
			offered = append(offered, option{Value: p.OID, Label: label})
		}
	}
	var tidy []string
	for _, c := range chosen {
		if oid, err := pkixmsg.ParsePurpose(c); err == nil {
			c = oid
		}
		tidy = append(tidy, c)
	}
	boxes, rest := checks("spec.ekus", "Extended key usage", "What relying parties may take the certificate for. Windows needs client authentication for sign-in.", offered, tidy, bad)
	other := input{ID: inputID("spec.ekus") + "-other", Name: "spec.ekus", Label: "Others", Kind: "multiline", Rows: 2, Mono: true, Value: strings.Join(purposeWords(rest), "\n"), Placeholder: "documentSigning",
		Help: "Names or object identifiers, one per line."}
	return []input{boxes, other}
}

func keyTypeInput(chosen []string, bad map[string]*trouble) input {
	var offered []option
	for _, t := range pkixmsg.KeyTypes {
		offered = append(offered, option{Value: string(t), Label: keyTypeWords(string(t))})
	}
	in, _ := checks("spec.key_types", "Further key types a device may bring", "", offered, chosen, bad)
	return in
}

func revokeInput(chosen []string, bad map[string]*trouble) input {
	var offered []option
	for _, e := range enroll.RevokeEvents {
		offered = append(offered, option{Value: e, Label: strings.ToUpper(e[:1]) + words(e[1:])})
	}
	in, _ := checks("spec.revoke_on", "Revoke on", "", offered, chosen, bad)
	return in
}

// lookupGroup is the list of lookup values of one noun, to help who writes.
type lookupGroup struct {
	Title  string
	Values []lookup.Value
}

func lookupGroups() []lookupGroup {
	out := []lookupGroup{{Title: "Of the user"}, {Title: "Of the device"}, {Title: "Of the group"}}
	at := map[lookup.Entity]int{lookup.OfUser: 0, lookup.OfDevice: 1, lookup.OfGroup: 2}
	for _, value := range lookup.Values {
		g := &out[at[value.Entity]]
		g.Values = append(g.Values, value)
	}
	return out
}
