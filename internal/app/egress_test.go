package app

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/setting"
)

// typedSettings are those of a kind of authority that reaches what somebody
// typed, in both ways a connector has.
type typedSettings struct{ Server string }

func (s *typedSettings) Describe(f *setting.Form) {
	f.URL(&s.Server, "server", "Server address").Required()
}

func (s *typedSettings) Connect(_ context.Context, env ca.Env) (ca.Connector, error) {
	return &typed{env, s.Server}, nil
}

type typed struct {
	env    ca.Env
	server string
}

func (c *typed) reach(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server, nil)
	if err != nil {
		return err
	}
	if a, err := c.env.HTTP.Do(r); err == nil {
		a.Body.Close()
	} else if ra.KindOf(err) == ra.Denied {
		return err
	}
	conn, err := c.env.Dial(ctx, "tcp", r.URL.Host)
	if err == nil {
		conn.Close()
	}
	return err
}

func (c *typed) Issue(ctx context.Context, _ ca.Request) (ca.Reply, error) {
	if err := c.reach(ctx); err != nil {
		return ca.Reply{}, err
	}
	return ca.Reply{}, ra.Errorf(ra.RefusedByCA, "It was reached.").WithRemedy("Nothing.").WithRetry(ra.Never)
}

func (c *typed) Check(ctx context.Context, report func(ca.Step)) {
	step := ca.Step{Name: "reach", State: ca.StepOK}
	if err := c.reach(ctx); err != nil {
		step.State, step.Detail, step.Remedy = ca.StepFailed, ra.AsError(err).Message, ra.AsError(err).Remedy
	}
	report(step)
}

func (c *typed) Catalog(ctx context.Context, _ string, _ map[string]string) ([]ca.Profile, error) {
	return nil, c.reach(ctx)
}

// TestAuthorityAddresses: an address of an authority that leads into the machine
// itself is reached neither when it is typed, nor after a change of it, nor by
// any way the connector is used, unless the configuration names it.
func TestAuthorityAddresses(t *testing.T) {
	var reached atomic.Int64
	inside, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	go func() {
		for {
			c, err := inside.Accept()
			if err != nil {
				return
			}
			reached.Add(1)
			c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(inside.Addr().String())
	kind := ca.Kind{ID: "typed", Title: "Typed", New: func() ca.Settings { return &typedSettings{} }, Traits: ca.Traits{KeyPlaces: []ra.KeyPlace{ra.KeyOnDevice, ra.KeyHere}, KeyTypes: []string{"p-256"}}}
	for _, allowed := range []bool{false, true} {
		cfg := config(t, "")
		cfg.Kinds = []ca.Kind{kind}
		if allowed {
			cfg.EgressAllow = []string{"127.0.0.1", "::1"}
		}
		s := startSite(t, cfg)
		ctx, me := t.Context(), localActor()
		for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"} {
			server := "http://" + net.JoinHostPort(strings.Trim(host, "[]"), port) + "/"
			raw := []byte(`{"server": "` + server + `"}`)
			name := "CA at " + host
			a, err := s.Authorities.Create(ctx, me, "typed", authority.Input{GroupID: &s.ca.GroupID, Name: &name, Settings: []byte(`{"server": "https://ca.example.org"}`)})
			if err == nil {
				a, err = s.Authorities.Update(ctx, me, a.ID, authority.Input{Settings: raw})
			}
			if err != nil {
				t.Fatal(err)
			}
			var steps []ca.Step
			note := func(s ca.Step) { steps = append(steps, s) }
			if err := s.Authorities.TestSettings(ctx, me, "typed", "", s.ca.GroupID, raw, note); err != nil {
				t.Fatal(err)
			}
			if err := s.Authorities.TestSettings(ctx, me, "typed", a.ID, "", raw, note); err != nil {
				t.Fatal(err)
			}
			if err := s.Authorities.Test(ctx, me, a.ID, note); err != nil {
				t.Fatal(err)
			}
			for _, step := range steps {
				if refused := step.State == ca.StepFailed && strings.Contains(step.Remedy, "egress_allow"); refused == allowed {
					t.Errorf("allowed %t, %s: %+v", allowed, host, step)
				}
			}
			if _, err := s.Authorities.Catalog(ctx, me, a.ID, "profiles", nil); (ra.KindOf(err) == ra.Denied) == allowed {
				t.Errorf("allowed %t, the choices of %s: %v", allowed, host, err)
			}
			spec := ra.TemplateSpec{Subject: "CN={EnrollmentUser}", KeyType: "p-256", KeyPlace: ra.KeyHere}
			tpl, err := s.Enroll.CreateTemplate(ctx, me, enroll.TemplateInput{GroupID: &s.ca.GroupID, AuthorityID: &a.ID, Name: &name, Spec: &spec})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Enroll.Submit(ctx, me, enroll.Ask{Template: tpl.ID, User: s.d.users["ada"], Door: "api", Wait: true}); err != nil {
				t.Fatal(err)
			}
		}
		if n := reached.Load(); (n > 0) != allowed {
			t.Errorf("allowed %t: the machine itself was reached %d times", allowed, n)
		}
		s.stop()
	}
}
