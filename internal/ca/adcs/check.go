package adcs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"chancery/internal/adcsclient"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/rpclogin"
	"chancery/internal/wire/adcsmsg"
)

// probe is one step of a check; what follows a failed one is skipped.
type probe struct {
	name string
	run  func(ctx context.Context) (state ca.StepState, detail, remedy string)
}

// Check goes the way to the CA step by step. It asks for no certificate.
func (c *Connector) Check(ctx context.Context, report func(ca.Step)) {
	failed := false
	for _, p := range c.probes() {
		if failed {
			report(ca.Step{Name: p.name, State: ca.StepSkipped})
			continue
		}
		began := c.env.Now()
		within, cancel := context.WithTimeout(ctx, c.settings.Timeout)
		state, detail, remedy := p.run(within)
		cancel()
		report(ca.Step{Name: p.name, State: state, Detail: detail, Remedy: remedy, Took: c.env.Now().Sub(began)})
		failed = state == ca.StepFailed
	}
}

func (c *Connector) probes() []probe {
	out := []probe{{"name", c.probeName}, {"port " + c.port(), c.probePort}, {"login", c.probeLogin}}
	for _, way := range c.ways(false) {
		out = append(out, probe{"requests by " + string(way), func(ctx context.Context) (ca.StepState, string, string) { return c.probePing(ctx, way) }})
	}
	if c.manages() {
		out = append(out, probe{"CA certificate", c.probeCertificate}, probe{"templates", c.probeTemplates}, probe{"rights", c.probeRights})
	}
	if c.agent != nil {
		out = append(out, probe{"enrollment agent", c.probeAgent})
	}
	return out
}

func failedStep(err error) (ca.StepState, string, string) {
	e := ra.AsError(err)
	return ca.StepFailed, e.Message, e.Remedy
}

// probeName sees whether the server's name leads anywhere, by the way that
// everything else goes.
func (c *Connector) probeName(ctx context.Context) (ca.StepState, string, string) {
	conn, err := c.dial(ctx)
	var unknown *net.DNSError
	if errors.As(err, &unknown) {
		return ca.StepFailed, "The name of the server is not known to the DNS.", "Correct the server, or the name servers that this machine asks."
	}
	where := "is known"
	if err == nil {
		where = "leads to " + conn.RemoteAddr().String()
		conn.Close()
	}
	_, notName := netip.ParseAddr(c.host)
	if c.settings.Realm != "" && c.settings.Login != string(rpclogin.NTLM) && (notName == nil || !strings.Contains(c.host, ".")) {
		return ca.StepWarning, "The name of the server " + where + ". Kerberos knows hosts by their full names only.", "Enter the host's full DNS name."
	}
	return ca.StepOK, "The name of the server " + where + ".", ""
}

// dial connects to where the first protocol begins: the endpoint mapper, or SMB.
func (c *Connector) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return c.env.Dial(ctx, "tcp", net.JoinHostPort(c.host, c.port()))
}

func (c *Connector) port() string {
	if c.ways(false)[0] == adcsclient.Pipe {
		return "445"
	}
	return "135"
}

// probePort says whether it is open.
func (c *Connector) probePort(ctx context.Context) (ca.StepState, string, string) {
	conn, err := c.dial(ctx)
	if err != nil {
		var mine *ra.Error
		if errors.As(err, &mine) {
			return failedStep(mine)
		}
		return ca.StepFailed, "Nothing answers at TCP port " + c.port() + " of " + c.host + ".", "Check the server, and that the firewalls let TCP 135 and the dynamic ports (49152-65535) through, or 445 for the named pipe."
	}
	conn.Close()
	return ca.StepOK, "TCP port " + c.port() + " is open.", ""
}

// probeLogin begins a login, which for Kerberos asks the KDC.
func (c *Connector) probeLogin(ctx context.Context) (ca.StepState, string, string) {
	s, err := c.account.Security(ctx, c.host)
	if err == nil {
		_, err = s.Next(nil)
	}
	if err != nil {
		return failedStep(err)
	}
	if c.settings.Realm != "" && c.settings.Login != string(rpclogin.NTLM) {
		return ca.StepOK, "The login is ready; the KDC was asked for a ticket.", ""
	}
	return ca.StepOK, "The login is ready; the server is to judge it below.", ""
}

// probePing asks the CA whether it is there, by one protocol: this is where the
// dynamic port, the login and the name of the CA are proven.
func (c *Connector) probePing(ctx context.Context, way adcsclient.Way) (ca.StepState, string, string) {
	name, err := c.authority(ctx)
	detail := ""
	if err == nil && way == adcsclient.RPC {
		var port int
		if port, err = adcsclient.Port(ctx, adcsclient.Options{Host: c.host, RPC: c.rpcOptions(ctx)}); err == nil {
			detail = " The endpoint mapper leads to port " + strconv.Itoa(port) + "."
		}
	}
	if err == nil {
		err = c.by(ctx, way, name, func(ctx context.Context, client *adcsclient.Client) error { return client.Ping(ctx) })
	}
	if err != nil {
		state, detail, remedy := failedStep(err)
		if len(c.settings.Protocols) > 1 && way != c.ways(false)[0] && way != adcsclient.DCOM {
			state = ca.StepWarning // another one works
		}
		return state, detail, remedy
	}
	return ca.StepOK, fmt.Sprintf("%s answers by %s under its name %q.%s", c.host, way, name, detail), ""
}

