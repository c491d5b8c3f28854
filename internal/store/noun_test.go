package store_test

import (
	"errors"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// roundTrip is one noun's way in, out, changed and away.
type roundTrip[N any] struct {
	noun   *N
	change func(*N)
	load   func(*store.Tx) (*N, error)
	others []func(*store.Tx) (*N, error) // further ways to find the changed noun
	update func(*store.Tx, *N) error
	create func(*store.Tx, *N) error
	remove func(*store.Tx) error // nil: rows of this kind stay
	twin   func(N) *N            // one that may not exist beside it
	times  func(*N) *ra.Times
}

func (r roundTrip[N]) run(t *testing.T, db *store.DB, c *clock) {
	t.Helper()
	refused(t, db, "update before create", ra.NotFound, func(tx *store.Tx) error { return r.update(tx, r.noun) })
	*r.times(r.noun) = ra.Times{} // as it was before that try
	write(t, db, func(tx *store.Tx) error { return r.create(tx, r.noun) })
	created := c.Now()
	get := func(what string, load func(*store.Tx) (*N, error)) *N {
		t.Helper()
		var n *N
		read(t, db, func(tx *store.Tx) (err error) { n, err = load(tx); return err })
		same(t, what, n, r.noun)
		return n
	}
	n := get("created", r.load)
	same(t, "times at creation", *r.times(n), ra.Times{CreatedAt: created, UpdatedAt: created})
	if r.twin != nil {
		refused(t, db, "twin", ra.Conflict, func(tx *store.Tx) error { return r.create(tx, r.twin(*r.noun)) })
	}
	c.Advance(time.Minute)
	r.change(r.noun)
	write(t, db, func(tx *store.Tx) error { return r.update(tx, r.noun) })
	n = get("changed", r.load)
	same(t, "times after a change", *r.times(n), ra.Times{CreatedAt: created, UpdatedAt: c.Now()})
	for _, other := range r.others {
		get("found otherwise", other)
	}
	if r.remove == nil {
		return
	}
	write(t, db, r.remove)
	refused(t, db, "load after delete", ra.NotFound, func(tx *store.Tx) error { _, err := r.load(tx); return err })
	refused(t, db, "delete twice", ra.NotFound, r.remove)
}

func TestRoundTrips(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		now := c.Now()
		t.Run("group", func(t *testing.T) {
			g := &ra.Group{ID: "og_new", ParentID: w.org.ID, Name: "Köln"}
			roundTrip[ra.Group]{noun: g,
				change: func(g *ra.Group) { g.Name, g.Settings.Realm = "Bonn", "ACME.EXAMPLE" },
				load:   func(tx *store.Tx) (*ra.Group, error) { return tx.Group(g.ID) },
				others: []func(tx *store.Tx) (*ra.Group, error){func(tx *store.Tx) (*ra.Group, error) { return tx.GroupByName(w.org.ID, " BONN ") }},
				update: (*store.Tx).UpdateGroup, create: (*store.Tx).CreateGroup,
				remove: func(tx *store.Tx) error { return tx.DeleteGroup(g.ID) },
				twin:   func(g ra.Group) *ra.Group { g.ID, g.Name = "og_twin", "KÖLN"; return &g },
				times:  func(g *ra.Group) *ra.Times { return &g.Times },
			}.run(t, db, c)
		})
		t.Run("user", func(t *testing.T) {
			u := &ra.User{ID: "usr_new", GroupID: w.unit.ID, Name: "Zoë", Attributes: map[string]string{"a": "b"}}
			roundTrip[ra.User]{noun: u,
				change: func(u *ra.User) { u.Disabled, u.SID, u.Attributes = true, "S-1-5", nil },
				load:   func(tx *store.Tx) (*ra.User, error) { return tx.User(u.ID) },
				others: []func(tx *store.Tx) (*ra.User, error){func(tx *store.Tx) (*ra.User, error) { return tx.UserByName(w.unit.ID, "ZOË") }},
				update: (*store.Tx).UpdateUser, create: (*store.Tx).CreateUser,
				remove: func(tx *store.Tx) error { return tx.DeleteUser(u.ID) },
				twin:   func(u ra.User) *ra.User { u.ID = "usr_twin"; return &u },
				times:  func(u *ra.User) *ra.Times { return &u.Times },
			}.run(t, db, c)
		})
		t.Run("device", func(t *testing.T) {
			d := newDevice(w.unit.ID, now)
			d.OrganizationID = w.org.ID
			roundTrip[ra.Device]{noun: d,
				change: func(d *ra.Device) { d.State, d.Name, d.Attributes = ra.DeviceBlocked, "Lost", nil },
				load:   func(tx *store.Tx) (*ra.Device, error) { return tx.Device(d.ID) },
				others: []func(tx *store.Tx) (*ra.Device, error){func(tx *store.Tx) (*ra.Device, error) { return tx.DeviceByPlatformID(w.org.ID, d.PlatformID) }},
				update: (*store.Tx).UpdateDevice, create: (*store.Tx).CreateDevice,
				remove: func(tx *store.Tx) error { return tx.DeleteDevice(d.ID) },
				twin:   func(d ra.Device) *ra.Device { d.ID = "dev_twin"; return &d },
				times:  func(d *ra.Device) *ra.Times { return &d.Times },
			}.run(t, db, c)
		})
		t.Run("authority", func(t *testing.T) {
			a := &ra.Authority{ID: "ca_new", GroupID: w.org.ID, Name: "Root", Kind: "adcs", Settings: []byte("{}")}
			roundTrip[ra.Authority]{noun: a,
				change: func(a *ra.Authority) { a.RatePerSecond, a.MaxInFlight, a.Disabled = 0.25, 9, true },
				load:   func(tx *store.Tx) (*ra.Authority, error) { return tx.Authority(a.ID) },
				others: []func(tx *store.Tx) (*ra.Authority, error){func(tx *store.Tx) (*ra.Authority, error) { return tx.AuthorityByName("root") }},
				update: (*store.Tx).UpdateAuthority, create: (*store.Tx).CreateAuthority,
				remove: func(tx *store.Tx) error { return tx.DeleteAuthority(a.ID) },
				twin:   func(a ra.Authority) *ra.Authority { a.ID = "ca_twin"; return &a },
				times:  func(a *ra.Authority) *ra.Times { return &a.Times },
			}.run(t, db, c)
		})
		t.Run("template", func(t *testing.T) {
			n := &ra.Template{ID: "tpl_new", GroupID: w.org.ID, AuthorityID: w.authority.ID, Name: "VPN", Spec: ra.TemplateSpec{Subject: "CN=x"}}
			roundTrip[ra.Template]{noun: n,
				change: func(n *ra.Template) { n.Revision, n.Spec.Options, n.Disabled = 2, map[string]any{"a": "b"}, true },
				load:   func(tx *store.Tx) (*ra.Template, error) { return tx.Template(n.ID) },
				others: []func(tx *store.Tx) (*ra.Template, error){func(tx *store.Tx) (*ra.Template, error) { return tx.TemplateByName("vpn") }},
				update: (*store.Tx).UpdateTemplate, create: (*store.Tx).CreateTemplate,
				remove: func(tx *store.Tx) error { return tx.DeleteTemplate(n.ID) },
				twin:   func(n ra.Template) *ra.Template { n.ID = "tpl_twin"; return &n },
				times:  func(n *ra.Template) *ra.Times { return &n.Times },
			}.run(t, db, c)
		})
		t.Run("endpoint", func(t *testing.T) {
			e := &ra.Endpoint{ID: "sep_new", GroupID: w.org.ID, TemplateID: w.template.ID, Name: "vpn", Settings: []byte("{}")}
			roundTrip[ra.Endpoint]{noun: e,
				change: func(e *ra.Endpoint) { e.Settings, e.Disabled = []byte(`{"a":1}`), true },
				load:   func(tx *store.Tx) (*ra.Endpoint, error) { return tx.Endpoint(e.ID) },
				others: []func(tx *store.Tx) (*ra.Endpoint, error){func(tx *store.Tx) (*ra.Endpoint, error) { return tx.EndpointByName("vpn") }},
				update: (*store.Tx).UpdateEndpoint, create: (*store.Tx).CreateEndpoint,
				remove: func(tx *store.Tx) error { return tx.DeleteEndpoint(e.ID) },
				twin:   func(e ra.Endpoint) *ra.Endpoint { e.ID = "sep_twin"; return &e },
				times:  func(e *ra.Endpoint) *ra.Times { return &e.Times },
			}.run(t, db, c)
		})
		t.Run("request", func(t *testing.T) {
			r := w.newRequest(c.Now())
			roundTrip[ra.Request]{noun: r,
				change: func(r *ra.Request) {
					r.State, r.CertificateID, r.Obligation = ra.Issued, "crt_x", ra.Obligation{}
				},
				load: func(tx *store.Tx) (*ra.Request, error) { return tx.Request(r.ID) },
				others: []func(tx *store.Tx) (*ra.Request, error){
					func(tx *store.Tx) (*ra.Request, error) { return tx.RequestByKey(r.IdempotencyKey) },
					func(tx *store.Tx) (*ra.Request, error) { return tx.RequestByTransaction(w.endpoint.ID, "T-1") }},
				update: (*store.Tx).UpdateRequest, create: (*store.Tx).CreateRequest,
				twin:  func(r ra.Request) *ra.Request { r.ID = "req_twin"; return &r },
				times: func(r *ra.Request) *ra.Times { return &r.Times },
			}.run(t, db, c)
		})
		t.Run("certificate", func(t *testing.T) {
			n := w.newCertificate(c.Now())
			n.RequestID = "req_1"
			roundTrip[ra.Certificate]{noun: n,
				change: func(n *ra.Certificate) {
					n.State, n.RevokedAt, n.Reason, n.Obligation = ra.Revoked, c.Now(), ra.KeyCompromise, ra.Obligation{}
				},
				load: func(tx *store.Tx) (*ra.Certificate, error) { return tx.Certificate(n.ID) },
				others: []func(tx *store.Tx) (*ra.Certificate, error){
					func(tx *store.Tx) (*ra.Certificate, error) { return tx.CertificateBySerial(n.IssuerHash, n.Serial) },
					func(tx *store.Tx) (*ra.Certificate, error) { return tx.CertificateByFingerprint(n.Fingerprint) },
					func(tx *store.Tx) (*ra.Certificate, error) { return tx.CertificateByRequest("req_1") }},
				update: (*store.Tx).UpdateCertificate, create: (*store.Tx).CreateCertificate,
				twin:  func(n ra.Certificate) *ra.Certificate { n.ID, n.RequestID = "crt_twin", ""; return &n },
				times: func(n *ra.Certificate) *ra.Times { return &n.Times },
			}.run(t, db, c)
			second := w.newCertificate(c.Now())
			second.RequestID = n.RequestID
			refused(t, db, "second certificate for a request", ra.Conflict, func(tx *store.Tx) error { return tx.CreateCertificate(second) })
			refused(t, db, "certificate of no request", ra.NotFound, func(tx *store.Tx) error { _, err := tx.CertificateByRequest(""); return err })
		})
		t.Run("admin", func(t *testing.T) {
			a := &ra.Admin{ID: "adm_new", Name: "Root", Grants: []ra.Grant{{Role: ra.RoleOwner}, {Role: ra.RoleViewer, Group: w.org.ID}}}
			roundTrip[ra.Admin]{noun: a,
				change: func(a *ra.Admin) { a.PasswordHash, a.Disabled, a.Grants = "$argon2id$", true, nil },
				load:   func(tx *store.Tx) (*ra.Admin, error) { return tx.Admin(a.ID) },
				others: []func(tx *store.Tx) (*ra.Admin, error){func(tx *store.Tx) (*ra.Admin, error) { return tx.AdminByName("ROOT") }},
				update: (*store.Tx).UpdateAdmin, create: (*store.Tx).CreateAdmin,
				remove: func(tx *store.Tx) error { return tx.DeleteAdmin(a.ID) },
				twin:   func(a ra.Admin) *ra.Admin { a.ID = "adm_twin"; return &a },
				times:  func(a *ra.Admin) *ra.Times { return &a.Times },
			}.run(t, db, c)
		})
		t.Run("token", func(t *testing.T) {
			n := &ra.Token{ID: "tok_new", Name: "ci", Hash: "h1", Grants: []ra.Grant{{Role: ra.RoleOperator}}, CreatedBy: "root", ExpiresAt: now}
			roundTrip[ra.Token]{noun: n,
				change: func(n *ra.Token) { n.Name, n.ExpiresAt = "build", time.Time{} },
				load:   func(tx *store.Tx) (*ra.Token, error) { return tx.Token(n.ID) },
				others: []func(tx *store.Tx) (*ra.Token, error){func(tx *store.Tx) (*ra.Token, error) { return tx.TokenByHash("h1") }},
				update: (*store.Tx).UpdateToken, create: (*store.Tx).CreateToken,
				remove: func(tx *store.Tx) error { return tx.DeleteToken(n.ID) },
				twin:   func(n ra.Token) *ra.Token { n.ID = "tok_twin"; return &n },
				times:  func(n *ra.Token) *ra.Times { return &n.Times },
			}.run(t, db, c)
		})
		t.Run("passkey", func(t *testing.T) {
			write(t, db, func(tx *store.Tx) error { return tx.CreateAdmin(&ra.Admin{ID: "adm_keys", Name: "keys"}) })
			p := &ra.Passkey{ID: "pky_new", AdminID: "adm_keys", Name: "Laptop", Credential: []byte(`{"id":"x"}`)}
			only := func(tx *store.Tx) (*ra.Passkey, error) {
				all, err := tx.Passkeys("adm_keys")
				if err != nil || len(all) != 1 {
					return nil, errors.Join(err, ra.Errorf(ra.NotFound, "got %d passkeys", len(all)).WithRemedy("-"))
				}
				return all[0], nil
			}
			roundTrip[ra.Passkey]{noun: p,
				change: func(p *ra.Passkey) { p.Name, p.Credential = "Phone", []byte(`{"id":"y"}`) },
				load:   only, update: (*store.Tx).UpdatePasskey, create: (*store.Tx).CreatePasskey,
				remove: func(tx *store.Tx) error { return tx.DeletePasskey(p.ID) },
				times:  func(p *ra.Passkey) *ra.Times { return &p.Times },
			}.run(t, db, c)
			p.ID = "pky_2"
			write(t, db, func(tx *store.Tx) error { return errors.Join(tx.CreatePasskey(p), tx.DeleteAdmin("adm_keys")) })
		})
	})
}

