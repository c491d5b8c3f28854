package inventory

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

// Limits on what is stored, in characters.
const (
	maxName       = 200
	maxText       = 1000 // distinguished names, values of attributes
	maxAddress    = 254
	maxAttributes = 50 // of one user or device
)

var (
	addressForm   = regexp.MustCompile(`^[^\s@<>()\[\]\\,;:"]{1,64}@` + domain + `$`)
	domainForm    = regexp.MustCompile(`^` + domain + `$`)
	attributeForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)
	countryForm   = regexp.MustCompile(`^[A-Z]{2}$`)
)

const domain = `[\p{L}\p{N}]([\p{L}\p{N}-]{0,61}[\p{L}\p{N}])?(\.[\p{L}\p{N}]([\p{L}\p{N}-]{0,61}[\p{L}\p{N}])?)*`

// setText takes over a text without the white space around it.
func setText(to *string, from *string) {
	if from != nil {
		*to = strings.TrimSpace(*from)
	}
}

// checkText reports a text that is too long or cannot be stored or shown.
func checkText(p *ra.Problems, field, value string, most int) {
	switch {
	case !utf8.ValidString(value):
		p.Add(field, "This text is not UTF-8.", "Save it as UTF-8 and try again.")
	case strings.ContainsFunc(value, unicode.IsControl):
		p.Add(field, "This text holds a control character.", "Remove line breaks, tabs and the like.")
	case utf8.RuneCountInString(value) > most:
		p.Add(field, fmt.Sprintf("This text is longer than %d characters.", most), "Shorten it.")
	}
}

// checkName is checkText for a text that must not be empty.
func checkName(p *ra.Problems, field, value, remedy string) {
	if value == "" {
		p.Add(field, "This must not be empty.", remedy)
		return
	}
	checkText(p, field, value, maxName)
}

func checkAddress(p *ra.Problems, field, value, what string) {
	if value != "" && (len(value) > maxAddress || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) || !addressForm.MatchString(value)) {
		p.Add(field, "This is not "+what+".", "Write it as name@example.com, or leave it empty.")
	}
}

func checkSID(p *ra.Problems, value string) {
	if value == "" {
		return
	}
	var e *pkixmsg.Error
	if err := pkixmsg.CheckSID(value); errors.As(err, &e) {
		p.Add("sid", e.Message, e.Remedy)
	}
}

func checkAttributes(p *ra.Problems, attributes map[string]string) {
	if len(attributes) > maxAttributes {
		p.Add("attributes", fmt.Sprintf("There are more than %d attributes.", maxAttributes), "Leave out what no template uses.")
		return
	}
	for _, key := range slices.Sorted(maps.Keys(attributes)) {
		if !attributeForm.MatchString(key) {
			p.Add("attributes", fmt.Sprintf("%.80q is not a name for an attribute.", key), "Use 1 to 64 letters, digits, dots, hyphens and underscores.")
			continue
		}
		checkText(p, "attributes."+key, attributes[key], maxText)
	}
}

// filled gives attributes without those that are empty, never nil, so that two
// ways to say the same compare equal.
func filled(attributes map[string]string) map[string]string {
	out := map[string]string{}
	for key, value := range attributes {
		if value = strings.TrimSpace(value); value != "" {
			out[strings.TrimSpace(key)] = value
		}
	}
	return out
}
