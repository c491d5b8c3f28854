package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"chancery/bench/load"
	"chancery/bench/machine"
	"chancery/bench/peer"
	"chancery/bench/report"
	"chancery/bench/scepload"
)

// The ways to a SCEP server.
const (
	direct  = "none"
	byNginx = "nginx"
	byOurs  = "Chancery"
)

var ways = []string{direct, byNginx, byOurs}

// proxy measures enrolments at SCEP servers of others: straight, through nginx,
// and through our proxy with a pass for each. What stands in between has a core
// of its own; the server behind it shares the other with the clients.
func (b *bench) proxy() error {
	nginx, err := peer.FindNginx()
	if err != nil {
		return err
	}
	b.fact("nginx", nginx.Version)
	if err := b.peers(); err != nil {
		return err
	}
	backends, err := b.backends()
	if err != nil {
		return err
	}
	core, err := askLimit()
	if err != nil {
		return err
	}
	all, verified := series{}, 0
	for round := range b.pick(3, 1) {
		for _, k := range backends {
			for _, way := range ways {
				b.say("round %d: %s, proxy: %s", round+1, k.name, way)
				n, err := b.enrolThrough(k, way, nginx, all)
				if err != nil {
					return fmt.Errorf("%s, proxy %s: %w", k.name, way, err)
				}
				verified += n
			}
		}
	}
	b.tellProxy(backends, all, core, verified)
	return nil
}

// enrolThrough measures one way to a server at every level, from the state both
// were set up in. It gives how many answers it verified.
func (b *bench) enrolThrough(k *backend, way string, nginx *peer.Nginx, all series) (verified int, err error) {
	if err := machine.Stay(clientCore); err != nil {
		return 0, err
	}
	defer machine.Stay(bothCores)
	stopBackend, err := k.start(b.place(k.short), clientCore)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stopBackend()) }()
	host, batch, used := k.address, k.batch, func() (time.Duration, error) { return 0, nil }
	if way != direct {
		var front *peer.Server
		if way == byNginx {
			front, err = nginx.Start(b.place("nginx-"+k.short), k.address, k.path, serverCore)
		} else {
			front, err = k.ours.start(b.place("proxy-"+k.short), serverCore)
			batch = batch.Through(func(i int) string { return k.passes[i] })
		}
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, stop(front)) }()
		if host, err = hostOf(front.SCEP); err != nil {
			return 0, err
		}
		used = front.CPU
	}
	dial := func() (net.Conn, error) { return net.Dial("tcp", host) }
	machine.Settle()
	warm := batch.Sender(host, 0, warmUp, warmUp)
	if _, err := driven(used, load.Plan{Clients: 8, Calls: warmUp, Dial: dial, Call: warm.Call}); err != nil {
		return 0, fmt.Errorf("warming up: %w", err)
	}
	first := warmUp
	for _, l := range k.levels {
		sender := batch.Sender(host, first, l.calls, 50)
		first += l.calls
		f, err := driven(used, load.Plan{Clients: l.clients, Calls: l.calls, Dial: dial, Call: sender.Call})
		if err != nil {
			return verified, err
		}
		n, err := sender.Verify()
		if err != nil {
			return verified, err
		}
		verified += n
		all.add(k.series(way, l.clients), f)
	}
	if way == byOurs {
		return verified, k.refused(host, dial)
	}
	return verified, nil
}

// refused sees that the proxy did look at the passes: the message of a device
// that has not enrolled yet is not passed on with the pass of one that has.
func (k *backend) refused(host string, dial func() (net.Conn, error)) error {
	c := load.NewConn(dial)
	defer c.Close()
	for _, i := range []int{0, warmUp} {
		status, body, err := c.Do(load.Request(http.MethodPost, host, k.passes[i]+"?operation=PKIOperation", k.batch.Message(k.devices()-1)))
		if err != nil {
			return err
		}
		if status != http.StatusForbidden {
			return fmt.Errorf("a used pass and a message of another device: HTTP %d: %.100q", status, body)
		}
	}
	return nil
}

func (k *backend) series(way string, clients int) string {
	return fmt.Sprintf("%s %s %d", k.name, way, clients)
}

// The goals.
const (
	ofNginx     = 0.8  // of its rate
	throughStub = 8000 // a second
	addedMillis = 0.5  // to the p50 of one client
)

// tellProxy writes the table and holds the figures against their goals.
func (b *bench) tellProxy(backends []*backend, all series, core limit, verified int) {
	s := b.report.Section("SCEP proxy", "server behind", "proxy", "clients", "per second", "p50 ms", "p99 ms", "p50 ms added", "CPU ms each", "rate to nginx's")
	for _, k := range backends {
		for _, way := range ways {
			for _, l := range k.levels {
				f, straight, other := all.middle(k.series(way, l.clients)), all.middle(k.series(direct, l.clients)), all.middle(k.series(byNginx, l.clients))
				added, cpu := "", ""
				if way != direct {
					cpu = number(f.cpu)
					if l.clients == 1 { // several wait for each other at the server, wherever they wait
						added = number(f.p50 - straight.p50)
					}
				}
				s.Row(k.name, way, fmt.Sprint(l.clients), number(f.rate), number(f.p50), number(f.p99), added, cpu, number(f.rate/other.rate))
			}
		}
	}
	s.Note("The proxy has core 0. The server behind it has core 1 together with the clients, so a real one is what limits the rate, and CPU is the proxy's alone. Clients and stub, which are one process, never took more than %s of their core with Chancery, and %s with nginx.",
		percent(all.of(byOurs, backends).busiest()), percent(all.of(byNginx, backends).busiest()))
	s.Note("Medians over %d round(s); every round starts proxy and server anew on their first state. %d answers were opened and their certificates verified, and a used pass was seen to be refused after each run.", b.pick(3, 1), verified)
	s.Note("Every enrolment has a pass of its own, and its first message is all the proxy sees of it: the token is looked up, the signature verified, the pass bound to key and transaction on disk before the message goes on, and the answer, the trace and audit entries are on disk before the device gets it. nginx passes octets on.")
	s.Note("Verifying the signatures of message and answer, two RSA operations, takes Go's own cryptography %s ms in this run: a core that did nothing else would come to %s enrolments a second.",
		number(1000/core.perSecondProxied()), number(core.perSecondProxied()))

	stub := backends[len(backends)-1]
	for _, k := range backends[:len(backends)-1] {
		b.report.Goal("SCEP proxy, "+k.name+", 1 core, 32 clients: rate to nginx's",
			all.middle(k.series(byOurs, 32)).rate/all.middle(k.series(byNginx, 32)).rate, report.AtLeast, ofNginx, "x")
	}
	b.report.Goal("SCEP proxy, stub, 1 core, 32 clients: enrolments a second", all.middle(stub.series(byOurs, 32)).rate, report.AtLeast, throughStub, "")
	b.report.Goal("SCEP proxy, stub, 1 core, 1 client: added to the p50", all.middle(stub.series(byOurs, 1)).p50-all.middle(stub.series(direct, 1)).p50, report.AtMost, addedMillis, " ms")
}

// of picks what was measured one way.
func (s series) of(way string, backends []*backend) series {
	out := series{}
	for _, k := range backends {
		for _, l := range k.levels {
			name := k.series(way, l.clients)
			out[name] = s[name]
		}
	}
	return out
}

// deviceBatch makes the messages of devices for the server of a backend.
func (k *backend) deviceBatch(devices []*scepload.Device) (err error) {
	k.batch, err = scepload.Prepare("http://"+k.address+k.path, devices, func(int) string { return peer.Challenge })
	return err
}
