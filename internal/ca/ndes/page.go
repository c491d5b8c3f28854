package ndes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ca/scep"
	"chancery/internal/httpauth"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/wire/mscepmsg"
)

// page is the challenge page as a source of challenges.
type page struct {
	settings *Settings
	env      ca.Env
	url      string
	web      *httpauth.Transport
}

// Wanted reports that requests carry a challenge.
func (p *page) Wanted() bool { return true }

// Get gives the challenge for a request: the one that is out for it, or a new one
// when its turn has come.
func (p *page) Get(ctx context.Context, id string) (scep.Given, error) {
	slot, err := p.take(ctx, id, new(*mscepmsg.Page))
	if err != nil {
		return scep.Given{}, err
	}
	until := slot.ExpiresAt.Add(-margin)
	if left := slot.ExpiresAt.Sub(p.env.Now()); left < margin {
		return scep.Given{}, ra.Errorf(ra.Unreachable, "The challenge for this request is about to expire.").
			WithRemedy("A new one is fetched once the server has forgotten it.").WithRetry(left + time.Second)
	}
	return scep.Given{Secret: slot.Secret, ExpiresAt: until}, nil
}

// take opens the page for id unless its challenge is out already; shown is set when
// it was opened.
func (p *page) take(ctx context.Context, id string, shown **mscepmsg.Page) (ca.Slot, error) {
	slot, err := p.env.Slots.Take(ctx, id, p.order(), func(ctx context.Context) (secret.Text, error) {
		got, err := p.open(ctx)
		if err != nil {
			return secret.Text{}, err
		}
		*shown = got
		return secret.New(got.Challenge), p.measure(got)
	})
	if err != nil {
		return ca.Slot{}, ra.AsError(err)
	}
	return slot, nil
}

// Used gives the place in the server's cache back.
func (p *page) Used(ctx context.Context, id string) error { return p.env.Slots.Free(ctx, id) }

// order is what the server's cache allows us.
func (p *page) order() ca.SlotOrder {
	return ca.SlotOrder{Slots: p.settings.CacheSize - p.settings.CacheReserve, Life: p.settings.ChallengeLife}
}

// measure holds a challenge against the length that devices are told.
func (p *page) measure(shown *mscepmsg.Page) error {
	want := p.settings.ChallengeLength
	if want == 0 || len(shown.Challenge) == want {
		return nil
	}
	return ra.Errorf(ra.Invalid, "The server's challenges have %d characters, and %d are set.", len(shown.Challenge), want).WithField("challenge_length").WithRetry(ra.Never).
		WithRemedy("Set the SCEP challenge length to %d, or PasswordLength on the server to %d.", len(shown.Challenge), want/2)
}

// open opens the page and reads it. Every success makes a challenge. An error that
// wraps ca.NoChallenge made none for sure.
func (p *page) open(ctx context.Context) (*mscepmsg.Page, error) {
	res, err := p.get(ctx, p.web)
	if err != nil {
		var early *httpauth.NotLoggedIn
		said := p.unreachable(err)
		if errors.As(err, &early) {
			return nil, &ca.NoChallenge{Err: said}
		}
		return nil, said
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, &ca.NoChallenge{Err: p.statusError(res)}
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, mscepmsg.MaxBytes+1))
	if err != nil {
		return nil, p.unreachable(err)
	}
	shown, err := mscepmsg.Parse(body)
	if err != nil {
		return nil, &ca.NoChallenge{Err: pageError(err)}
	}
	return shown, nil
}

// within bounds one opening of the page with all legs of the login.
const within = 28 * time.Second

// get asks for the page. It follows no redirect.
func (p *page) get(ctx context.Context, by http.RoundTripper) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Cache-Control", "no-cache")
	web := http.Client{Transport: by, Timeout: within, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return web.Do(r)
}

// unreachable says that the page did not come, in the words of whoever knows why.
func (p *page) unreachable(err error) error {
	var mine *ra.Error
	if errors.As(err, &mine) && mine.Kind != ra.Internal {
		said := *mine
		said.Err = err
		if said.Kind == ra.Denied {
			said.Kind = ra.Unreachable
		}
		return &said
	}
	return ra.Errorf(ra.Unreachable, "The challenge page does not answer.").WithRemedy("Check the challenge URL, the network and the server.").WithCause(err)
}

