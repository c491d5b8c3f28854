package lint

import (
	"slices"
	"strings"
	"testing"
)

// valueRules are the rules of zlint that look at values, with the rule of ours
// that looks at every certificate. Each of ours is in faults.
var valueRules = map[string]string{
	"e_ext_san_dns_name_too_long":                     "san_value",
	"e_ext_san_dns_not_ia5_string":                    "san_form",
	"e_ext_san_empty_name":                            "san_value",
	"e_ext_san_no_entries":                            "san_form",
	"e_ext_san_not_critical_without_subject":          "san_critical",
	"e_ext_san_rfc822_format_invalid":                 "san_value",
	"e_ext_san_space_dns_name":                        "san_value",
	"e_ext_san_uri_format_invalid":                    "san_value",
	"e_ext_san_uri_not_ia5":                           "san_form",
	"e_ext_san_uri_relative":                          "san_value",
	"e_international_dns_name_not_unicode":            "san_value",
	"e_rfc_dnsname_empty_label":                       "san_value",
	"e_rfc_dnsname_hyphen_in_sld":                     "san_value",
	"e_rfc_dnsname_label_too_long":                    "san_value",
	"e_rfc_dnsname_underscore_in_sld":                 "san_value",
	"e_rsa_exp_negative":                              "public_key_strength",
	"e_rsa_fermat_factorization":                      "public_key_strength",
	"e_rsa_no_public_key":                             "public_key_strength",
	"e_san_bare_wildcard":                             "san_value",
	"e_san_dns_name_includes_null_char":               "san_value",
	"e_san_dns_name_starts_with_period":               "san_value",
	"e_san_wildcard_not_first":                        "san_value",
	"e_serial_number_longer_than_20_octets":           "serial_length",
	"e_serial_number_not_positive":                    "serial_positive",
	"e_subj_country_not_uppercase":                    "subject_encoding",
	"e_subject_common_name_max_length":                "subject_value",
	"e_subject_dn_country_not_printable_string":       "subject_encoding",
	"e_subject_dn_not_printable_characters":           "subject_value",
	"e_subject_dn_serial_number_max_length":           "subject_value",
	"e_subject_dn_serial_number_not_printable_string": "subject_encoding",
	"e_subject_email_max_length":                      "subject_value",
	"e_subject_empty_without_san":                     "names_somebody",
	"e_subject_given_name_max_length":                 "subject_value",
	"e_subject_locality_name_max_length":              "subject_value",
	"e_subject_not_dn":                                "subject_value",
	"e_subject_organization_name_max_length":          "subject_value",
	"e_subject_organizational_unit_name_max_length":   "subject_value",
	"e_subject_postal_code_max_length":                "subject_value",
	"e_subject_printable_string_badalpha":             "subject_encoding",
	"e_subject_state_name_max_length":                 "subject_value",
	"e_subject_street_address_max_length":             "subject_value",
	"e_subject_surname_max_length":                    "subject_value",
	"e_validity_time_not_positive":                    "validity_order",
	"e_utc_time_does_not_include_seconds":             "tbs_form",
	"e_utc_time_not_in_zulu":                          "tbs_form",
	"e_generalized_time_does_not_include_seconds":     "tbs_form",
	"e_generalized_time_includes_fraction_seconds":    "tbs_form",
	"e_generalized_time_not_in_zulu":                  "tbs_form",
	"e_wrong_time_format_pre2050":                     "validity_encoding",
}

// shapeRules look only at what belongs to the shape: which extensions there are
// and their flags, the whole value of every extension but the three of
// valueExtensions, the issuer, the algorithms.
var shapeRules = strings.Fields(`
e_basic_constraints_not_critical e_ca_subject_field_empty e_cert_contains_unique_identifier e_cert_ext_invalid_der
e_cert_extensions_version_not_3 e_cert_sig_alg_not_match_tbs_sig_alg e_cert_unique_identifier_version_not_2_or_3
e_distribution_point_incomplete e_ecdsa_allowed_ku e_ext_aia_marked_critical e_ext_authority_key_identifier_critical
e_ext_authority_key_identifier_no_key_identifier e_ext_cert_policy_disallowed_any_policy_qualifier e_ext_cert_policy_duplicate
e_ext_cert_policy_explicit_text_ia5_string e_ext_cert_policy_explicit_text_too_long e_ext_duplicate_extension
e_ext_freshest_crl_marked_critical e_ext_ian_dns_not_ia5_string e_ext_ian_empty_name e_ext_ian_no_entries
e_ext_ian_rfc822_format_invalid e_ext_ian_space_dns_name e_ext_ian_uri_format_invalid e_ext_ian_uri_host_not_fqdn_or_ip
e_ext_ian_uri_not_ia5 e_ext_ian_uri_relative e_ext_key_usage_cert_sign_without_ca e_ext_key_usage_without_bits
e_ext_name_constraints_not_critical e_ext_name_constraints_not_in_ca e_ext_policy_constraints_empty
e_ext_policy_constraints_not_critical e_ext_policy_map_any_policy e_ext_subject_directory_attr_critical
e_ext_subject_key_identifier_critical e_ext_subject_key_identifier_missing_ca e_ian_bare_wildcard
e_ian_dns_name_includes_null_char e_ian_dns_name_starts_with_period e_ian_wildcard_not_first e_incorrect_ku_encoding
e_inhibit_any_policy_not_critical e_issuer_dn_country_not_printable_string e_issuer_field_empty e_key_usage_incorrect_length
e_name_constraint_empty e_name_constraint_maximum_not_absent e_name_constraint_minimum_non_zero e_name_constraint_not_fqdn
e_path_len_constraint_improperly_included e_path_len_constraint_zero_or_less e_rsa_allowed_ku_ca e_rsa_allowed_ku_ee
e_rsa_allowed_ku_no_encipherment_ca e_spki_rsa_encryption_parameter_not_null e_subject_info_access_marked_critical
e_superfluous_ku_encoding e_tbs_signature_rsa_encryption_parameter_not_null
`)

