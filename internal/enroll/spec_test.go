package enroll

import (
	"slices"
	"strings"
	"testing"

	"chancery/internal/ca"
	"chancery/internal/ca/embedded"
	"chancery/internal/ra"
)

func good() ra.TemplateSpec {
	s := ra.TemplateSpec{Subject: "CN={DeviceUid},O={Organization}", EKUs: []string{"clientAuth"}, Validity: 365, AutoRenew: true}
	normalize(&s)
	return s
}

func TestNormalize(t *testing.T) {
	s := ra.TemplateSpec{Subject: "CN=x", AutoRenew: true, Approvals: 2, EKUs: []string{"clientAuth", "1.2.3"}}
	normalize(&s)
	if s.KeyType != "rsa-2048" || s.KeyPlace != ra.KeyOnDevice || s.Usage != "both" || s.CSRPolicy != "match" || s.RenewBefore != 30 || s.ApprovalExpiry != 72 ||
		!slices.Equal(s.EKUs, []string{"1.3.6.1.5.5.7.3.2", "1.2.3"}) {
		t.Errorf("%+v", s)
	}
}

// behalf has a template ask on behalf of somebody.
func behalf(text string) func(*ra.TemplateSpec) {
	return func(s *ra.TemplateSpec) { s.Options = map[string]any{ca.RequesterOption: text} }
}

func TestCheckSpec(t *testing.T) {
	embedded := embedded.Kind()
	mute := ca.Kind{ID: "mute", Title: "Mute CA", Traits: ca.Traits{KeyPlaces: []ra.KeyPlace{ra.KeyOnDevice}, KeyTypes: []string{"rsa-2048"}}}
	if s := good(); check(&s, embedded) != nil {
		t.Fatalf("a good template: %v", check(&s, embedded))
	}
	onBehalf := good()
	if behalf(`{UserAttribute.domain}\{EnrollmentUser}`)(&onBehalf); check(&onBehalf, mute) != nil {
		t.Errorf("on behalf of the user: %v", check(&onBehalf, mute))
	}
	for name, c := range map[string]struct {
		kind   ca.Kind
		change func(*ra.TemplateSpec)
		fields []string
	}{
		"names nobody":        {embedded, func(s *ra.TemplateSpec) { s.Subject = "" }, []string{"subject"}},
		"unknown value":       {embedded, func(s *ra.TemplateSpec) { s.Subject = "CN={Nope}" }, []string{"subject"}},
		"not a name":          {embedded, func(s *ra.TemplateSpec) { s.Subject = "{DeviceUid}" }, []string{"subject"}},
		"literal too long":    {embedded, func(s *ra.TemplateSpec) { s.Subject = "CN={DeviceUid},OU=" + strings.Repeat("x", 65) }, []string{"subject"}},
		"literal country":     {embedded, func(s *ra.TemplateSpec) { s.Subject = "CN={DeviceUid},C=Germany" }, []string{"subject"}},
		"key type":            {embedded, func(s *ra.TemplateSpec) { s.KeyType = "rsa-1024" }, []string{"key_type"}},
		"further key type":    {embedded, func(s *ra.TemplateSpec) { s.KeyTypes = []string{"p-256", "dsa"} }, []string{"key_types[1]"}},
		"key the CA cannot":   {mute, func(s *ra.TemplateSpec) { s.KeyType, s.KeyTypes = "p-256", []string{"p-384"} }, []string{"key_type", "key_types[0]"}},
		"place the CA cannot": {embedded, func(s *ra.TemplateSpec) { s.KeyPlace = ra.KeyAtCA }, []string{"key_place"}},
		"forced on device":    {embedded, func(s *ra.TemplateSpec) { s.KeyPlace, s.ForceOnDevice = ra.KeyHere, true }, []string{"force_on_device"}},
		"Ed25519 encrypts":    {embedded, func(s *ra.TemplateSpec) { s.KeyTypes, s.Usage = []string{"ed25519"}, "encryption" }, []string{"usage"}},
		"words":               {embedded, func(s *ra.TemplateSpec) { s.Usage, s.CSRPolicy, s.RenewalMarker = "all", "trust", "dc" }, []string{"usage", "csr_policy", "renewal_marker"}},
		"events":              {embedded, func(s *ra.TemplateSpec) { s.RevokeOn = []string{"deletion", "rain"} }, []string{"revoke_on[1]"}},
		"SAN type":            {embedded, func(s *ra.TemplateSpec) { s.SANs = []ra.SANSpec{{Type: "fax", Value: "1"}} }, []string{"sans[0]"}},
		"SAN value": {embedded, func(s *ra.TemplateSpec) {
			s.SANs = []ra.SANSpec{{Type: "ip", Value: "1.2.3"}, {Type: "dns", Value: "a b"}}
		}, []string{"sans[0]", "sans[1]"}},
		"SAN lookup":         {embedded, func(s *ra.TemplateSpec) { s.SANs = []ra.SANSpec{{Type: "dns", Value: "{Host}"}} }, []string{"sans[0]"}},
		"SAN directory name": {embedded, func(s *ra.TemplateSpec) { s.SANs = []ra.SANSpec{{Type: "dirname", Value: "x"}} }, []string{"sans[0]"}},
		"too many SANs":      {embedded, func(s *ra.TemplateSpec) { s.SANs = make([]ra.SANSpec, 33) }, []string{"sans"}},
		"purpose":            {embedded, func(s *ra.TemplateSpec) { s.EKUs = []string{"clientAuth", "everything"} }, []string{"ekus[1]"}},
		"too many purposes":  {embedded, func(s *ra.TemplateSpec) { s.EKUs = slices.Repeat([]string{"1.2.3"}, 21) }, []string{"ekus"}},
		"numbers": {embedded, func(s *ra.TemplateSpec) {
			s.Validity, s.Grace, s.MissingGrace, s.Approvals, s.ApprovalExpiry = -1, 9000, -1, 6, 9000
		}, []string{"validity_days", "grace_hours", "missing_grace_hours", "approvals", "approval_expiry_hours"}},
		"renewal before issuance": {embedded, func(s *ra.TemplateSpec) { s.Validity, s.RenewBefore = 30, 30 }, []string{"renew_before_days"}},
		"cannot revoke":           {mute, func(s *ra.TemplateSpec) { s.RevokeOn, s.RevokeReplaced = []string{"deletion"}, true }, []string{"revoke_on", "revoke_replaced"}},
		"SID the CA cannot":       {mute, func(s *ra.TemplateSpec) { s.SID = true }, []string{"sid"}},
		"publish a device's key":  {embedded, func(s *ra.TemplateSpec) { s.Publish = ra.PublishSpec{Key: "directory"} }, []string{"publish.key"}},
		"profile field":           {embedded, func(s *ra.TemplateSpec) { s.Fields = map[string]string{"b": "{X}", "a": "{Y}"} }, []string{"fields.a", "fields.b"}},
		"behalf of a device":      {mute, behalf(`CORP\{DeviceReportedName}`), []string{"options.requester_name"}},
		"behalf by the device":    {mute, behalf(`{EmailDomain}\{EnrollmentUser}{DeviceAttribute.x}`), []string{"options.requester_name"}},
		"behalf of the group":     {mute, behalf(`{Realm}\{EnrollmentUser}`), []string{"options.requester_name"}},
		"behalf of one for all":   {mute, behalf(`CORP\Administrator`), []string{"options.requester_name"}},
		"behalf, escaped twice":   {mute, behalf(`CORP\\{EnrollmentUser}`), []string{"options.requester_name"}},
		"behalf of the unknown":   {mute, behalf(`CORP\{Nope}`), []string{"options.requester_name"}},
		"too many tests":          {embedded, func(s *ra.TemplateSpec) { s.Tests = make([]ra.TemplateTest, 51) }, []string{"tests"}},
		"everything at once": {embedded, func(s *ra.TemplateSpec) {
			s.Subject, s.KeyType, s.Usage, s.EKUs, s.SANs = "CN={Nope}", "x", "y", []string{"z"}, []ra.SANSpec{{Type: "q"}}
		}, []string{"subject", "sans[0]", "key_type", "usage", "ekus[0]"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := good()
			c.change(&s)
			err := check(&s, c.kind)
			if ra.KindOf(err) != ra.Invalid {
				t.Fatalf("error %v", err)
			}
			list := ra.AsError(err).Details
			if len(list) == 0 {
				list = []*ra.Error{ra.AsError(err)}
			}
			var fields []string
			for _, e := range list {
				fields = append(fields, e.Field)
				if e.Message == "" || e.Remedy == "" {
					t.Errorf("%s: no message or remedy: %+v", e.Field, e)
				}
			}
			if !slices.Equal(fields, c.fields) {
				t.Errorf("fields %q, want %q", fields, c.fields)
			}
		})
	}
}

