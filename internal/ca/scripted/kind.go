package scripted

import (
	"context"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/setting"
)

// Password is what Settings need to be let in.
const Password = "correct-horse-battery-staple"

// SettingsJSON are settings the authority accepts.
const SettingsJSON = `{"server": "https://ca.example.test", "password": "` + Password + `"}`

// Settings of a scripted authority.
type Settings struct {
	Server    string
	Password  secret.Text
	Through   string // of a bare one: the authority that revokes in its place
	authority *Authority
	bare      bool
	lists     bool
}

// Describe names the settings.
func (s *Settings) Describe(f *setting.Form) {
	f.URL(&s.Server, "server", "Server address").Required()
	f.Secret(&s.Password, "password", "Password").Required()
	if s.bare {
		f.Text(&s.Through, "revoke_through", "Revokes through")
	}
}

// Connect opens a connector to the authority.
func (s *Settings) Connect(_ context.Context, env ca.Env) (ca.Connector, error) {
	c := &Connector{env: env, authority: s.authority, password: s.Password}
	if s.bare {
		return bare{c}, nil
	}
	if s.lists {
		return lister{c}, nil
	}
	return c, nil
}

// RevokesThrough names the authority of the setting revoke_through.
func (s *Settings) RevokesThrough() ra.AuthorityID { return ra.AuthorityID(s.Through) }

// Options are the settings a template adds.
type Options struct{ Profile string }

// Describe names the options.
func (o *Options) Describe(f *setting.Form) {
	f.Choice(&o.Profile, "profile", "Certificate profile").Lookup("profiles").Default("device")
}

// Kind is the authority as something to choose, with every ability.
func (a *Authority) Kind() ca.Kind {
	return ca.Kind{
		ID: "scripted", Title: "Scripted authority", Help: "Does what the script of a test says.",
		New:        func() ca.Settings { return &Settings{authority: a} },
		NewOptions: func() setting.Describer { return &Options{} },
		Traits: ca.Traits{
			KeyPlaces: []ra.KeyPlace{ra.KeyOnDevice, ra.KeyHere, ra.KeyAtCA},
			KeyTypes:  []string{"rsa-2048", "p-256"},
			Revoke:    true, Hold: true, Pending: true, Sure: !a.Forgetful, Extensions: true, SID: true,
		},
	}
}

// BareKind is the same authority through a connector that can do nothing but
// Issue: no Find, no Fetch, no revocation unless the setting revoke_through names
// an authority for it.
func (a *Authority) BareKind() ca.Kind {
	k := a.Kind()
	k.ID, k.Title = "scripted-bare", "Scripted authority without abilities"
	k.New, k.NewOptions = func() ca.Settings { return &Settings{authority: a, bare: true} }, nil
	k.Traits = ca.Traits{KeyPlaces: []ra.KeyPlace{ra.KeyOnDevice, ra.KeyHere}, Extensions: true, SID: true}
	return k
}

// bare hides the abilities of a connector.
type bare struct{ c *Connector }

func (b bare) Issue(ctx context.Context, r ca.Request) (ca.Reply, error) { return b.c.Issue(ctx, r) }
