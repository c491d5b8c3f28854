package ldapdir

import (
	"context"
	"slices"

	"chancery/internal/ra"
)

// Root is what a server says about itself and its directory (RFC 4512 §5.1).
type Root struct {
	ActiveDirectory bool
	Host            string // dnsHostName
	Domain          string // default naming context, where the users are
	Configuration   string // naming context of the forest's configuration
	Contexts        []string
	USN             int64 // highestCommittedUSN: the number of the last change on this server
	settings        string
}

// capability 1.2.840.113556.1.4.800 says that a server is Active Directory
// (MS-ADTS 3.1.1.3.4.3.1).
const capability = "1.2.840.113556.1.4.800"

// Root reads the root entry.
func (c *Conn) Root(ctx context.Context) (*Root, error) {
	e, err := c.Read(ctx, "", "namingContexts", "defaultNamingContext", "configurationNamingContext", "dnsHostName", "dsServiceName", "highestCommittedUSN", "supportedCapabilities")
	if err != nil {
		return nil, err
	}
	r := &Root{Host: e.Text("dnsHostName"), Domain: e.Text("defaultNamingContext"), Configuration: e.Text("configurationNamingContext"),
		Contexts: e.Texts("namingContexts"), settings: e.Text("dsServiceName"), ActiveDirectory: slices.Contains(e.Texts("supportedCapabilities"), capability)}
	r.USN, _ = e.Number("highestCommittedUSN")
	return r, nil
}

// Invocation identifies the database behind a server of Active Directory: update
// sequence numbers of one say nothing about another, nor about the same one
// after it was restored (MS-ADTS 3.1.1.1.9).
func (c *Conn) Invocation(ctx context.Context, r *Root) (string, error) {
	if r.settings == "" {
		return "", ra.Errorf(ra.Invalid, "The server %s is no domain controller of Active Directory.", c.server).WithRemedy("Enter the host name of a domain controller.")
	}
	e, err := c.Read(ctx, r.settings, "invocationId")
	if err != nil {
		return "", err
	}
	id, err := GUID(e.Bytes("invocationId"))
	if err != nil {
		return "", ra.Errorf(ra.Denied, "The account may not read which database answers.").
			WithRemedy("Give it the right to read the configuration of the forest, which authenticated users have by default.").WithCause(err)
	}
	return id, nil
}