func TestLinkedRowsStay(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		write(t, db, func(tx *store.Tx) error { return tx.CreateCertificate(w.newCertificate(c.Now())) })
		for what, f := range map[string]func(tx *store.Tx) error{
			"group with groups":           func(tx *store.Tx) error { return tx.DeleteGroup(w.org.ID) },
			"group with devices":          func(tx *store.Tx) error { return tx.DeleteGroup(w.unit.ID) },
			"authority with certificates": func(tx *store.Tx) error { return tx.DeleteAuthority(w.authority.ID) },
			"template with an endpoint":   func(tx *store.Tx) error { return tx.DeleteTemplate(w.template.ID) },
			"user of no group":            func(tx *store.Tx) error { return tx.CreateUser(&ra.User{ID: "usr_1", GroupID: "og_none", Name: "x"}) },
		} {
			refused(t, db, what, ra.Conflict, f)
		}
		refused(t, db, "device of no group", ra.NotFound, func(tx *store.Tx) error { return tx.CreateDevice(newDevice("og_none", c.Now())) })
		write(t, db, func(tx *store.Tx) error { return tx.DeleteUser(w.user.ID) })
		read(t, db, func(tx *store.Tx) error {
			d, err := tx.Device(w.device.ID)
			if err == nil && d.UserID != "" {
				t.Errorf("the device of a deleted user: got user %q, want none", d.UserID)
			}
			return err
		})
	})
}

func TestTexts(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		read(t, db, func(tx *store.Tx) error {
			_, _, err := tx.FindDevices(store.DeviceFilter{Text: "\x00\xff"})
			return err
		})
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			w.device.Name = "zero\x00byte"
			return tx.UpdateDevice(w.device)
		})
		if db.Engine() == "postgres" {
			wantKind(t, "a zero byte", err, ra.Invalid)
		} else if err != nil {
			t.Error(err)
		}
	})
}