func TestRunTests(t *testing.T) {
	tpl := template(ra.TemplateSpec{Subject: "CN={DeviceUid},O={Organization}", SANs: []ra.SANSpec{{Type: "upn", Value: "{UserPrincipalName}", Optional: true}}, SID: true, RenewalMarker: "ou"})
	values := map[string]string{"DeviceUid": "U1", "Organization": "A, B", "SecurityIdentifier": sid}
	full := map[string]string{"DeviceUid": "U1", "Organization": "A, B", "SecurityIdentifier": sid, "UserPrincipalName": "a@b"}
	tpl.Spec.Tests = []ra.TemplateTest{
		{Name: "right", Values: values, Want: ra.TemplateWant{Subject: `CN=U1,O=A\, B`}},
		{Name: "right with SAN", Values: full, Want: ra.TemplateWant{Subject: `CN=U1,O=A\, B`, SANs: []string{"upn:a@b"}}},
		{Name: "wrong subject", Values: values, Want: ra.TemplateWant{Subject: "CN=U1"}},
		{Name: "wrong SAN", Values: full, Want: ra.TemplateWant{Subject: `CN=U1,O=A\, B`}},
		{Name: "error wanted", Values: map[string]string{"DeviceUid": "U1"}, Want: ra.TemplateWant{Error: "{Organization} is empty"}},
		{Name: "other error wanted", Values: map[string]string{"DeviceUid": "U1"}, Want: ra.TemplateWant{Error: "{DeviceUid} is empty"}},
		{Name: "error wanted, none came", Values: values, Want: ra.TemplateWant{Error: "empty"}},
		{Name: "no values", Want: ra.TemplateWant{Error: "is empty"}},
	}
	want := []bool{true, true, false, false, true, false, false, true}
	for i, r := range RunTests(tpl) {
		if r.Passed != want[i] || r.Got == "" || r.Name != tpl.Spec.Tests[i].Name {
			t.Errorf("%s: passed %v, got %q", r.Name, r.Passed, r.Got)
		}
	}
}
