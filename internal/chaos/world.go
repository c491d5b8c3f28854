package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"time"

	"chancery/internal/api/client"
	"chancery/internal/api/resource"
	"chancery/internal/ca/scripted"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// World is a server's data with everybody who deals with it: devices,
// operators and an authority outside.
type World struct {
	nodes   []*node
	page    *page
	dice    *dice
	outside *scripted.Server
	line    *httptest.Server // in front of outside
	db      *store.DB        // the ledger's own view of the database
	dir     string

	places []*place
	crls   crlNumbers

	parked   parking
	mu       sync.Mutex
	holdings []*holding
	here     []*hereAsk
	given    map[string]bool // requests somebody gave up on
	report   *Report
}

// place is an authority with what devices and operators use of it.
type place struct {
	authority string
	endpoint  string // ID
	path      string // of the SCEP address
	device    string // template whose key is on the device
	here      string // template whose key is made here
	outside   bool
}

// Flaw is one thing the ledger found wrong.
type Flaw struct {
	Kind string // "lost", "double", "stuck", "obligation", "revocation", "crl", "audit", "session", "refused"
	Text string
}

// found makes a world for an empty database, with so many nodes, of which none
// runs yet.
func found(database string, nodes int, seed uint64, report *Report) (w *World, err error) {
	w = &World{dice: &dice{seed: seed}, report: report, crls: crlNumbers{seen: map[string]int64{}}, given: map[string]bool{}}
	if w.dir, err = os.MkdirTemp("", "chaos-"); err != nil {
		return nil, err
	}
	if w.page, err = openPage(filepath.Join(w.dir, "page")); err != nil {
		return w, err
	}
	if database == "" {
		database = "sqlite:" + filepath.Join(w.dir, "chancery.db")
	}
	for i := range nodes {
		data := filepath.Join(w.dir, fmt.Sprintf("node%d", i+1))
		w.nodes = append(w.nodes, &node{log: data + ".log",
			order: order{Data: data, Database: database, MasterKey: filepath.Join(w.dir, "master.key"), Page: filepath.Join(w.dir, "page")}})
	}
	if w.outside, err = scripted.NewServer(w.page.now); err != nil {
		return w, err
	}
	w.line = httptest.NewUnstartedServer(w.outside)
	w.line.Config.ErrorLog = log.New(discard{}, "", 0) // connections are cut on purpose
	w.line.Start()
	return w, nil
}

