package keydelivery

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/ca"
	"chancery/internal/keypolicy"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/store"
)

// Test runs the steps of Test connection on a stored key service and reports
// each as it ends: it sends a signed message without a key. Whether it worked is
// in the steps, not in the error.
func (s *Service) Test(ctx context.Context, actor ra.Actor, id ra.KeyServiceID, report func(ca.Step)) error {
	var k *ra.KeyService
	var v *keypolicy.Settings
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if k, err = editable(tx, actor, id); err != nil {
			return err
		}
		v, err = s.settings(tx, k)
		return err
	}); err != nil {
		return err
	}
	result := "ok"
	s.check(ctx, k, v, func(step ca.Step) {
		if step.State == ca.StepFailed {
			result = "failed"
		}
		report(step)
	})
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		return audit.Record(tx, audit.Entry{Code: audit.KeyServiceTested, Actor: actor, Group: k.GroupID, Object: string(id), Result: result,
			Message: "Connection to key service " + k.Name + " tested."})
	})
}

// TestSettings runs the same steps on settings that are not stored yet. For a
// change of a stored key service, id names whose secrets are kept.
func (s *Service) TestSettings(ctx context.Context, actor ra.Actor, id ra.KeyServiceID, group ra.GroupID, raw []byte, report func(ca.Step)) error {
	k, v := &ra.KeyService{Name: "new key service"}, &keypolicy.Settings{}
	setting.Defaults(v)
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if id == "" {
			return access.CheckGroup(tx, actor, access.EditAuthorities, group)
		}
		if k, err = editable(tx, actor, id); err != nil {
			return err
		}
		v, err = s.settings(tx, k)
		return err
	}); err != nil {
		return err
	}
	var p ra.Problems
	p.Merge("settings", setting.FromJSON(v, raw))
	if err := p.Err(); err != nil {
		return err
	}
	s.check(ctx, k, v, report)
	return nil
}

// check goes the way a key goes, without one.
func (s *Service) check(ctx context.Context, k *ra.KeyService, v *keypolicy.Settings, report func(ca.Step)) {
	var w *web
	failed := false
	for _, step := range []struct {
		name string
		do   func() (detail string, err error)
	}{
		{"Recipient's certificate", func() (_ string, err error) {
			if w, err = s.web(k, v); err != nil {
				return "", err
			}
			return fmt.Sprintf("Keys are encrypted for %s, valid until %s.", w.recipient.Subject, w.recipient.NotAfter.UTC().Format(time.DateOnly)), w.current()
		}},
		{"Connection and TLS", func() (string, error) { return w.connect(ctx) }},
		{"Signed message", func() (string, error) { return w.ping(ctx, k) }},
	} {
		if failed {
			report(ca.Step{Name: step.name, State: ca.StepSkipped})
			continue
		}
		began := time.Now()
		detail, err := step.do()
		out := ca.Step{Name: step.name, State: ca.StepOK, Detail: detail, Took: time.Since(began)}
		if err != nil {
			e := ra.AsError(err)
			s.Log.Info("a step of the test of a key service failed", "step", step.name, "error", err)
			failed, out.State, out.Detail, out.Remedy = true, ca.StepFailed, e.Message, e.Remedy
		}
		report(out)
	}
	if w != nil {
		w.close()
	}
}

// connect greets the service and hangs up.
func (w *web) connect(ctx context.Context) (string, error) {
	u, err := url.Parse(w.v.URL)
	if err != nil {
		return "", err
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), "443")
	}
	ctx, cancel := context.WithTimeout(ctx, w.v.Timeout)
	defer cancel()
	raw, err := w.s.dial(ctx, "tcp", address)
	if err != nil {
		return "", w.unreachable(err)
	}
	defer raw.Close()
	config := tlsConfig(w.v)
	config.ServerName = u.Hostname()
	if err := tls.Client(raw, config).HandshakeContext(ctx); err != nil {
		return "", w.unreachable(err)
	}
	return u.Hostname() + " answers, with a certificate that is trusted.", nil
}

// ping sends a message that any key service has to accept.
func (w *web) ping(ctx context.Context, k *ra.KeyService) (string, error) {
	now := w.s.Now()
	body, err := json.Marshal(message{typePing, now.UTC(), ping{string(k.ID), k.Name}})
	if err != nil {
		return "", err
	}
	if err := w.post(ctx, ra.NewID[string]("ping", now), body); err != nil {
		return "", err
	}
	return "The message was accepted.", nil
}
