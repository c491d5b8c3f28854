package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"

	"chancery/bench/load"
	"chancery/bench/machine"
	"chancery/bench/peer"
	"chancery/bench/report"
	"chancery/bench/scepload"
	"chancery/internal/app"
	"chancery/internal/enroll"
	"chancery/internal/store/storebench"
)

// contender is one server in one configuration, with the messages for it.
type contender struct {
	name, challenge string
	key             peer.KeyType
	start           func(dir string, cores machine.Cores) (*peer.Server, error)
	text            func(i int) string // the challenge of device i
	stored          bool               // begins with a full inventory; measured with 32 clients on one core only
	batch           *scepload.Batch
}

func (c *contender) id() string {
	return fmt.Sprintf("%s/%s/%s/%v", c.name, c.key, c.challenge, c.stored)
}

// folder is a short name: that of a data folder is part of how a node calls
// itself.
func (c *contender) folder() string {
	name := string(c.key) + "-" + c.challenge
	if c.stored {
		name += "-full"
	}
	return name
}

// level is a number of clients with the calls they make.
type level struct{ clients, calls int }

const warmUp = 64 // calls before the first that counts

func (b *bench) levels() []level {
	return []level{{1, b.pick(300, 40)}, {8, b.pick(800, 80)}, {32, b.pick(1600, 200)}}
}

// scep measures enrolments at every server in turn, in rounds, so that a
// machine that is slower for a while is so for all of them.
func (b *bench) scep() error {
	if err := b.peers(); err != nil {
		return err
	}
	n := warmUp
	for _, l := range b.levels() {
		n += l.calls
	}
	b.say("making %d devices", n)
	devices, err := scepload.Devices("bench", n)
	if err != nil {
		return err
	}
	contenders, err := b.contenders(devices)
	if err != nil {
		return err
	}
	for _, c := range contenders {
		b.say("messages for %s", c.id())
		if err := b.prepare(c, devices); err != nil {
			return fmt.Errorf("%s: %w", c.id(), err)
		}
	}
	all, rsa, ec := series{}, []float64{}, []float64{}
	verified := 0
	for round := range b.pick(3, 1) {
		l, err := askLimit()
		if err != nil {
			return err
		}
		rsa, ec = append(rsa, l.perSecondRSA()), append(ec, l.perSecondECDSA())
		for _, c := range contenders {
			b.say("round %d: %s", round+1, c.id())
			k, err := b.enrol(c, all)
			if err != nil {
				return fmt.Errorf("%s: %w", c.id(), err)
			}
			verified += k
		}
	}
	b.tellSCEP(contenders, all, map[peer.KeyType]float64{peer.RSA2048: report.Median(rsa), peer.P256: report.Median(ec)}, verified)
	return nil
}

// contenders sets all servers up.
func (b *bench) contenders(devices []*scepload.Device) ([]*contender, error) {
	static := func(int) string { return peer.Challenge }
	small, full := b.ours(b.place("chancery")), b.ours(b.place("full"))
	tickets, err := small.openSCEP(b.ctx, devices)
	if err != nil {
		return nil, err
	}
	b.say("filling an inventory")
	if _, err := full.fill(b.ctx, storebench.Of(b.pick(100_000, 10_000), soon())); err != nil {
		return nil, err
	}
	fullTickets, err := full.openSCEP(b.ctx, devices)
	if err != nil {
		return nil, err
	}
	at := func(o *ours, endpoint string) func(string, machine.Cores) (*peer.Server, error) {
		return func(dir string, cores machine.Cores) (*peer.Server, error) {
			s, err := o.start(dir, cores)
			if err == nil {
				s.SCEP += endpoint
			}
			return s, err
		}
	}
	from := func(texts []string) func(int) string { return func(i int) string { return texts[i] } }
	var list []*contender
	for _, key := range []peer.KeyType{peer.RSA2048, peer.P256} {
		once, always := "once-"+string(key), "static-"+string(key)
		list = append(list,
			&contender{name: "Chancery", challenge: "one-time", key: key, start: at(small, once), text: from(tickets[once])},
			&contender{name: "Chancery", challenge: "static", key: key, start: at(small, always), text: static},
			&contender{name: "Chancery", challenge: "one-time", key: key, start: at(full, once), text: from(fullTickets[once]), stored: true})
		step := &peer.StepCA{Program: b.stepca, Dir: b.place("step-ca"), Key: key}
		if err := step.SetUp(); err != nil {
			return nil, err
		}
		list = append(list, &contender{name: "step-ca", challenge: "static", key: key, start: step.Start, text: static})
	}
	mdm := peer.MicroMDM{Program: b.micromdm, Dir: b.place("micromdm")}
	if err := mdm.SetUp(); err != nil {
		return nil, err
	}
	return append(list, &contender{name: "micromdm/scep", challenge: "static", key: peer.RSA2048, start: mdm.Start, text: static}), nil
}

