package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"chancery/bench/machine"
	"chancery/bench/peer"
	"chancery/internal/app"
	"chancery/internal/authority"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/signin"
	"chancery/internal/store"
)

// owner is who sets our server up.
var owner = ra.Actor{Kind: ra.ActorLocal, Name: "bench", Via: "cli", Grants: []ra.Grant{{Role: ra.RoleOwner}}}

// publicURL is what stands in certificates; nobody asks it.
const publicURL = "http://pki.example.test"

// egress is what our server may connect to: the servers of this machine alone.
const egress = "127.0.0.1"

// ours is our server, set up once in a folder that is copied for each start.
type ours struct {
	program  string
	dir      string
	database string // of another kind than SQLite in the folder; empty: that
	token    string // of an owner, for the API
	group    ra.GroupID
	// profile names the file for a profile of a run on a folder; empty: none.
	profile func(dir string) string
}

// open makes the folder and runs set-up steps in it, with the very parts the
// server consists of but without serving.
func (o *ours) open(ctx context.Context, steps ...func(context.Context, *app.App) error) error {
	a, err := app.Open(ctx, app.Config{Data: o.dir, Database: o.database, PublicURL: publicURL, EgressAllow: []string{egress}, LogLevel: "error"})
	if err != nil {
		return err
	}
	for _, step := range append([]func(context.Context, *app.App) error{o.basics}, steps...) {
		if err := step(ctx, a); err != nil {
			a.Close(ctx)
			return err
		}
	}
	return a.Close(ctx)
}

// basics are a token for the API, its TLS certificate, and the organization.
func (o *ours) basics(ctx context.Context, a *app.App) error {
	groups, _, err := a.Inventory.FindGroups(ctx, owner, store.GroupFilter{})
	if err != nil {
		return err
	}
	for _, g := range groups {
		if g.ParentID == "" {
			o.group = g.ID
		}
	}
	if o.token == "" {
		_, text, err := a.Signin.CreateToken(ctx, owner, signin.TokenInput{Name: "bench", Grants: []ra.Grant{{Role: ra.RoleOwner}}})
		if err != nil {
			return err
		}
		o.token = text.Reveal()
	}
	return peer.TLSPair(o.file("tls.pem"), o.file("tls.key"))
}

func (o *ours) file(name string) string { return filepath.Join(o.dir, name) }

// issuer makes an embedded authority with a key of that type and a template at
// it, and gives both.
func (o *ours) issuer(ctx context.Context, a *app.App, key peer.KeyType, sans ...ra.SANSpec) (*ra.Authority, *ra.Template, error) {
	name := "Bench " + string(key)
	settings, err := json.Marshal(map[string]string{"key_type": string(key)})
	if err != nil {
		return nil, nil, err
	}
	authority, err := a.Authorities.Create(ctx, owner, "embedded", authority.Input{GroupID: &o.group, Name: &name, Settings: settings})
	if err != nil {
		return nil, nil, err
	}
	template, err := a.Enroll.CreateTemplate(ctx, owner, enroll.TemplateInput{GroupID: &o.group, AuthorityID: &authority.ID, Name: &name,
		Spec: &ra.TemplateSpec{Subject: "CN={DeviceUid}", SANs: sans, KeyType: "rsa-2048", KeyTypes: []string{"p-256"}, KeyPlace: ra.KeyOnDevice, Usage: "both",
			EKUs: []string{"clientAuth", "serverAuth"}, Validity: 365, AutoRenew: true, RenewBefore: 30}})
	return authority, template, err
}

// devices registers devices under names that are their platform IDs, too.
func (o *ours) devices(ctx context.Context, a *app.App, names []string) ([]ra.DeviceID, error) {
	ids := make([]ra.DeviceID, len(names))
	return ids, a.DB.Write(ctx, func(tx *store.Tx) error {
		for i, name := range names {
			ids[i] = ra.NewID[ra.DeviceID](ra.DevicePrefix, tx.Now)
			if err := tx.CreateDevice(&ra.Device{ID: ids[i], GroupID: o.group, Platform: ra.Linux, PlatformID: name, Name: name, State: ra.DeviceEnrolled}); err != nil {
				return err
			}
		}
		return nil
	})
}

// challenges makes a one-time challenge for each device at an endpoint.
func challenges(ctx context.Context, a *app.App, e *ra.Endpoint, devices []ra.DeviceID) ([]string, error) {
	texts := make([]string, len(devices))
	return texts, a.DB.Write(ctx, func(tx *store.Tx) error {
		for i, d := range devices {
			text := secret.Token("", 190)
			texts[i] = text.Reveal()
			if err := tx.CreateChallenge(&ra.Challenge{ID: ra.NewID[ra.ChallengeID](ra.ChallengePrefix, tx.Now), Hash: enroll.ChallengeHash(text), EndpointID: e.ID,
				TemplateID: e.TemplateID, DeviceID: d, MaxUses: 1, ExpiresAt: tx.Now.Add(24 * time.Hour), CreatedBy: "bench"}); err != nil {
				return err
			}
		}
		return nil
	})
}

// start starts it on a copy of its folder, as in production: HTTPS for people
// and programs, a second listener for devices.
func (o *ours) start(dir string, cores machine.Cores) (*peer.Server, error) {
	if err := machine.Copy(o.dir, dir); err != nil {
		return nil, err
	}
	return o.startIn(dir, cores)
}

// startIn starts it in a folder as it is.
func (o *ours) startIn(dir string, cores machine.Cores) (*peer.Server, error) {
	api, err := machine.FreeAddress()
	if err != nil {
		return nil, err
	}
	devices, err := machine.FreeAddress()
	if err != nil {
		return nil, err
	}
	args := []string{"serve", "--data", dir, "--listen", api, "--device-listen", devices, "--public-url", publicURL,
		"--tls-certificate", filepath.Join(dir, "tls.pem"), "--tls-key", filepath.Join(dir, "tls.key")}
	program := o.program
	if file := o.profile(dir); file != "" {
		if program, err = os.Executable(); err != nil {
			return nil, err
		}
		args = profileArgs(file, dir, api, devices)
	}
	p, err := machine.Start(machine.Program{Path: program, Args: args, Dir: dir, Env: []string{"CHANCERY_DATABASE=" + o.database, "CHANCERY_EGRESS_ALLOW=" + egress}, Cores: cores, Log: dir + ".log"})
	if err != nil {
		return nil, err
	}
	s := &peer.Server{Process: p, SCEP: "http://" + devices + "/scep/", API: api}
	if s.Ready, err = p.AwaitHTTP(http.DefaultClient, "http://"+devices+"/healthz"); err != nil {
		return nil, err
	}
	return s, nil
}

// tls trusts its certificate and nothing else.
func (o *ours) tls() (*tls.Config, error) {
	b, err := os.ReadFile(o.file("tls.pem"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("no certificate in %s", o.file("tls.pem"))
	}
	return &tls.Config{RootCAs: pool, ServerName: "localhost"}, nil
}
