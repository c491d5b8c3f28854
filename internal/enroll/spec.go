package enroll

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"chancery/internal/ca"
	"chancery/internal/lookup"
	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

// The words a template's fields may hold, in display order.
var (
	Usages         = []string{"both", "signing", "encryption"}
	RevokeEvents   = []string{"unenrolment", "deletion", "profile_removal"}
	RenewalMarkers = []string{"", "cn", "ou"}
	CSRPolicies    = []string{"match", "overwrite"}
	KeyReceivers   = []string{"", ra.KeyToDirectory, ra.KeyToService}
)

// The largest numbers of things in a template.
const (
	maxSANs  = 32
	maxEKUs  = 20
	maxTests = 50
)

// normalize fills what a person may leave out of a template.
func normalize(s *ra.TemplateSpec) {
	def := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	def(&s.KeyType, "rsa-2048")
	def((*string)(&s.KeyPlace), string(ra.KeyOnDevice))
	def(&s.Usage, "both")
	def(&s.CSRPolicy, "match")
	if s.AutoRenew && s.RenewBefore == 0 {
		s.RenewBefore = 30
	}
	if s.Approvals > 0 && s.ApprovalExpiry == 0 {
		s.ApprovalExpiry = 72
	}
	for i, e := range s.EKUs {
		if oid, err := pkixmsg.ParsePurpose(e); err == nil {
			s.EKUs[i] = oid
		}
	}
}

// check reports every bad field of a template at once, with what the kind of
// its authority can do in mind.
func check(s *ra.TemplateSpec, kind ca.Kind) error {
	var p ra.Problems
	if s.Subject == "" && len(s.SANs) == 0 {
		p.Add("subject", "The certificate would name nobody.", "Give a subject such as CN={EnrollmentUser}, or an alternative name.")
	}
	if _, err := lookup.Names(s.Subject); err != nil {
		p.Merge("subject", sentence(err))
	} else if name, err := pkixmsg.ParseDN(s.Subject); err != nil {
		p.Merge("subject", plain(err))
	} else {
		p.Merge("subject", plain(literals(name)))
	}
	checkSANs(s, kind, &p)
	if s.SID && !kind.Traits.SID {
		p.Add("sid", fmt.Sprintf("%s cannot put a security identifier into certificates.", kind.Title), "Leave it out, or map the certificates in the directory by other means.")
	}
	checkRequester(s, &p)
	checkKey(s, kind, &p)
	oneOf(&p, "usage", s.Usage, Usages)
	oneOf(&p, "csr_policy", s.CSRPolicy, CSRPolicies)
	oneOf(&p, "renewal_marker", s.RenewalMarker, RenewalMarkers)
	for i, e := range s.RevokeOn {
		oneOf(&p, fmt.Sprintf("revoke_on[%d]", i), e, RevokeEvents)
	}
	if len(s.EKUs) > maxEKUs {
		p.Add("ekus", fmt.Sprintf("A template has at most %d extended key usages.", maxEKUs), "Leave out what nobody asks for.")
	}
	for i, e := range s.EKUs {
		if _, err := pkixmsg.ParsePurpose(e); err != nil {
			p.Merge(fmt.Sprintf("ekus[%d]", i), plain(err))
		}
	}
	between(&p, "validity_days", int(s.Validity), 0, 36500)
	between(&p, "renew_before_days", int(s.RenewBefore), 0, 3650)
	between(&p, "grace_hours", int(s.Grace), 0, 8760)
	between(&p, "missing_grace_hours", int(s.MissingGrace), 0, 8760)
	between(&p, "approvals", s.Approvals, 0, 5)
	between(&p, "approval_expiry_hours", int(s.ApprovalExpiry), 0, 8760)
	if s.AutoRenew && s.Validity > 0 && s.RenewBefore >= s.Validity {
		p.Add("renew_before_days", "A certificate would be due for renewal before it is issued.", "Renew fewer days before expiry than the certificate is valid.")
	}
	if !kind.Traits.Revoke {
		cannot := func(field string) {
			p.Add(field, fmt.Sprintf("%s cannot be told to revoke.", kind.Title), "Leave it out; the certificate then ends by its validity.")
		}
		if len(s.RevokeOn) > 0 {
			cannot("revoke_on")
		}
		if s.RevokeReplaced {
			cannot("revoke_replaced")
		}
	}
	checkPublish(&s.Publish, s.KeyPlace, &p)
	for _, key := range slices.Sorted(maps.Keys(s.Fields)) {
		if _, err := lookup.Names(s.Fields[key]); err != nil {
			p.Merge("fields."+key, sentence(err))
		}
	}
	if len(s.Tests) > maxTests {
		p.Add("tests", fmt.Sprintf("A template has at most %d tests.", maxTests), "Keep the ones that tell cases apart.")
	}
	return p.Err()
}