// openSCEP sets our server up with an endpoint of each sort for each issuing
// key, and gives the one-time challenges by the endpoint's name. It ends with
// a start, which makes the certificates that open messages.
func (o *ours) openSCEP(ctx context.Context, devices []*scepload.Device) (map[string][]string, error) {
	tickets := map[string][]string{}
	names := make([]string, len(devices))
	for i, d := range devices {
		names[i] = d.Name
	}
	err := o.open(ctx, func(ctx context.Context, a *app.App) error {
		ids, err := o.devices(ctx, a, names)
		if err != nil {
			return err
		}
		for _, key := range []peer.KeyType{peer.RSA2048, peer.P256} {
			_, template, err := o.issuer(ctx, a, key)
			if err != nil {
				return err
			}
			for prefix, settings := range map[string]string{"once-": `{}`, "static-": `{"static_on":true,"static":"` + peer.Challenge + `"}`} {
				name := prefix + string(key)
				e, err := a.Enroll.CreateEndpoint(ctx, owner, enroll.EndpointInput{GroupID: &o.group, TemplateID: &template.ID, Name: &name, Settings: []byte(settings)})
				if err != nil {
					return err
				}
				if settings != "{}" {
					continue
				}
				if tickets[name], err = challenges(ctx, a, e, ids); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s, err := o.startIn(o.dir, bothCores)
	if err != nil {
		return nil, err
	}
	for name := range tickets {
		if _, err := scepload.Prepare(s.SCEP+name, nil, nil); err != nil {
			return nil, errors.Join(err, stop(s))
		}
	}
	return tickets, stop(s)
}

// prepare makes the messages for a server.
func (b *bench) prepare(c *contender, devices []*scepload.Device) error {
	s, err := c.start(b.place("prepare"), bothCores)
	if err != nil {
		return err
	}
	c.batch, err = scepload.Prepare(s.SCEP, devices, c.text)
	return errors.Join(err, stop(s))
}

// enrol measures a server at every level, on one core and then on both, each
// time from the state it was set up in. It gives how many answers it verified.
func (b *bench) enrol(c *contender, all series) (verified int, err error) {
	levels := b.levels()
	last := levels[len(levels)-1]
	first := warmUp
	for _, l := range levels[:len(levels)-1] {
		first += l.calls
	}
	if c.stored {
		levels = levels[len(levels)-1:]
	}
	n, err := b.enrolAt(c, apart, all, levels, first+last.calls)
	if err != nil || c.stored {
		return n, err
	}
	m, err := b.enrolAt(c, together, all, []level{last}, first+last.calls)
	return n + m, err
}

// enrolAt measures some levels in one run of the server. The messages are taken
// from the end backwards, so that a level sends the same ones in every run.
func (b *bench) enrolAt(c *contender, cores func() (machine.Cores, error), all series, levels []level, end int) (verified int, err error) {
	serverCores, err := cores()
	if err != nil {
		return 0, err
	}
	defer machine.Stay(bothCores)
	s, err := c.start(b.place(c.folder()), serverCores)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stop(s)) }()
	u, err := url.Parse(s.SCEP)
	if err != nil {
		return 0, err
	}
	dial := func() (net.Conn, error) { return net.Dial("tcp", u.Host) }
	machine.Settle()
	warm := c.batch.Sender(u.Host, 0, warmUp, warmUp)
	if _, err := drive(s, load.Plan{Clients: 8, Calls: warmUp, Dial: dial, Call: warm.Call}); err != nil {
		return 0, fmt.Errorf("warming up: %w", err)
	}
	first := end
	for _, l := range levels {
		first -= l.calls
	}
	for _, l := range levels {
		sender := c.batch.Sender(u.Host, first, l.calls, 50)
		first += l.calls
		f, err := drive(s, load.Plan{Clients: l.clients, Calls: l.calls, Dial: dial, Call: sender.Call})
		if err != nil {
			return verified, err
		}
		k, err := sender.Verify()
		if err != nil {
			return verified, err
		}
		verified += k
		all.add(fmt.Sprintf("%s %s %d", c.id(), serverCores, l.clients), f)
	}
	return verified, nil
}

// tellSCEP writes the table and holds the figures against their goals.
func (b *bench) tellSCEP(contenders []*contender, all series, limits map[peer.KeyType]float64, verified int) {
	s := b.report.Section("SCEP enrolment", "server", "issuing key", "challenge", "stored before", "cores", "clients", "per second", "p50 ms", "p99 ms", "CPU ms each", "of the core's limit", "CPU in private keys")
	get := func(name, challenge string, key peer.KeyType, stored bool, cores machine.Cores, clients int) figures {
		c := contender{name: name, challenge: challenge, key: key, stored: stored}
		return all.middle(fmt.Sprintf("%s %s %d", c.id(), cores, clients))
	}
	for _, key := range []peer.KeyType{peer.RSA2048, peer.P256} {
		for _, c := range contenders {
			if c.key != key {
				continue
			}
			for _, cores := range []machine.Cores{serverCore, bothCores} {
				for _, l := range b.levels() {
					f := get(c.name, c.challenge, key, c.stored, cores, l.clients)
					if f.rate == 0 {
						continue // this server is not measured at this level
					}
					stored, of := "0", percent(f.rate/limits[key])
					if c.stored {
						stored = fmt.Sprint(b.pick(100_000, 10_000))
					}
					if len(cores) > 1 {
						of = ""
					}
					s.Row(c.name, string(key), c.challenge, stored, fmt.Sprint(len(cores)), fmt.Sprint(l.clients), number(f.rate), number(f.p50), number(f.p99), number(f.cpu),
						of, percent(1000/limits[key]/f.cpu))
				}
			}
		}
	}
	s.Note("The limit of the core, by Go's own cryptography in this run: %s enrolments a second with an RSA-2048 issuing CA (three RSA private key operations each), %s with a P-256 one (two, and one ECDSA signature).",
		number(limits[peer.RSA2048]), number(limits[peer.P256]))
	s.Note("Medians over %d round(s); every round starts each server anew on its first state. %d answers were opened and their certificates verified.", b.pick(3, 1), verified)
	s.Note("On both cores the clients share them with the server. The clients never took more than %s of a core.", percent(all.busiest()))
	s.Note("What is on disk before SUCCESS is said: Chancery: request, intent, certificate, use of the challenge and audit entries, synchronously. step-ca: certificate, synchronously. micromdm/scep: files that are never synchronised.")

	const ours, step, mdm = "Chancery", "step-ca", "micromdm/scep"
	for _, key := range []peer.KeyType{peer.RSA2048, peer.P256} {
		f := get(ours, "one-time", key, false, serverCore, 32)
		want, share := 1.15, 90.0
		if key == peer.P256 {
			want, share = 1.25, 85
		}
		what := "SCEP, " + string(key) + " issuing CA, 1 core, 32 clients: "
		b.report.Goal(what+"rate to step-ca's", f.rate/get(step, "static", key, false, serverCore, 32).rate, report.AtLeast, want, "x")
		if key == peer.RSA2048 {
			b.report.Goal(what+"rate to micromdm/scep's", f.rate/get(mdm, "static", key, false, serverCore, 32).rate, report.AtLeast, 1.3, "x")
		}
		b.report.Goal(what+"of the core's limit", 100*f.rate/limits[key], report.AtLeast, share, " %")
		b.report.Goal(what+"p99 to p50", f.p99/f.p50, report.AtMost, 2, "x")
		b.report.Goal(what+"rate with a full inventory to that with an empty one", get(ours, "one-time", key, true, serverCore, 32).rate/f.rate, report.AtLeast, 0.95, "x")
		b.report.Goal("SCEP, "+string(key)+" issuing CA, both cores, 32 clients: rate to step-ca's",
			get(ours, "one-time", key, false, bothCores, 32).rate/get(step, "static", key, false, bothCores, 32).rate, report.AtLeast, 1.2, "x")
	}
}
