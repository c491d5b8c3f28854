package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"chancery/bench/load"
	"chancery/bench/machine"
	"chancery/bench/report"
)

// filter is a question people ask of an inventory; ask gives its address, with
// other values each time where there are any.
type filter struct {
	name  string
	ask   func(i int) string
	pages int // of the largest size that are leafed through before it is measured
}

// longEnough is how long one question is asked.
const longEnough = 4 * time.Second

// found is how a filter fared.
type found struct {
	items    int
	p50, p95 float64 // ms
}

// inventory measures every filter over a million certificates through the API,
// on both databases.
func (b *bench) inventory() error {
	results := map[string]map[string]found{}
	var filters []filter
	for _, engine := range []string{sqlite, postgres} {
		s, err := b.stocked(engine)
		if err != nil {
			return fmt.Errorf("%s: %w", engine, err)
		}
		filters = s.filters(time.Now())
		b.say("filters on %s", engine)
		if results[engine], err = b.askAll(s, filters); err != nil {
			return fmt.Errorf("%s: %w", engine, err)
		}
	}
	count := b.stocks[sqlite].count
	t := b.report.Section(fmt.Sprintf("Inventory filters, %d certificates", count), "question", "items", "SQLite p50 ms", "p95 ms", "PostgreSQL p50 ms", "p95 ms")
	for _, f := range filters {
		l, p := results[sqlite][f.name], results[postgres][f.name]
		t.Row(f.name, fmt.Sprint(l.items), number(l.p50), number(l.p95), number(p.p50), number(p.p95))
	}
	t.Note("Over HTTPS with a token, one client, pages of 50, server and client on both cores; %d calls for each line, fewer where they would take more than %s. The caller is an owner.", b.pick(40, 8), longEnough)
	t.Note("Besides the certificates: half as many devices, a fifth as many users, requests and audit entries. PostgreSQL runs as initdb sets it up, on the same machine.")
	for _, g := range []struct {
		engine string
		want   float64
	}{{sqlite, 100}, {postgres, 250}} {
		worst, where, slow := 0.0, "", 0
		for _, f := range filters {
			p95 := results[g.engine][f.name].p95
			if p95 >= g.want {
				slow++
			}
			if p95 > worst {
				worst, where = p95, f.name
			}
		}
		b.report.Goal(fmt.Sprintf("Filters on %s, %d certificates: p95 of the slowest (%s; %d of %d not below)", g.engine, count, where, slow, len(filters)), worst, report.Below, g.want, " ms")
	}
	t.Note("The PostgreSQL goal of 250 ms is meant for ten times as many certificates, which is not measured here.")
	return nil
}

// askAll asks every question for a while.
func (b *bench) askAll(s *stock, filters []filter) (out map[string]found, err error) {
	machine.Settle()
	server, err := s.startIn(s.dir, bothCores)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop(server)) }()
	config, err := s.tls()
	if err != nil {
		return nil, err
	}
	c := load.NewConn(func() (net.Conn, error) { return tls.Dial("tcp", server.API, config) })
	defer c.Close()
	out = map[string]found{}
	for _, f := range filters {
		if b.ctx.Err() != nil {
			return nil, b.ctx.Err()
		}
		var took []time.Duration
		items := 0
		cursor, err := s.leaf(c, server.API, f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		for i, began := 0, time.Now(); i < b.pick(40, 8) && time.Since(began) < longEnough; i++ {
			request := s.request(http.MethodGet, server.API, f.ask(i)+cursor, nil)
			start := time.Now()
			answer, err := expect(c, request, http.StatusOK)
			if err != nil {
				return nil, fmt.Errorf("%s (%s): %w", f.name, f.ask(i), err)
			}
			took = append(took, time.Since(start))
			items = max(items, countItems(answer))
		}
		slices.Sort(took)
		out[f.name] = found{items, milliseconds(report.Percentile(took, 0.5)), milliseconds(report.Percentile(took, 0.95))}
	}
	return out, nil
}

