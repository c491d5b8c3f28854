package resource

import (
	"encoding/json"
	"encoding/pem"
	"strings"
	"time"

	"chancery/internal/ra"
)

// Template says what certificates of one sort look like and how they live.
type Template struct {
	ID          string          `json:"id"`
	GroupID     string          `json:"group_id"`
	AuthorityID string          `json:"authority_id"`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Spec        ra.TemplateSpec `json:"spec"`
	Revision    int             `json:"revision" doc:"Grows with every change of spec."`
	Disabled    bool            `json:"disabled,omitempty"`
	Times
}

// OfTemplate gives a template in wire form.
func OfTemplate(t *ra.Template) Template {
	return Template{ID: string(t.ID), GroupID: string(t.GroupID), AuthorityID: string(t.AuthorityID), Name: t.Name, Description: t.Description,
		Spec: t.Spec, Revision: t.Revision, Disabled: t.Disabled, Times: timesOf(t.Times)}
}

// TemplateInput is what somebody says about a template.
type TemplateInput struct {
	GroupID     *string          `json:"group_id,omitempty"`
	AuthorityID *string          `json:"authority_id,omitempty"`
	Name        *string          `json:"name,omitempty"`
	Description *string          `json:"description,omitempty"`
	Spec        *ra.TemplateSpec `json:"spec,omitempty" doc:"Replaces the whole of it. What is left out takes its usual value."`
	Disabled    *bool            `json:"disabled,omitempty"`
}

// TemplateQuery narrows a list of templates.
type TemplateQuery struct {
	Group     string `query:"group_id" doc:"This group and everything below it."`
	Authority string `query:"authority_id"`
	Text      string `query:"text" doc:"Part of the name."`
	PageQuery
}

// PreviewInput asks what a template gives for a device or user.
type PreviewInput struct {
	DeviceID string         `json:"device_id,omitempty"`
	UserID   string         `json:"user_id,omitempty" doc:"Left out: the device's user."`
	Template *TemplateInput `json:"template,omitempty" doc:"Changes to look at before they are saved; for a new template all of it."`
}

// Preview is what a template gives, before anything is asked for.
type Preview struct {
	Fill       json.RawMessage `json:"fill" doc:"Everything the certificate will say."`
	CSR        string          `json:"csr" doc:"PEM of the request as it would be, with a throw-away key."`
	Tree       json.RawMessage `json:"tree" doc:"DER structure of the request."`
	Extensions []Extension     `json:"extensions" nullable:"false"`
	Tests      []TestResult    `json:"tests" nullable:"false"`
}

// Extension is one certificate extension in words.
type Extension struct {
	OID      string `json:"oid"`
	Name     string `json:"name"`
	Critical bool   `json:"critical,omitempty"`
	Value    string `json:"value,omitempty"`
}

// TestResult is how one of a template's own tests went.
type TestResult struct {
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
	Got    string `json:"got"`
}

// PEM gives DER as a PEM block of a kind.
func PEM(kind string, der []byte) string {
	var out strings.Builder
	out.Grow(2*len(kind) + 64 + len(der)*65/48 + 4)          // lines of 48 octets, between the two marks
	_ = pem.Encode(&out, &pem.Block{Type: kind, Bytes: der}) // a builder takes everything
	return out.String()
}

// PEMChain gives DER certificates as PEM.
func PEMChain(chain [][]byte) string {
	out := ""
	for _, der := range chain {
		out += PEM("CERTIFICATE", der)
	}
	return out
}

// LookupValue is a name that texts of templates may hold.
type LookupValue struct {
	Name   string `json:"name" doc:"Written as {Name}."`
	Entity string `json:"entity" doc:"user, device or group."`
	Help   string `json:"help"`
}

// Endpoint is a SCEP address.
type Endpoint struct {
	ID         string          `json:"id"`
	GroupID    string          `json:"group_id"`
	TemplateID string          `json:"template_id"`
	Name       string          `json:"name"`
	Path       string          `json:"path" doc:"What devices append to the server's public URL."`
	Settings   json.RawMessage `json:"settings"`
	Disabled   bool            `json:"disabled,omitempty"`
	Times
}

// OfEndpoint gives an endpoint in wire form.
func OfEndpoint(e *ra.Endpoint) Endpoint {
	return Endpoint{ID: string(e.ID), GroupID: string(e.GroupID), TemplateID: string(e.TemplateID), Name: e.Name, Path: "/scep/" + e.Name,
		Settings: raw(e.Settings), Disabled: e.Disabled, Times: timesOf(e.Times)}
}

// EndpointInput is what somebody says about an endpoint.
type EndpointInput struct {
	GroupID    *string         `json:"group_id,omitempty" doc:"Left out: the template's."`
	TemplateID *string         `json:"template_id,omitempty"`
	Name       *string         `json:"name,omitempty" doc:"Becomes part of the address."`
	Settings   json.RawMessage `json:"settings,omitempty" doc:"In a change, only what changes."`
	Disabled   *bool           `json:"disabled,omitempty"`
}

// EndpointQuery narrows a list of endpoints.
type EndpointQuery struct {
	Group    string `query:"group_id" doc:"This group and everything below it."`
	Template string `query:"template_id"`
	Text     string `query:"text" doc:"Part of the name."`
	PageQuery
}

// Challenge is a one-time SCEP challenge for one device at one endpoint.
type Challenge struct {
	ID         string    `json:"id"`
	EndpointID string    `json:"endpoint_id"`
	TemplateID string    `json:"template_id"`
	DeviceID   string    `json:"device_id"`
	MaxUses    int       `json:"max_uses"`
	Uses       int       `json:"uses"`
	ExpiresAt  time.Time `json:"expires_at"`
	RequestID  string    `json:"request_id,omitempty" doc:"The request that used it last."`
	CreatedBy  string    `json:"created_by,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
	Challenge  string    `json:"challenge,omitempty" doc:"The text itself; only in the answer that makes it."`
	Path       string    `json:"path,omitempty" doc:"What the device appends to the server's public URL to enrol, with the challenge in it where the endpoint takes it from there; only in the answer that makes it."`
}

// OfChallenge gives a challenge in wire form, without its text.
func OfChallenge(c *ra.Challenge) Challenge {
	return Challenge{ID: string(c.ID), EndpointID: string(c.EndpointID), TemplateID: string(c.TemplateID), DeviceID: string(c.DeviceID), MaxUses: c.MaxUses,
		Uses: c.Uses, ExpiresAt: c.ExpiresAt.UTC(), RequestID: string(c.RequestID), CreatedBy: c.CreatedBy, CreatedAt: c.CreatedAt.UTC()}
}

// ChallengeInput asks for a challenge.
type ChallengeInput struct {
	EndpointID string `json:"endpoint_id"`
	DeviceID   string `json:"device_id"`
	Life       string `json:"life,omitempty" doc:"A time span such as 90m or 24h; left out: the endpoint's."`
	Uses       int    `json:"uses,omitempty" doc:"Left out: the endpoint's."`
}

// ChallengeQuery narrows a list of challenges.
type ChallengeQuery struct {
	Device   string `query:"device_id" required:"true" doc:"Whose challenges."`
	Endpoint string `query:"endpoint_id"`
	Open     bool   `query:"open" doc:"Only those neither spent nor expired."`
	PageQuery
}
