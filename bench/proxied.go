package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"

	"chancery/bench/machine"
	"chancery/bench/peer"
	"chancery/bench/scepload"
	"chancery/bench/stub"
	"chancery/internal/app"
	"chancery/internal/authority"
	"chancery/internal/enroll"
	"chancery/internal/pass"
	"chancery/internal/ra"
)

// backend is a SCEP server of somebody else with our server in front of it: the
// messages for the one, and a pass at the other for each.
type backend struct {
	name, short string // short is for folders
	address     string // the same in every run: it stands in the settings of our authority
	path        string // of its SCEP service
	// start starts it on its first state, and gives what stops it.
	start  func(dir string, cores machine.Cores) (stop func() error, err error)
	levels []level
	batch  *scepload.Batch
	ours   *ours
	passes []string // paths at our server
}

// backends sets up the servers behind the proxy, the stub last.
func (b *bench) backends() ([]*backend, error) {
	var addresses [3]string
	for i := range addresses {
		var err error
		if addresses[i], err = machine.FreeAddress(); err != nil {
			return nil, err
		}
	}
	step := &peer.StepCA{Program: b.stepca, Dir: b.place("step-ca"), Key: peer.RSA2048, Plain: addresses[0]}
	mdm := peer.MicroMDM{Program: b.micromdm, Dir: b.place("micromdm"), Plain: addresses[1]}
	if err := errors.Join(step.SetUp(), mdm.SetUp()); err != nil {
		return nil, err
	}
	none, err := stub.New()
	if err != nil {
		return nil, err
	}
	runs := func(start func(string, machine.Cores) (*peer.Server, error)) func(string, machine.Cores) (func() error, error) {
		return func(dir string, cores machine.Cores) (func() error, error) {
			s, err := start(dir, cores)
			if err != nil {
				return nil, err
			}
			return func() error { return stop(s) }, nil
		}
	}
	serve := &backend{name: "stub", short: "stub", path: stub.Path, levels: []level{{1, b.pick(1000, 100)}, {8, b.pick(3000, 300)}, {32, b.pick(8000, 800)}}}
	serve.start = func(string, machine.Cores) (func() error, error) { return none.Serve(serve.address) }
	list := []*backend{
		{name: "step-ca", short: "step", path: "/scep/scep", start: runs(step.Start), levels: b.levels()},
		{name: "micromdm/scep", short: "mdm", path: "/scep", start: runs(mdm.Start), levels: b.levels()},
		serve,
	}
	most := 0
	for i, k := range list {
		k.address = addresses[i]
		k.ours = b.ours(b.place("chancery-" + k.short))
		most = max(most, k.devices())
	}
	b.say("making %d devices", most)
	devices, err := scepload.Devices("bench", most)
	if err != nil {
		return nil, err
	}
	for _, k := range list {
		b.say("messages and passes for %s", k.name)
		if err := b.ready(k, devices[:k.devices()]); err != nil {
			return nil, fmt.Errorf("%s: %w", k.name, err)
		}
	}
	b.say("answers of the stub")
	return list, serve.batch.Each(none.Learn)
}

// devices is how many enrol in a run, and one more that does not.
func (k *backend) devices() int {
	n := warmUp + 1
	for _, l := range k.levels {
		n += l.calls
	}
	return n
}

// ready makes the messages for a server and sets ours up before it.
func (b *bench) ready(k *backend, devices []*scepload.Device) error {
	stop, err := k.start(b.place("prepare-"+k.short), bothCores)
	if err != nil {
		return err
	}
	if err := k.deviceBatch(devices); err != nil {
		return errors.Join(err, stop())
	}
	names := make([]string, len(devices))
	for i, d := range devices {
		names[i] = d.Name
	}
	err = k.ours.open(b.ctx, func(ctx context.Context, a *app.App) error {
		ids, err := k.ours.devices(ctx, a, names)
		if err != nil {
			return err
		}
		template, err := k.ours.relay(ctx, a, "http://"+k.address+k.path)
		if err != nil {
			return err
		}
		k.passes, err = passes(ctx, a, template, ids)
		return err
	})
	return errors.Join(err, stop())
}

// relay makes an authority that is a SCEP server elsewhere, and a template at it.
func (o *ours) relay(ctx context.Context, a *app.App, address string) (*ra.Template, error) {
	name := "Bench relay"
	settings, err := json.Marshal(map[string]string{"url": address, "challenge_type": "static", "challenge": peer.Challenge})
	if err != nil {
		return nil, err
	}
	at, err := a.Authorities.Create(ctx, owner, "scep", authority.Input{GroupID: &o.group, Name: &name, Settings: settings})
	if err != nil {
		return nil, err
	}
	return a.Enroll.CreateTemplate(ctx, owner, enroll.TemplateInput{GroupID: &o.group, AuthorityID: &at.ID, Name: &name,
		Spec: &ra.TemplateSpec{Subject: "CN={DeviceUid}", KeyType: "rsa-2048", KeyPlace: ra.KeyOnDevice, Usage: "both", EKUs: []string{"clientAuth"}, Validity: 365,
			AutoRenew: true, RenewBefore: 30}})
}

// passes makes a pass for each device, has its parameters given away, and gives
// the paths in them. Several are made at once: they share writes to the disk.
func passes(ctx context.Context, a *app.App, template *ra.Template, devices []ra.DeviceID) ([]string, error) {
	const workers = 16
	paths := make([]string, len(devices))
	failed := make([]error, workers)
	var next atomic.Int64
	var making sync.WaitGroup
	for w := range workers {
		making.Go(func() {
			for failed[w] == nil {
				i := int(next.Add(1)) - 1
				if i >= len(devices) {
					return
				}
				paths[i], failed[w] = onePass(ctx, a, pass.CreateInput{Template: template.ID, Device: devices[i], Model: ra.PassProxy})
			}
		})
	}
	making.Wait()
	return paths, errors.Join(failed...)
}

func onePass(ctx context.Context, a *app.App, in pass.CreateInput) (path string, err error) {
	p, err := a.Passes.Create(ctx, owner, in)
	if err != nil {
		return "", err
	}
	v, err := a.Passes.Parameters(ctx, owner, p.ID)
	if err != nil {
		return "", err
	}
	if v.Challenge.Reveal() != peer.Challenge {
		return "", errors.New("the pass came without the challenge of its server")
	}
	u, err := url.Parse(v.URL)
	if err != nil {
		return "", err
	}
	return u.EscapedPath(), nil
}

func hostOf(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	return u.Host, nil
}
