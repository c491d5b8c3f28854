package scep_test

import ("testing";"sync";"sync/atomic";"time";"chancery/internal/wire/scepmsg")

func TestBenchTmp(t *testing.T) {
	w := newWorld(t, "sqlite:"+t.TempDir()+"/b.db", "p-256")
	e := w.endpoint("door", w.template(nil), nil)
	const n = 1500
	var sent []*scepmsg.Sent
	var c *client
	for range n {
		d := w.device()
		if c == nil { c = w.client(t, e, d, ecKey(t)) }
		x := *c
		x.device, x.name, x.dns = d, d.PlatformID, []string{d.PlatformID+".example.org"}
		x.use(t, ecKey(t)); x.challenge = w.challenge(e, d)
		sent = append(sent, must(x.request(t).Build())(t))
	}
	var next, ok atomic.Int64
	start := time.Now()
	var g sync.WaitGroup
	for range 32 { g.Go(func(){ for { i := next.Add(1)-1; if i >= n { return }; s,_,_ := post(t, c.url, sent[i].Message); if s == 200 { ok.Add(1) } } }) }
	g.Wait()
	el := time.Since(start)
	t.Logf("%d ok in %v: %.0f/s; certs %d", ok.Load(), el, float64(n)/el.Seconds(), 0)
}