// open starts the nodes of a world and furnishes it.
func (w *World) open(ctx context.Context) (err error) {
	var first sync.WaitGroup
	started := make([]error, len(w.nodes))
	for i, n := range w.nodes { // all at once, on an empty database
		first.Go(func() {
			if err := n.start("", 0); err != nil {
				started[i] = fmt.Errorf("node %d: %w\n%s", i+1, err, n.tail())
			}
		})
	}
	first.Wait()
	if err := errors.Join(started...); err != nil {
		return err
	}
	if w.db, err = store.Open(ctx, w.nodes[0].Database, w.page.now); err != nil {
		return err
	}
	return w.furnish(ctx)
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// close ends everything; the world's files are gone afterwards.
func (w *World) close() {
	for _, n := range w.nodes {
		n.kill()
	}
	if w.line != nil {
		w.line.CloseClientConnections()
		w.line.Close()
	}
	if w.db != nil {
		w.db.Close()
	}
	os.RemoveAll(w.dir)
}

func p[T any](v T) *T { return &v }

// furnish makes a device template, one for keys made here, and a SCEP endpoint
// at each of two authorities: the embedded one and the one outside.
func (w *World) furnish(ctx context.Context) error {
	api := w.nodes[0].owner()
	groups, err := api.Groups(ctx, resource.GroupQuery{})
	if err != nil {
		return err
	}
	group := groups.Items[0].ID
	known, err := api.Authorities(ctx, resource.AuthorityQuery{})
	if err != nil {
		return err
	}
	settings, err := json.Marshal(map[string]any{"server": w.line.URL, "timeout": callLimit.String()})
	if err != nil {
		return err
	}
	outside, err := api.CreateAuthority(ctx, resource.AuthorityInput{Kind: p("scripted-remote"), GroupID: &group, Name: p("Outside"), Settings: settings})
	if err != nil {
		return err
	}
	for i, authority := range []string{known.Items[0].ID, outside.ID} {
		at, err := w.makePlace(ctx, api, group, authority, fmt.Sprintf("place%d", i))
		if err != nil {
			return err
		}
		at.outside = i == 1
		w.places = append(w.places, at)
	}
	return nil
}

// callLimit is how long the product waits for the authority outside.
const callLimit = 400 * time.Millisecond

func (w *World) makePlace(ctx context.Context, api *client.Client, group, authority, name string) (*place, error) {
	on := ra.TemplateSpec{Subject: "CN={DeviceUid}", KeyType: "p-256", KeyTypes: []string{"rsa-2048"}, KeyPlace: ra.KeyOnDevice, EKUs: []string{"clientAuth"}, Validity: 365,
		AutoRenew: true, RenewBefore: 30, RevokeReplaced: true, Grace: 72}
	here := ra.TemplateSpec{Subject: "CN={DeviceUid},OU=here", KeyType: "p-256", KeyPlace: ra.KeyHere, EKUs: []string{"clientAuth"}, Validity: 60,
		AutoRenew: true, RenewBefore: 59}
	device, err := api.CreateTemplate(ctx, resource.TemplateInput{GroupID: &group, AuthorityID: &authority, Name: p(name + " device"), Spec: &on})
	if err != nil {
		return nil, err
	}
	made, err := api.CreateTemplate(ctx, resource.TemplateInput{GroupID: &group, AuthorityID: &authority, Name: p(name + " here"), Spec: &here})
	if err != nil {
		return nil, err
	}
	e, err := api.CreateEndpoint(ctx, resource.EndpointInput{TemplateID: &device.ID, Name: &name, Settings: json.RawMessage(`{"challenge_life": "2160h", "clock_skew": "87600h"}`)})
	if err != nil {
		return nil, err
	}
	return &place{authority: authority, endpoint: e.ID, path: "/scep/" + name, device: device.ID, here: made.ID}, nil
}

// makeDevice adds a device to the inventory.
func (w *World) makeDevice(ctx context.Context, name string) (string, error) {
	api := w.nodes[0].owner()
	groups, err := api.Groups(ctx, resource.GroupQuery{})
	if err != nil {
		return "", err
	}
	d, err := api.CreateDevice(ctx, resource.DeviceInput{GroupID: &groups.Items[0].ID, Platform: p("linux"), PlatformID: &name, Name: &name})
	return d.ID, err
}

// flaw notes what is wrong.
func (w *World) flaw(kind, format string, args ...any) {
	w.report.flaw(kind, format, args...)
}

// parking is where devices and operators stop between two things they do.
type parking struct {
	mu     sync.Mutex
	cond   *sync.Cond
	closed bool // nobody may drive on
	over   bool
	active int
}

func (k *parking) init() {
	if k.cond == nil {
		k.cond = sync.NewCond(&k.mu)
	}
}

// enter waits until driving is allowed; false means that all is over.
func (k *parking) enter() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.init()
	for k.closed && !k.over {
		k.cond.Wait()
	}
	if k.over {
		return false
	}
	k.active++
	return true
}

func (k *parking) leave() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.active--
}

// set opens or closes the road, or ends everything.
func (k *parking) set(closed, over bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.init()
	k.closed, k.over = closed, over
	k.cond.Broadcast()
}

func (k *parking) busy() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.active
}

// roam is an HTTP client that asks one node after the other: each request that
// fails on the line is left to its sender to repeat, at the next node.
func (w *World) roam() (*http.Client, func()) {
	var mu sync.Mutex
	at := 0
	transport := &http.Transport{MaxIdleConnsPerHost: 2, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		mu.Lock()
		n := w.nodes[at%len(w.nodes)]
		mu.Unlock()
		return n.dial(ctx, network, address)
	}}
	return &http.Client{Timeout: 20 * time.Second, Transport: transport}, func() {
		mu.Lock()
		at++
		mu.Unlock()
		transport.CloseIdleConnections()
	}
}