// soon is how long before its end a certificate is worth a warning.
const soon = 30 * 24 * time.Hour

func (c *Connector) probeCertificate(ctx context.Context) (ca.StepState, string, string) {
	chain, err := c.Chain(ctx)
	if err != nil {
		return failedStep(err)
	}
	own, now := chain[0], c.env.Now()
	detail := fmt.Sprintf("%s, valid until %s. SHA-256 fingerprint %x.", own.Subject.CommonName, day(own.NotAfter), sha256.Sum256(own.Raw))
	top := chain[len(chain)-1]
	switch {
	case now.Before(own.NotBefore) || now.After(own.NotAfter):
		return ca.StepFailed, "The CA's certificate is not valid now. " + detail, "Renew the CA certificate, or correct this server's clock."
	case own.NotAfter.Sub(now) < soon:
		return ca.StepWarning, "The CA's certificate ends soon. " + detail, "Renew the CA certificate in time; devices have to learn of the new one."
	case top.CheckSignatureFrom(top) != nil:
		return ca.StepWarning, "The root is not among the CA's certificates. " + detail, "Add the certificates above the CA to the CA certificates; devices need them."
	case len(c.pinned) == 0:
		return ca.StepWarning, "The CA is believed without proof. " + detail, "Compare the fingerprint with what the CA's administrator sees, then enter the certificate under CA certificates."
	}
	return ca.StepOK, "It is the one that is set. " + detail, ""
}

func (c *Connector) probeTemplates(ctx context.Context) (ca.StepState, string, string) {
	list, err := c.Catalog(ctx, "templates", nil)
	if err != nil {
		return failedStep(err)
	}
	names := make([]string, len(list))
	for i, p := range list {
		names[i] = p.ID
	}
	if len(names) == 0 {
		return ca.StepWarning, "The CA issues no template.", "Publish the templates to be used at the CA (Certificate Templates, New, Certificate Template to Issue)."
	}
	shown, more := names, ""
	if len(names) > 20 {
		shown, more = names[:20], fmt.Sprintf(" and %d more", len(names)-20)
	}
	return ca.StepOK, fmt.Sprintf("It issues %d: %s%s.", len(names), strings.Join(shown, ", "), more), ""
}

// probeRights tells what the account may do at the CA. The rights on templates are
// not among these; they show when a certificate is asked for.
func (c *Connector) probeRights(ctx context.Context) (ca.StepState, string, string) {
	var roles uint32
	err := c.with(ctx, true, func(ctx context.Context, client *adcsclient.Client) (err error) {
		roles, err = client.MyRoles(ctx)
		return err
	})
	if err != nil {
		return failedStep(err)
	}
	var has, lacks []string
	for _, right := range []struct {
		bit    uint32
		name   string
		wanted bool
	}{
		{adcsmsg.RoleRequest, "Request Certificates", true}, {adcsmsg.RoleRead, "Read", true},
		{adcsmsg.RoleManageRequest, "Issue and Manage Certificates", true}, {adcsmsg.RoleManageCA, "Manage CA", c.settings.PublishCRL},
	} {
		switch {
		case roles&right.bit != 0:
			has = append(has, right.name)
		case right.wanted:
			lacks = append(lacks, right.name)
		}
	}
	detail := "The account has " + strings.Join(has, ", ") + "."
	switch {
	case slices.Contains(lacks, "Request Certificates"):
		return ca.StepFailed, "The account may not request certificates from this CA.", "Give it Request Certificates and Read in the security properties of the CA."
	case len(lacks) > 0:
		return ca.StepWarning, detail + " It lacks " + strings.Join(lacks, ", ") + ".",
			"Give it these rights in the security properties of the CA: Read shows the CA's database, for what it issued before and after an answer was lost, Issue and Manage Certificates revokes, Manage CA publishes the CRL."
	}
	return ca.StepOK, detail, ""
}

func (c *Connector) probeAgent(context.Context) (ca.StepState, string, string) {
	leaf, now := c.agent.Certificate, c.env.Now()
	detail := fmt.Sprintf("%s, valid until %s.", leaf.Subject, day(leaf.NotAfter))
	switch {
	case now.After(leaf.NotAfter) || now.Before(leaf.NotBefore):
		return ca.StepFailed, "The enrollment agent's certificate is not valid now. " + detail, "Request a new one and enter it here."
	case leaf.NotAfter.Sub(now) < soon:
		return ca.StepWarning, "The enrollment agent's certificate ends soon. " + detail, "Request a new one in time."
	}
	return ca.StepOK, detail, ""
}
