package ndes

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"chancery/internal/ca"
	"chancery/internal/ca/scep"
	"chancery/internal/httpauth"
	"chancery/internal/wire/mscepmsg"
)

// testID is for whom the challenge of a test is fetched: the next test within its
// life gets the same one.
const testID = "test_connection"

// Check goes the way to the server, and then to the challenge page up to where it
// asks for a login. Beyond that it goes only where the settings say so, because the
// page makes a challenge for everybody who gets to see it.
func (c *Connector) Check(ctx context.Context, report func(ca.Step)) {
	probes := c.Probes()
	if c.page != nil {
		probes = append(probes,
			scep.Probe{Name: "challenge page", Run: c.probePage},
			scep.Probe{Name: "login", Run: c.probeLogin},
			scep.Probe{Name: "cache", Run: c.probeCache})
		if c.settings.TestChallenge {
			probes = append(probes, scep.Probe{Name: "challenge", Run: c.probeChallenge})
		}
	}
	scep.Run(ctx, c.env.Now, report, probes...)
}

// probePage looks whether the page is there and asks for a login. A page that is
// shown to anybody would make a challenge for this very look, so one that does not
// ask for a login is looked at only where that is wanted.
func (c *Connector) probePage(ctx context.Context) (ca.StepState, string, string) {
	if httpauth.Scheme(c.settings.Login) == httpauth.None && !c.settings.TestChallenge {
		state, detail, remedy := scep.ProbeConnect(ctx, c.env, c.page.url)
		if state != ca.StepOK {
			return state, detail, remedy
		}
		return ca.StepOK, "The server of the page is reached. The page itself was not opened: without a login that would spend a challenge.", ""
	}
	if httpauth.Scheme(c.settings.Login) == httpauth.None {
		return ca.StepOK, "The page is opened without a login, below.", ""
	}
	anonymous := *c.page.web
	anonymous.Login = httpauth.Login{}
	res, err := c.page.get(ctx, &anonymous)
	if err != nil {
		return scep.Failed(c.page.unreachable(err))
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusOK:
		return ca.StepWarning, "The page is shown to everybody, without a login. This look has spent a challenge.",
			"Disable anonymous access to mscep_admin in IIS; whoever reads the page can enrol."
	case res.StatusCode != http.StatusUnauthorized:
		return scep.Failed(c.page.statusError(res))
	}
	offers := httpauth.Offers(res.Header)
	fits := map[httpauth.Scheme][]string{httpauth.Basic: {"basic"}, httpauth.NTLM: {"ntlm", "negotiate"}, httpauth.Kerberos: {"negotiate"}, httpauth.Auto: {"basic", "ntlm", "negotiate"}}
	if !overlap(fits[httpauth.Scheme(c.settings.Login)], offers) {
		return scep.Failed(c.page.loginError(offers))
	}
	if !slices.Contains(offers, "ntlm") && !slices.Contains(offers, "negotiate") && !httpauth.Private(res.Request.URL) {
		return ca.StepFailed, "The page offers Basic only, and over http a password is not sent.", "Use an https address, or enable Windows authentication for the page."
	}
	return ca.StepOK, "The page is there and asks for a login by " + list(offers) + ".", ""
}

// probeLogin proves the credentials as far as that costs nothing: a KDC can be
// asked without the server.
func (c *Connector) probeLogin(ctx context.Context) (ca.StepState, string, string) {
	login := httpauth.Scheme(c.settings.Login)
	switch {
	case login == httpauth.None:
		return ca.StepOK, "No login is set.", ""
	case login == httpauth.Kerberos || login == httpauth.Auto && c.settings.Realm != "":
		if err := c.page.web.Prove(ctx); err != nil {
			return scep.Failed(err)
		}
		return ca.StepOK, "The KDC accepted the account and gave a ticket for the server.", ""
	case c.settings.TestChallenge:
		return ca.StepOK, "The login is proven by the challenge, below.", ""
	}
	return ca.StepOK, "User and password were not proven: only opening the page would, and that spends a challenge.", ""
}

// probeCache compares what is out with what the server keeps.
func (c *Connector) probeCache(ctx context.Context) (ca.StepState, string, string) {
	out, waiting, err := c.env.Slots.Out(ctx)
	if err != nil {
		return scep.Failed(err)
	}
	order := c.page.order()
	detail := fmt.Sprintf("%d of %d challenges are out, %d requests wait for one; %d more are left to others.", out, order.Slots, waiting, c.settings.CacheReserve)
	if out >= order.Slots && waiting > 0 {
		return ca.StepWarning, detail, "Raise PasswordMax on the server and the number of challenges it keeps here, so that devices wait less."
	}
	return ca.StepOK, detail, ""
}

// probeChallenge fetches a challenge, within the account, and compares it and the
// thumbprint beside it with what is known.
func (c *Connector) probeChallenge(ctx context.Context) (ca.StepState, string, string) {
	var shown *mscepmsg.Page
	slot, err := c.page.take(ctx, testID, &shown)
	if err != nil {
		return scep.Failed(err)
	}
	if shown == nil {
		return ca.StepOK, fmt.Sprintf("The challenge of an earlier test is still out, until %s; no other was fetched.", slot.ExpiresAt.UTC().Format("15:04 MST")), ""
	}
	if shown.NeverExpires {
		return ca.StepWarning, "The server shows one challenge to everybody, for ever (single password mode).", "Choose the challenge type static, or set UseSinglePassword on the server to 0."
	}
	if shown.Lifetime > 0 && shown.Lifetime != c.settings.ChallengeLife {
		return ca.StepWarning, fmt.Sprintf("The server keeps a challenge for %s, and %s are set.", shown.Lifetime, c.settings.ChallengeLife), "Set the life of a challenge to what the server says."
	}
	chain, err := c.Chain(ctx)
	if err != nil {
		return scep.Failed(err)
	}
	if shown.Thumbprint != "" && scep.Thumbprint(chain[0].Raw, len(shown.Thumbprint)) != shown.Thumbprint {
		return ca.StepFailed, "The thumbprint on the challenge page is not that of the issuing CA that SCEP gives.", "SCEP URL and challenge URL are of different servers, or somebody is in between. Compare both with the CA's administrator."
	}
	return ca.StepOK, fmt.Sprintf("A challenge of %d characters was fetched; the thumbprint on the page is that of the CA.", len(shown.Challenge)), ""
}