// TestEveryRuleIsPlaced: zlint runs once for a shape, so a rule that looks at
// values needs a counterpart. A rule that a new version brings has to be put in
// one of the two lists by somebody who has read it.
func TestEveryRuleIsPlaced(t *testing.T) {
	rules, err := registry()
	if err != nil {
		t.Fatal(err)
	}
	present := map[string]bool{}
	for _, l := range rules.CertificateLints().Lints() {
		present[l.Name] = true
		if strings.HasPrefix(l.Name, "e_") && (valueRules[l.Name] != "") == slices.Contains(shapeRules, l.Name) {
			t.Errorf("rule %s is in none of the two lists, or in both: %s", l.Name, l.Description)
		}
	}
	for name := range valueRules {
		if !present[name] {
			t.Errorf("zlint has no rule %s any more", name)
		}
	}
	for _, name := range leftOut {
		if present[name] {
			t.Errorf("rule %s is asked all the same", name)
		}
	}
	if len(present) < 100 {
		t.Errorf("only %d rules are asked", len(present))
	}
}

// TestCounterpartsBite: every counterpart is one that a certificate in the tests
// has been refused for.
func TestCounterpartsBite(t *testing.T) {
	proven := map[string]bool{
		"tbs_form":            true, // TestForm, TestDates
		"public_key_strength": true, // TestClosePrimes
		"validity_encoding":   true, // TestDates
		"serial_positive":     true, // TestSerialForm
	}
	for _, c := range faults {
		proven[c.rule] = true
	}
	for name, rule := range valueRules {
		if !proven[rule] {
			t.Errorf("%s counts on %s, for which no test has a certificate", name, rule)
		}
	}
}

// TestDates: times in other forms than the RFC's one are refused.
func TestDates(t *testing.T) {
	w := newBench(t)
	good := w.tbs(w.template())
	for name, c := range map[string]struct{ from, to, rule string }{
		"no seconds": {"\x17\x0d261121120000Z", "\x17\x0b2611211200Z", "tbs_form"},
		"not Zulu":   {"\x17\x0d261121120000Z", "\x17\x11261121120000+0100", "tbs_form"},
		"fractions":  {"\x17\x0d261121120000Z", "\x18\x1120261121120000.5Z", "tbs_form"},
		"too early":  {"\x17\x0d261121120000Z", "\x18\x0f20261121120000Z", "validity_encoding"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := (&Linter{}).Check(replace(t, good, c.from, c.to), w.intent())
			wantRule(t, err, c.rule)
		})
	}
}

// TestSerialForm: negative and padded numbers, which no library writes.
func TestSerialForm(t *testing.T) {
	w := newBench(t)
	template := w.template()
	template.SerialNumber.SetBytes(append([]byte{0x41}, make([]byte, 15)...))
	good := w.tbs(template)
	number := "\x02\x10\x41" + strings.Repeat("\x00", 15)
	for name, to := range map[string]string{
		"negative": "\x02\x10\x81" + strings.Repeat("\x00", 15),
		"padded":   "\x02\x11\x00\x41" + strings.Repeat("\x00", 15),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := (&Linter{}).Check(replace(t, good, number, to), w.intent())
			wantRule(t, err, "serial_positive")
		})
	}
}

// replace changes a piece of a TBS and corrects the lengths around it, which are
// that of the whole and, for dates, that of the validity.
func replace(t *testing.T, raw []byte, from, to string) []byte {
	t.Helper()
	s := string(raw)
	at := strings.Index(s, from)
	if at < 0 || s[1] != 0x82 {
		t.Fatal("the piece to replace is not there")
	}
	grown := len(to) - len(from)
	out := []byte(s[:at] + to + s[at+len(from):])
	if from[0] == 0x17 {
		out[at-1] += byte(grown) // the length of the validity stands before its first date
	}
	total := int(raw[2])<<8 + int(raw[3]) + grown
	out[2], out[3] = byte(total>>8), byte(total)
	return out
}