// leaf goes through the pages before the one that is measured, and gives what
// asks for that.
func (s *stock) leaf(c *load.Conn, host string, f filter) (cursor string, err error) {
	for range f.pages {
		answer, err := expect(c, s.request(http.MethodGet, host, f.ask(0)+"&limit=1000"+cursor, nil), http.StatusOK)
		if err != nil {
			return "", err
		}
		var page struct {
			Next string `json:"next"`
		}
		if err := json.Unmarshal(answer, &page); err != nil {
			return "", err
		}
		if page.Next == "" {
			return cursor, nil
		}
		cursor = "&after=" + url.QueryEscape(page.Next)
	}
	return cursor, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// countItems tells how many things a list holds; what is no list holds none.
func countItems(answer []byte) int {
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	if !bytes.Contains(answer, []byte(`"items"`)) || json.Unmarshal(answer, &list) != nil {
		return 0
	}
	return len(list.Items)
}

// filters lists the questions: what the console's pages ask, and what people
// type.
func (s *stock) filters(now time.Time) []filter {
	w := s.world
	day := func(n int) string { return now.AddDate(0, 0, n).UTC().Format(time.RFC3339) }
	q := func(path string, pairs ...string) string {
		v := url.Values{}
		for i := 0; i+1 < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		if len(v) == 0 {
			return path
		}
		return path + "?" + v.Encode()
	}
	same := func(path string, pairs ...string) func(int) string {
		address := q(path, pairs...)
		return func(int) string { return address }
	}
	const certs, devices, users, requests, audit, waiting = "/certificates", "/devices", "/users", "/requests", "/audit", "/obligations"
	platforms := []string{"ios", "windows", "android", "linux"}
	group := func(i int) string { return string(spread(w.Groups, i)) }
	region := func(i int) string { return string(w.Groups[i*10%len(w.Groups)]) } // with the nine groups below it
	authority := func(i int) string { return string(spread(w.Authorities, i)) }
	name := func(i int) string { return fmt.Sprintf("ws-ber-%06d", i*7919%max(len(w.Devices), 1)/5*5) } // every fifth device is in BER
	list := []filter{
		{name: "certificates, newest first", ask: same(certs)},
		{name: "certificates by end", ask: same(certs, "sort", "expires")},
		{name: "certificates by end, twenty thousand further on", ask: same(certs, "sort", "expires"), pages: 20},
		{name: "certificates by end, last first", ask: same(certs, "sort", "-expires")},
		{name: "certificates by subject", ask: same(certs, "sort", "subject")},
		{name: "certificates, with our own", ask: same(certs, "own", "true")},
		{name: "certificates that end within 30 days, valid", ask: same(certs, "state", "valid", "expires_after", day(0), "expires_before", day(30), "sort", "expires")},
		{name: "certificates that end within 7 days", ask: same(certs, "expires_after", day(0), "expires_before", day(7), "sort", "expires")},
		{name: "certificates that ended long ago", ask: same(certs, "expires_before", day(-200))},
		{name: "certificates that end on one day", ask: func(i int) string { return q(certs, "expires_after", day(20+i), "expires_before", day(21+i)) }},
		{name: "certificates that end within 90 days, oldest first", ask: same(certs, "expires_after", day(0), "expires_before", day(90), "sort", "created")},
		{name: "certificates that end in two years or later, by subject", ask: same(certs, "expires_after", day(730), "sort", "subject")},
		{name: "certificates by subject, last first", ask: same(certs, "sort", "-subject")},
		{name: "certificates, oldest first", ask: same(certs, "sort", "created")},
		{name: "certificates, valid or on hold, by end", ask: same(certs, "state", "valid,on_hold", "sort", "expires")},
		{name: "certificates, revoked, by subject", ask: same(certs, "state", "revoked", "sort", "subject")},
		{name: "certificates, expired, last end first", ask: same(certs, "state", "expired", "sort", "-expires")},
		{name: "certificates of an authority", ask: func(i int) string { return q(certs, "authority_id", authority(i)) }},
		{name: "certificates of an authority, valid, by end", ask: func(i int) string { return q(certs, "authority_id", authority(i), "state", "valid", "sort", "expires") }},
		{name: "certificates of a template", ask: func(i int) string { return q(certs, "template_id", string(spread(w.Templates, i))) }},
		{name: "certificates of a template, revoked", ask: func(i int) string { return q(certs, "template_id", string(spread(w.Templates, i)), "state", "revoked") }},
		{name: "certificates of a template, by end", ask: func(i int) string { return q(certs, "template_id", string(spread(w.Templates, i)), "sort", "expires") }},
		{name: "certificates of a template and authority that do not meet", ask: same(certs, "template_id", string(w.Templates[0]), "authority_id", "ca_none")},
		{name: "certificates of a region", ask: func(i int) string { return q(certs, "group_id", region(i)) }},
		{name: "certificates of a region, by subject", ask: func(i int) string { return q(certs, "group_id", region(i), "sort", "subject") }},
		{name: "certificates of a region, superseded", ask: func(i int) string { return q(certs, "group_id", region(i), "state", "superseded") }},
		{name: "certificates of a group", ask: func(i int) string { return q(certs, "group_id", group(i)) }},
		{name: "certificates of a group, valid, by end", ask: func(i int) string { return q(certs, "group_id", group(i), "state", "valid", "sort", "expires") }},
		{name: "certificates of a group, by subject", ask: func(i int) string { return q(certs, "group_id", group(i), "sort", "subject") }},
		{name: "certificates of the organization", ask: same(certs, "group_id", string(w.Organization))},
		{name: "certificates of the organization, valid, by end", ask: same(certs, "group_id", string(w.Organization), "state", "valid", "sort", "expires")},
		{name: "certificates of a device", ask: func(i int) string { return q(certs, "device_id", string(spread(w.Devices, i))) }},
		{name: "certificates of a user", ask: func(i int) string { return q(certs, "user_id", string(spread(w.Users, i))) }},
		{name: "certificate by serial, unknown", ask: func(i int) string { return q(certs, "serial", fmt.Sprintf("7%031x", i)) }},
		{name: "certificate by key, unknown", ask: func(i int) string { return q(certs, "spki_hash", fmt.Sprintf("%064x", i)) }},
		{name: "certificates by text, one device", ask: func(i int) string { return q(certs, "text", name(i)) }},
		{name: "certificates by text, a fifth of all", ask: same(certs, "text", "ws-ber")},
		{name: "certificates by text, middle of a name", ask: func(i int) string { return q(certs, "text", name(i)[3:]) }},
		{name: "certificates by text, nothing fits", ask: func(i int) string { return q(certs, "text", fmt.Sprintf("no such name %d", i)) }},
		{name: "certificates by text in a group", ask: func(i int) string { return q(certs, "text", "ws-muc", "group_id", group(i)) }},
		{name: "certificates by text, valid, by end", ask: same(certs, "text", "ws-par", "state", "valid", "sort", "expires")},
		{name: "certificates by text, a fifth of all, by end", ask: same(certs, "text", "ws-ber", "sort", "expires")},
		{name: "certificates by text, a fifth of all, by subject, last first", ask: same(certs, "text", "ws-ber", "sort", "-subject")},
		{name: "certificates by text, two letters, nothing fits", ask: same(certs, "text", "zq")},
		{name: "certificates by text, three digits", ask: func(i int) string { return q(certs, "text", fmt.Sprint(100+i*7%900)) }},
		{name: "certificates by text, a serial", ask: func(i int) string { return q(certs, "text", fmt.Sprintf("7%031x", i)) }},
		{name: "devices", ask: same(devices)},
		{name: "devices of a group", ask: func(i int) string { return q(devices, "group_id", group(i)) }},
		{name: "devices of a platform", ask: func(i int) string { return q(devices, "platform", spread(platforms, i)) }},
		{name: "devices of a platform nobody has", ask: same(devices, "platform", "ipados")},
		{name: "devices of a region and platform", ask: func(i int) string { return q(devices, "group_id", region(i), "platform", spread(platforms, i)) }},
		{name: "devices, enrolled, newest first", ask: same(devices, "state", "enrolled", "sort", "-created")},
		{name: "devices by text, a fifth of all, last first", ask: same(devices, "text", "ws-ber", "sort", "-name")},
		{name: "devices of a user", ask: func(i int) string { return q(devices, "user_id", string(spread(w.Users, i))) }},
		{name: "devices, blocked: none is", ask: same(devices, "state", "blocked")},
		{name: "devices by name", ask: same(devices, "sort", "name")},
		{name: "devices by text, one", ask: func(i int) string { return q(devices, "text", name(i)) }},
		{name: "devices by text, nothing fits", ask: func(i int) string { return q(devices, "text", fmt.Sprintf("no such name %d", i)) }},
		{name: "users", ask: same(users)},
		{name: "users, newest first", ask: same(users, "sort", "-created")},
		{name: "users of a region", ask: func(i int) string { return q(users, "group_id", region(i)) }},
		{name: "users of a group", ask: func(i int) string { return q(users, "group_id", group(i)) }},
		{name: "users by text", ask: same(users, "text", "chloé.adler")},
		{name: "users by text, nothing fits", ask: same(users, "text", "no such name")},
		{name: "requests, newest first", ask: same(requests)},
		{name: "requests to be approved", ask: same(requests, "state", "awaiting_approval")},
		{name: "requests under way", ask: same(requests, "state", "submitted,pending_at_ca,approved")},
		{name: "requests of an authority, issued", ask: func(i int) string { return q(requests, "authority_id", authority(i), "state", "issued") }},
		{name: "requests of an authority, denied: none is", ask: func(i int) string { return q(requests, "authority_id", authority(i), "state", "denied") }},
		{name: "requests of a template", ask: func(i int) string { return q(requests, "template_id", string(spread(w.Templates, i))) }},
		{name: "requests of a template nobody uses", ask: same(requests, "template_id", "tpl_none")},
		{name: "requests of a group", ask: func(i int) string { return q(requests, "group_id", group(i)) }},
		{name: "requests of a user", ask: func(i int) string { return q(requests, "user_id", string(spread(w.Users, i))) }},
		{name: "requests by text, one device", ask: func(i int) string { return q(requests, "text", name(i)) }},
		{name: "requests of a device", ask: func(i int) string { return q(requests, "device_id", string(spread(w.Devices, i))) }},
		{name: "requests by text, nothing fits", ask: same(requests, "text", "no such name")},
		{name: "what is due next", ask: same(waiting)},
		{name: "what is late", ask: same(waiting, "late", "true")},
		{name: "renewals due next", ask: same(waiting, "action", "renew")},
		{name: "what is due at an authority", ask: func(i int) string { return q(waiting, "authority_id", authority(i)) }},
		{name: "what is late at an authority", ask: func(i int) string { return q(waiting, "authority_id", authority(i), "late", "true") }},
		{name: "renewals due next in a region", ask: func(i int) string { return q(waiting, "group_id", region(i), "action", "renew") }},
		{name: "what is due in a region", ask: func(i int) string { return q(waiting, "group_id", region(i)) }},
		{name: "what is due within a week at an authority", ask: func(i int) string { return q(waiting, "authority_id", authority(i), "due_before", day(7)) }},
		{name: "what is due in a group", ask: func(i int) string { return q(waiting, "group_id", group(i)) }},
		{name: "calendar of 90 days", ask: same("/calendar", "days", "90")},
		{name: "calendar of a year", ask: same("/calendar", "days", "365")},
		{name: "calendar of 90 days of a region", ask: func(i int) string { return q("/calendar", "days", "90", "group_id", region(i)) }},
		{name: "calendar of a year of a region", ask: func(i int) string { return q("/calendar", "days", "365", "group_id", region(i)) }},
		{name: "calendar of 90 days of a group", ask: func(i int) string { return q("/calendar", "days", "90", "group_id", group(i)) }},
		{name: "status with its counts", ask: same("/status")},
		{name: "audit, newest first", ask: same(audit)},
		{name: "audit by code", ask: same(audit, "code", "certificate.")},
		{name: "audit of a device", ask: func(i int) string { return q(audit, "object", string(spread(w.Devices, i))) }},
		{name: "audit of a kind of codes there is none of", ask: same(audit, "code", "crl.")},
		{name: "audit by an actor", ask: func(i int) string { return q(audit, "actor", string(spread(w.Devices, i))) }},
		{name: "audit of a group", ask: func(i int) string { return q(audit, "group_id", group(i)) }},
		{name: "audit of the last day", ask: same(audit, "since", day(-1))},
		{name: "audit of a day half a year ago", ask: func(i int) string { return q(audit, "since", day(-180-i), "until", day(-179-i)) }},
		{name: "audit of more than a year ago", ask: same(audit, "until", day(-390))},
		{name: "audit by text, one device", ask: func(i int) string { return q(audit, "text", name(i)) }},
		{name: "audit by text, nothing fits", ask: same(audit, "text", "no such words")},
	}
	for _, action := range []string{"approve", "issue", "fetch", "await", "expire", "retire", "revoke"} {
		list = append(list, filter{name: "what waits: " + action, ask: same(waiting, "action", action)})
	}
	for _, state := range []string{"valid", "superseded", "on_hold", "revoked", "expired"} {
		list = append(list, filter{name: "certificates, " + state, ask: same(certs, "state", state)})
	}
	return list
}

// spread gives one of a list, far from the one before.
func spread[T any](list []T, i int) T { return list[(i*7919+13)%len(list)] }