// statusError says what an HTTP status of the page means. None of them made a
// challenge.
func (p *page) statusError(res *http.Response) error {
	e := ra.Errorf(ra.RefusedByCA, "The challenge page answered HTTP %d.", res.StatusCode)
	switch status := res.StatusCode; {
	case status == http.StatusUnauthorized:
		return p.loginError(httpauth.Offers(res.Header))
	case status == http.StatusForbidden:
		e.Message = "The challenge page is forbidden (HTTP 403)."
		if p.web.Way.Certificate == nil {
			return e.WithRemedy("The server wants a client certificate, or does not let this address in. Add the certificate, or allow the address in IIS.").WithField("client_certificate")
		}
		return e.WithRemedy("The server does not accept the client certificate, or not from this address. Check that the server trusts its issuer.").WithField("client_certificate")
	case status == http.StatusNotFound:
		e.Message = "There is no challenge page at the challenge URL (HTTP 404)."
		return e.WithRemedy("The usual address ends in /certsrv/mscep_admin/ (PasswordVDir on the server).").WithField("challenge_url")
	case status >= 300 && status < 400:
		e.Message = "The challenge URL leads elsewhere."
		return e.WithRemedy("Enter the address it leads to, with the slash at its end; credentials are not sent after a redirect.").WithField("challenge_url")
	case status == http.StatusServiceUnavailable:
		e.Kind, e.Message = ra.Unreachable, "The service behind the challenge page is stopped (HTTP 503)."
		return e.WithRemedy("On the server, start the application pool SCEP, and enter the password of its account again.").WithRetry(5 * time.Minute)
	case status == http.StatusInternalServerError:
		e.Kind, e.Message = ra.Unreachable, "The service behind the challenge page fails (HTTP 500)."
		return e.WithRemedy("Often its RA certificates have expired, or the CA is not reached: see the event log of the server.").WithRetry(5 * time.Minute)
	case status > 500:
		e.Kind = ra.Unreachable
		return e.WithRemedy("A server in between does not reach it.").WithRetry(time.Minute)
	}
	return e.WithRemedy("See the log of the server.").WithField("challenge_url")
}

// loginError is about a 401 in the end.
func (p *page) loginError(offers []string) error {
	e := ra.Errorf(ra.RefusedByCA, "The challenge page did not accept user and password (HTTP 401).").WithField("password")
	login := httpauth.Scheme(p.settings.Login)
	fits := map[httpauth.Scheme][]string{httpauth.Basic: {"basic"}, httpauth.NTLM: {"ntlm", "negotiate"}, httpauth.Kerberos: {"negotiate"}}[login]
	switch {
	case login == httpauth.None:
		e.Message, e.Field = "The challenge page asks for a login, and none is set (HTTP 401).", "login"
		return e.WithRemedy("Choose how to log in; the page offers %s.", list(offers))
	case len(fits) > 0 && !overlap(fits, offers):
		e.Message, e.Field = fmt.Sprintf("The challenge page does not offer the login that is set (HTTP 401); it offers %s.", list(offers)), "login"
		return e.WithRemedy("Choose one of those, or enable the other for the page in IIS.")
	}
	return e.WithRemedy("Enter the account as DOMAIN\\name with its password. If both are right, a server with Extended Protection set to required refuses every login from here: set it to accept.")
}

// list names schemes for people; what is unknown is not repeated.
func list(offers []string) string {
	names := map[string]string{"basic": "Basic", "ntlm": "NTLM", "negotiate": "Negotiate", "digest": "Digest", "bearer": "Bearer"}
	var out []string
	for _, o := range offers {
		if n := names[o]; n != "" {
			out = append(out, n)
		}
	}
	if len(out) == 0 {
		return "nothing that is known here"
	}
	return strings.Join(out, ", ")
}

func overlap(a, b []string) bool {
	for _, x := range a {
		for _, y := range b {
			if x == y {
				return true
			}
		}
	}
	return false
}

// pageError says why a page shows no challenge.
func pageError(err error) error {
	e := &ra.Error{Kind: ra.RefusedByCA, Err: err}
	switch {
	case errors.Is(err, mscepmsg.ErrCacheFull):
		e.Kind, e.Message, e.Retry = ra.Unreachable, "The server's password cache is full: too many challenges are out and unused.", 5*time.Minute
		return e.WithRemedy("Others open the page too: leave them more (challenges left to others), raise PasswordMax on the server, or wait an hour; iisreset forgets all.")
	case errors.Is(err, mscepmsg.ErrNoPermission):
		e.Message = "The account may not enrol: the server gives it no challenge."
		return e.WithRemedy("Grant it Enroll on all three templates that the server is set to. On a stand-alone CA make it a local administrator of the server.").WithField("user")
	case errors.Is(err, mscepmsg.ErrNoTemplate):
		e.Message = "No certificate template is set on the server."
		return e.WithRemedy("Set SignatureTemplate, EncryptionTemplate and GeneralPurposeTemplate under HKLM\\SOFTWARE\\Microsoft\\Cryptography\\MSCEP to templates that the CA issues, then run iisreset.")
	case errors.Is(err, mscepmsg.ErrNoPassword):
		e.Message = "The server enforces no password, and its page shows none."
		return e.WithRemedy("Choose the challenge type none, or set EnforcePassword on the server to 1.").WithField("challenge_type")
	case errors.Is(err, mscepmsg.ErrUnsaid):
		e.Message = "The challenge page shows no challenge, and the reason is in a language that is not read here."
		return e.WithRemedy("Open it in a browser with the same account. It says that the password cache is full, that the account may not enrol, or that no template is set.")
	}
	e.Message = "What is at the challenge URL is not the challenge page."
	return e.WithRemedy("Open it in a browser: a sign-in form, a proxy or another application answers there.").WithField("challenge_url")
}