// literals checks the parts of a subject that are the same for everybody.
func literals(name pkixmsg.Name) error {
	for _, rdn := range name {
		for _, a := range rdn {
			if used, _ := lookup.Names(a.Value); len(used) > 0 {
				continue
			}
			if _, err := (pkixmsg.Name{{a}}).DER(); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkSANs(s *ra.TemplateSpec, kind ca.Kind, p *ra.Problems) {
	if len(s.SANs) > maxSANs {
		p.Add("sans", fmt.Sprintf("A template has at most %d alternative names.", maxSANs), "Leave some out.")
		return
	}
	for i, san := range s.SANs {
		field := fmt.Sprintf("sans[%d]", i)
		t, err := pkixmsg.ParseNameType(san.Type)
		if err != nil {
			p.Merge(field, plain(err))
			continue
		}
		if possible := kind.Traits.SANs; possible != nil && !slices.Contains(possible, t) {
			p.Add(field, fmt.Sprintf("%s cannot put a name of type %s into certificates.", kind.Title, t), fmt.Sprintf("Use one of %v.", possible))
			continue
		}
		names, err := lookup.Names(san.Value)
		if err != nil {
			p.Merge(field, sentence(err))
			continue
		}
		if t == pkixmsg.DirName {
			_, err = pkixmsg.ParseDN(san.Value)
			p.Merge(field, plain(err))
		} else if len(names) == 0 {
			p.Merge(field, plain(pkixmsg.GeneralName{Type: t, Value: san.Value}.Check(true)))
		}
	}
}

// checkRequester lets a template ask on behalf of the user alone: what a device
// reports of itself, or a fixed name, would get everybody a certificate of somebody
// else.
func checkRequester(s *ra.TemplateSpec, p *ra.Problems) {
	const field = "options." + ca.RequesterOption
	text := requester(s)
	if text == "" {
		return
	}
	names, err := lookup.Names(text)
	if err != nil {
		p.Merge(field, sentence(err))
		return
	}
	for _, name := range names {
		if of, known := lookup.EntityOf(name); known && of != lookup.OfUser {
			p.Add(field, fmt.Sprintf("{%s} is a value of the %s; a certificate is asked for on behalf of a user.", name, of), "Use lookup values of users only, such as {EnrollmentUser}.")
		}
	}
	if strings.Count(text, `\`) > 1 {
		p.Add(field, "The requester name has more than one backslash.", `One stands between domain and account: CORP\{EnrollmentUser}.`)
	}
	if len(names) == 0 {
		p.Add(field, "The requester name is the same for everybody.", "Use a lookup value of users, such as {EnrollmentUser}.")
	}
}

func checkKey(s *ra.TemplateSpec, kind ca.Kind, p *ra.Problems) {
	if _, err := pkixmsg.ParseKeyType(s.KeyType); err != nil {
		p.Merge("key_type", plain(err))
	} else if t := kind.Traits.KeyTypes; len(t) > 0 && !slices.Contains(t, s.KeyType) {
		p.Add("key_type", fmt.Sprintf("%s does not certify %s keys.", kind.Title, s.KeyType), fmt.Sprintf("Use one of %v.", t))
	}
	for i, k := range s.KeyTypes {
		field := fmt.Sprintf("key_types[%d]", i)
		if _, err := pkixmsg.ParseKeyType(k); err != nil {
			p.Merge(field, plain(err))
		} else if t := kind.Traits.KeyTypes; len(t) > 0 && !slices.Contains(t, k) {
			p.Add(field, fmt.Sprintf("%s does not certify %s keys.", kind.Title, k), fmt.Sprintf("Use any of %v.", t))
		}
	}
	if !slices.Contains(kind.Traits.KeyPlaces, s.KeyPlace) {
		p.Add("key_place", fmt.Sprintf("%s does not work with keys made at %q.", kind.Title, s.KeyPlace), fmt.Sprintf("Use one of %v.", kind.Traits.KeyPlaces))
	}
	if s.ForceOnDevice && s.KeyPlace != ra.KeyOnDevice {
		p.Add("force_on_device", "The template forces keys on the device and has them made elsewhere.", "Set key_place to device, or do not force it.")
	}
	if s.Usage == "encryption" && slices.Contains(append([]string{s.KeyType}, s.KeyTypes...), string(pkixmsg.Ed25519)) {
		p.Add("usage", "An Ed25519 key can only sign.", "Use signing, or another key type.")
	}
}

// checkPublish holds what is published against itself and against where keys are
// made: one that never was here goes nowhere.
func checkPublish(s *ra.PublishSpec, place ra.KeyPlace, p *ra.Problems) {
	oneOf(p, "publish.key", s.Key, KeyReceivers)
	if s.Key != "" && place == ra.KeyOnDevice {
		p.Add("publish.key", "Keys that are made on the device stay there.", "Have keys made here or at the authority (key_place), or publish no key.")
	}
	if s.Key == ra.KeyToService && s.KeyService == "" {
		p.Add("publish.key_service", "It is not said which key service gets the key.", "Name one by its ID: chancery key-service list.")
	}
	if s.Key != ra.KeyToService && s.KeyService != "" {
		p.Add("publish.key_service", "A key service is named, and keys do not go to one.", "Leave it out, or set publish.key to service.")
	}
	if s.KeepFormer && s.Key != ra.KeyToDirectory {
		p.Add("publish.keep_former", "Former keys are kept in directories only.", "Leave it out, or set publish.key to directory.")
	}
	if s.WithdrawKey && s.Key != ra.KeyToDirectory {
		p.Add("publish.withdraw_key", "Keys are taken back from directories only.", "Leave it out, or set publish.key to directory.")
	}
}

func oneOf(p *ra.Problems, field, value string, words []string) {
	if !slices.Contains(words, value) {
		p.Add(field, fmt.Sprintf("%.60q is not possible here.", value), fmt.Sprintf("Use one of %q.", words))
	}
}

func between(p *ra.Problems, field string, n, low, high int) {
	if n < low || n > high {
		p.Add(field, fmt.Sprintf("%d is out of range.", n), fmt.Sprintf("Use a whole number between %d and %d.", low, high))
	}
}

// sentence ends a message that package lookup leaves open for a name.
func sentence(err error) error {
	e := *ra.AsError(err)
	if n := len(e.Message); n > 0 && e.Message[n-1] != '.' {
		e.Message += "."
	}
	return &e
}
