package adpki

import (
	"errors"
	"strconv"
	"strings"
)

// AgentRules is what a template says about agents' signatures and, because
// later schemas put it in the same attribute, about algorithms.
type AgentRules struct {
	ApplicationPolicies []string // key purposes an agent's certificate must have
	IssuancePolicies    []string // policies it must have

	Algorithm       string // of the key, such as RSA or ECDSA_P256; empty: any
	Hash            string // for the signature of the request
	Usage           uint32 // NCrypt key usage; 0xFFFFFF: all
	Symmetric       string
	SymmetricBits   int
	KeyAccess       string // SDDL of the key
	OtherProperties []string
}

const maxProperties = 64

var errProperties = errors.New("is not a list of properties")

// parseAgentRules reads msPKI-RA-Application-Policies: object identifiers, or,
// in schema 3 and in schema 4 without the legacy provider, triplets of name,
// type and value with a back-quote behind each (MS-CRTD §2.23). No identifier
// has a back-quote, so it alone decides.
func parseAgentRules(values []string) (AgentRules, error) {
	var r AgentRules
	for _, v := range values {
		if !strings.Contains(v, "`") {
			r.ApplicationPolicies = append(r.ApplicationPolicies, v)
			continue
		}
		if err := r.properties(v); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (r *AgentRules) properties(list string) error {
	parts := strings.Split(strings.TrimSuffix(list, "`"), "`")
	if len(parts)%3 != 0 || len(parts) > 3*maxProperties {
		return errProperties
	}
	for ; len(parts) > 0; parts = parts[3:] {
		if err := r.property(parts[0], parts[1], parts[2]); err != nil {
			return err
		}
	}
	return nil
}

func (r *AgentRules) property(name, kind, value string) error {
	var number uint64
	switch kind {
	case "PZPWSTR":
	case "DWORD":
		var err error
		if number, err = strconv.ParseUint(value, 10, 32); err != nil {
			return errProperties
		}
	default:
		return errProperties
	}
	switch {
	case name == "msPKI-RA-Application-Policies" && kind == "PZPWSTR":
		for oid := range strings.SplitSeq(value, ",") {
			r.ApplicationPolicies = append(r.ApplicationPolicies, strings.TrimSpace(oid))
		}
	case name == "msPKI-Asymmetric-Algorithm" && kind == "PZPWSTR":
		r.Algorithm = value
	case name == "msPKI-Hash-Algorithm" && kind == "PZPWSTR":
		r.Hash = value
	case name == "msPKI-Symmetric-Algorithm" && kind == "PZPWSTR":
		r.Symmetric = value
	case name == "msPKI-Key-Security-Descriptor" && kind == "PZPWSTR":
		r.KeyAccess = value
	case name == "msPKI-Key-Usage" && kind == "DWORD":
		r.Usage = uint32(number)
	case name == "msPKI-Symmetric-Key-Length" && kind == "DWORD":
		r.SymmetricBits = int(number)
	default:
		r.OtherProperties = append(r.OtherProperties, name)
	}
	return nil
}
