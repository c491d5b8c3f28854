package keydelivery

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"chancery/internal/audit"
	"chancery/internal/egress"
	"chancery/internal/keypolicy"
	"chancery/internal/ra"
	"chancery/internal/store"
)

const (
	// maxReply is how much of an answer is read, so that the connection can be
	// used again; what it says is of no interest.
	maxReply = 64 << 10
	// maxPatience bounds how long a service may ask us to wait.
	maxPatience = 6 * time.Hour
)

// web is a key service that is open.
type web struct {
	s         *Service
	id        ra.KeyServiceID
	name      string
	v         *keypolicy.Settings
	recipient *x509.Certificate
	client    *http.Client
	gone      bool
}

func (s *Service) openService(ctx context.Context, id ra.KeyServiceID) (receiver, error) {
	var k *ra.KeyService
	var v *keypolicy.Settings
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if k, err = tx.KeyService(id); err != nil {
			return err
		}
		v, err = s.settings(tx, k)
		return err
	}); err != nil {
		return nil, err
	}
	if k.Disabled {
		return nil, ra.Errorf(ra.Conflict, "The key service %q is switched off.", k.Name).WithRemedy("Switch it on: keys are waiting to be brought there.").WithRetry(time.Hour)
	}
	w, err := s.web(k, v)
	if err != nil {
		return nil, err
	}
	if err := w.current(); err != nil {
		return nil, err
	}
	return w, nil
}

// web readies the client of a key service.
func (s *Service) web(k *ra.KeyService, v *keypolicy.Settings) (*web, error) {
	recipient, err := v.Certificate()
	if err != nil {
		return nil, err
	}
	client := egress.Client(s.dial, v.Timeout)
	client.Transport.(*http.Transport).TLSClientConfig = tlsConfig(v)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &web{s: s, id: k.ID, name: k.Name, v: v, recipient: recipient, client: client}, nil
}

func tlsConfig(v *keypolicy.Settings) *tls.Config {
	c := &tls.Config{}
	if v.Roots != "" {
		c.RootCAs = x509.NewCertPool()
		c.RootCAs.AppendCertsFromPEM([]byte(v.Roots))
	}
	return c
}

// current refuses to encrypt for a certificate that is not valid now: its key
// may be anybody's by now.
func (w *web) current() error {
	if now := w.s.Now(); now.After(w.recipient.NotAfter) || now.Before(w.recipient.NotBefore) {
		return ra.Errorf(ra.Conflict, "The recipient's certificate of the key service %q is not valid now.", w.name).WithField("settings.recipient").
			WithRemedy("Enter the certificate that the service has now.").WithRetry(time.Hour)
	}
	return nil
}

func (w *web) close()       { w.client.CloseIdleConnections() }
func (w *web) closed() bool { return w.gone }

// bring sends the key. The service knows by the ID whether it has it already.
func (w *web) bring(ctx context.Context, p *parcel) error {
	body, err := issuedMessage(p, w.recipient)
	if err != nil {
		return err
	}
	w.s.step(StepTell)
	err = w.post(ctx, string(p.ID), body)
	if errors.Is(err, errGone) {
		w.gone = true
		if err := w.s.giveUp(ctx, w.id); err != nil {
			return err
		}
	}
	return err
}

func (w *web) takeBack(context.Context, *parcel) error {
	return errors.New("a key service keeps what it was sent")
}

var errGone = errors.New("410 Gone")

// post sends one signed message. What the answer says beside its status is not
// looked at.
func (w *web) post(ctx context.Context, id string, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.v.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if r.Header, err = sign(w.v, id, w.s.Now(), body); err != nil {
		return err
	}
	r.Header.Set("user-agent", "chancery")
	answer, err := w.client.Do(r)
	if err != nil {
		return w.unreachable(err)
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, io.LimitReader(answer.Body, maxReply))
	return w.verdict(answer)
}

// verdict tells what an answer means.
func (w *web) verdict(a *http.Response) error {
	switch code := a.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusGone:
		return ra.Errorf(ra.RefusedByCA, "The key service %q says that it is gone (410).", w.name).
			WithRemedy("Correct its address, or give the templates another one. A key that it did not want has switched it off: switch it on again.").WithCause(errGone)
	case code >= 300 && code < 400:
		return ra.Errorf(ra.RefusedByCA, "The key service %q answers %d and points elsewhere.", w.name, code).
			WithRemedy("Enter the address where it really is: redirects are not followed.")
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return ra.Errorf(ra.RefusedByCA, "The key service %q does not accept the signature (%d).", w.name, code).
			WithRemedy("Compare the signing secret with the one it has, and the clocks of both.")
	case code == http.StatusTooManyRequests, code >= 500:
		return ra.Errorf(ra.Unreachable, "The key service %q cannot take the key now (%d).", w.name, code).
			WithRemedy("It is asked again later; look at its own log if this stays.").WithRetry(patience(a.Header.Get("retry-after"), w.s.Now()))
	default:
		return ra.Errorf(ra.RefusedByCA, "The key service %q refuses the message (%d).", w.name, code).WithRemedy("Look at its own log for the reason.")
	}
}

// patience reads Retry-After (RFC 9110 §10.2.3); zero when it is not there.
func patience(text string, now time.Time) time.Duration {
	wait := time.Duration(0)
	if n, err := strconv.Atoi(text); err == nil {
		wait = time.Duration(min(max(n, 0), int(maxPatience/time.Second))) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxPatience)
}

// unreachable tells why there is no answer. The address stays out of it: it may
// hold a token.
func (w *web) unreachable(err error) error {
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err
	}
	if ra.KindOf(err) == ra.Denied {
		return err
	}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return ra.Errorf(ra.Unreachable, "The TLS certificate of the key service %q is not trusted.", w.name).
			WithRemedy("Enter its root under the trusted roots, and write the host in the address as in its certificate.").WithCause(err)
	}
	return ra.Errorf(ra.Unreachable, "The key service %q does not answer.", w.name).WithRemedy("Check address, port, firewall and that it speaks TLS.").WithCause(err)
}

// giveUp switches a key service off that said it is gone, and tells people.
func (s *Service) giveUp(ctx context.Context, id ra.KeyServiceID) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		k, err := tx.KeyService(id)
		if err != nil || k.Disabled {
			return err
		}
		k.Disabled = true
		if err := tx.UpdateKeyService(k); err != nil {
			return err
		}
		s.Log.Error("a key service says that it is gone and was switched off", "service", k.Name)
		return audit.Record(tx, audit.Entry{Code: audit.KeyServiceGone, Actor: ra.System("keydelivery"), Group: k.GroupID, Object: string(id), Result: "failed",
			Message: "Key service " + k.Name + " says that it is gone (410) and was switched off."})
	})
}
