package adpki

import (
	"fmt"
	"strings"
)

// Requirement is one thing a template asks of a request, in words for the
// picker.
type Requirement struct {
	Text string
	// Impossible means that a registration authority cannot meet it: the
	// template is of no use here.
	Impossible bool
}

// Requirements says what the template asks for, the impossible first.
func (t *Template) Requirements() []Requirement {
	var must, can []Requirement
	never := func(on bool, text string) {
		if on {
			must = append(must, Requirement{text, true})
		}
	}
	needs := func(on bool, format string, args ...any) {
		if on {
			can = append(can, Requirement{Text: fmt.Sprintf(format, args...)})
		}
	}
	never(t.Key.Has(Archival), "The private key is archived at the authority, and the key never leaves the device here.")
	never(t.Key.Has(AttestationRequired), "The key must be attested by a TPM, which only Windows can do on the device itself.")
	never(t.Signatures > 1, fmt.Sprintf("The request needs %d agents' signatures; the authority takes one.", t.Signatures))
	never(t.General.Has(CrossCA), "It is for cross certificates between authorities.")
	never(t.Enroll.Has(UserInteraction), "Windows asks the user during enrollment.")

	needs(t.Names.Has(SupplySubject), "Subject and alternative names are supplied in the request.")
	needs(!t.Names.Has(SupplySubject), "Subject and alternative names are built from the directory, from the account that requests or is enrolled for: %s.", t.nameParts())
	needs(t.Signatures == 1, "The request is signed by an enrollment agent%s.", t.agentWords())
	needs(t.Enroll.Has(Approval), "A certificate manager approves each request; until then it is pending.")
	needs(t.MinKeyBits > 0 || t.Agent.Algorithm != "", "The key is %s.", t.keyWords())
	needs(t.Key.Has(SameKeyRenewal), "A renewal keeps the key.")
	needs(t.Enroll.Has(PoliciesFromRequest), "Issuance policies are taken from the request.")
	needs(t.Enroll.Has(NoSecurityExtension), "The certificate gets no SID extension, so strong mapping needs the SID in an alternative name or a mapping on the account.")
	needs(t.General.Has(AuthorityType), "It makes certification authorities.")
	return append(must, can...)
}

// Impossible gives the reasons why requests from here cannot meet the template.
func (t *Template) Impossible() []string {
	var reasons []string
	for _, r := range t.Requirements() {
		if r.Impossible {
			reasons = append(reasons, r.Text)
		}
	}
	return reasons
}

// nameParts lists what the account must have for a name that is built.
func (t *Template) nameParts() string {
	parts := (t.Names &^ (OldSubject | SupplyAltName)).Words()
	if len(parts) == 0 {
		return "no name is chosen"
	}
	return strings.Join(parts, ", ")
}

func (t *Template) agentWords() string {
	if len(t.Agent.ApplicationPolicies) == 0 && len(t.Agent.IssuancePolicies) == 0 {
		return ""
	}
	if len(t.Agent.ApplicationPolicies) == 1 && t.Agent.ApplicationPolicies[0] == PurposeEnrollAgent && len(t.Agent.IssuancePolicies) == 0 {
		return " (a certificate for Certificate Request Agent)"
	}
	return " whose certificate has " + strings.Join(append(append([]string{}, t.Agent.ApplicationPolicies...), t.Agent.IssuancePolicies...), ", ")
}

func (t *Template) keyWords() string {
	var parts []string
	if t.Agent.Algorithm != "" {
		parts = append(parts, t.Agent.Algorithm)
	}
	if t.MinKeyBits > 0 {
		parts = append(parts, fmt.Sprintf("%d bits or more", t.MinKeyBits))
	}
	return strings.Join(parts, ", ")
}
