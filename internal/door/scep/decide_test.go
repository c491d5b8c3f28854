package scep

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/wire/scepmsg"
)

var update = flag.Bool("update", false, "rewrite testdata")

var (
	allSigners    = []signer{selfSigned, foreign, unknown, valid, early, closed, otherTemplate, otherDevice, expired, revoked, noDevice}
	allChallenges = []challenge{noChallenge, goodChallenge, staticChallenge, staticNobody, ownChallenge, spentChallenge, wrongChallenge, lockedChallenge}
	allHistories  = []history{fresh, same, otherKey}
)

// everyCase walks all message types an octet can hold, and some no octet can.
func everyCase(visit func(facts)) (n int) {
	types := []scepmsg.MessageType{-1, 256, 1 << 30}
	for i := range 256 {
		types = append(types, scepmsg.MessageType(i))
	}
	for _, kind := range types {
		for _, s := range allSigners {
			for _, c := range allChallenges {
				for _, h := range allHistories {
					visit(facts{kind: kind, signer: s, challenge: c, history: h})
					n++
				}
			}
		}
	}
	return n
}

// TestDecisions checks what must hold of every combination, one by one, and
// that each is decided by one rule at the most.
func TestDecisions(t *testing.T) {
	n := everyCase(func(f facts) {
		do := decide(f)
		matching := 0
		for _, r := range rules {
			if r.allows(f) {
				matching++
			}
		}
		bad := func(why string) {
			t.Errorf("%s, signer %s, challenge %s, history %s: %s, though %s", f.kind, f.signer, f.challenge, f.history, do, why)
		}
		if matching > 1 {
			bad(fmt.Sprintf("%d rules match", matching))
		}
		if do == refuse {
			if e := ra.AsError(f.why()); e.Kind == ra.Internal || e.Message == "" || e.Remedy == "" {
				bad("the refusal has no reason with a remedy")
			}
			return
		}
		switch f.kind {
		case scepmsg.PKCSReq, scepmsg.RenewalReq, scepmsg.CertPoll, scepmsg.GetCert, scepmsg.GetCRL:
		default:
			bad("nobody may send this type")
		}
		if f.history == otherKey {
			bad("the transaction is another key's")
		}
		switch f.signer {
		case unknown, otherDevice, revoked, noDevice:
			bad("the signer is never good")
		}
		first := f.kind == scepmsg.PKCSReq
		switch do {
		case enrol:
			if !first || f.challenge != goodChallenge || f.history != fresh {
				bad("enrolling takes a PKCSReq with a valid challenge")
			}
		case enrolStatic:
			if !first || f.challenge != staticChallenge || f.history != fresh {
				bad("it takes a PKCSReq with the static challenge")
			}
		case renew:
			if f.signer != valid || f.history != fresh || slices.Contains([]challenge{wrongChallenge, spentChallenge, lockedChallenge, staticNobody}, f.challenge) {
				bad("a renewal takes a valid certificate and no wrong challenge")
			}
		case repeat:
			if f.history != same {
				bad("there is nothing to repeat")
			}
		case giveCertificate, giveCRL:
			if f.signer == selfSigned || f.signer == foreign || f.signer == expired {
				bad("it takes a certificate of ours")
			}
		}
	})
	if want := 259 * len(allSigners) * len(allChallenges) * len(allHistories); n != want {
		t.Errorf("walked %d cases, want %d", n, want)
	}
}

// TestDecisionTable keeps the whole table in a file, so that a change of it is
// read like code.
func TestDecisionTable(t *testing.T) {
	var b strings.Builder
	b.WriteString("Everything a SCEP client may do, one combination a line; all others are refused.\n\n")
	everyCase(func(f facts) {
		if do := decide(f); do != refuse {
			fmt.Fprintf(&b, "%-10s | signed by: %-14s | challenge: %-17s | transaction: %-4s | %s\n", f.kind, f.signer, f.challenge, f.history, do)
		}
	})
	golden(t, "testdata/decisions.txt", b.String())
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run go test -update and read the diff", file)
	}
}

// TestVerdicts: every kind of error has a word in SCEP, and no others have.
func TestVerdicts(t *testing.T) {
	for _, k := range ra.Kinds {
		if _, ok := verdicts[k]; !ok {
			t.Errorf("kind %s has no failInfo", k)
		}
		info, _ := failInfo(ra.Errorf(k, "x"))
		if info < scepmsg.BadAlg || info > scepmsg.BadCertID {
			t.Errorf("kind %s: failInfo %d", k, info)
		}
	}
	if len(verdicts) != len(ra.Kinds) {
		t.Errorf("%d kinds have a failInfo, there are %d", len(verdicts), len(ra.Kinds))
	}
	if _, now := failInfo(errors.New("the database is gone")); now {
		t.Error("a failure of ours would end the client's attempt")
	}
	if info, now := failInfo(fmt.Errorf("wrapped: %w", unreadable(nil))); info != scepmsg.BadMessageCheck || !now {
		t.Errorf("an unreadable message: %s, %t", info, now)
	}
}

// TestStatuses: a client can be told of every state of a request.
func TestStatuses(t *testing.T) {
	for _, s := range ra.RequestStates {
		got, ok := statuses[s]
		want := scepmsg.Pending
		switch {
		case s == ra.Issued:
			want = scepmsg.Success
		case enroll.Ended(s):
			want = scepmsg.Failure
		}
		if !ok || got != want {
			t.Errorf("%s: got %d, want %d", s, got, want)
		}
	}
	if len(statuses) != len(ra.RequestStates) {
		t.Errorf("%d states, want %d", len(statuses), len(ra.RequestStates))
	}
}

func TestStrikes(t *testing.T) {
	var s strikes
	now := time.Now()
	for i := range 5 {
		s.add(now, time.Minute, "192.0.2.1", []byte{byte(i)})
		s.add(now, time.Minute, "192.0.2.1", []byte{byte(i)}) // the same again
	}
	if n := s.count(now, time.Minute, "192.0.2.1"); n != 5 {
		t.Errorf("counted %d, want 5", n)
	}
	if n := s.count(now, time.Minute, "192.0.2.2"); n != 0 {
		t.Errorf("a neighbour has %d", n)
	}
	if n := s.count(now.Add(time.Minute), time.Minute, "192.0.2.1"); n != 0 {
		t.Errorf("after the window: %d", n)
	}
	s.add(now, time.Minute, "2001:db8::1", []byte("a"))
	s.add(now, time.Minute, "2001:db8::2:3", []byte("b"))
	if n := s.count(now, time.Minute, "2001:db8::4"); n != 2 {
		t.Errorf("an IPv6 network has %d, want 2", n)
	}
	for i := range 3 * maxAddresses {
		s.add(now.Add(time.Duration(i)), time.Minute, fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), []byte("x"))
	}
	if len(s.by) > maxAddresses {
		t.Errorf("%d addresses are remembered", len(s.by))
	}
	for i := range 1000 {
		s.add(now, time.Minute, "192.0.2.9", fmt.Append(nil, i))
	}
	if n := s.count(now, time.Minute, "192.0.2.9"); n != maxStrikes {
		t.Errorf("one address holds %d", n)
	}
}

func TestRefusalsAreCounted(t *testing.T) {
	var r refusals
	now := time.Now()
	if write, _ := r.add(now, "a"); !write {
		t.Error("the first is not written")
	}
	for range 9 {
		if write, _ := r.add(now, "a"); write {
			t.Error("an equal one is written")
		}
	}
	if write, n := r.add(now.Add(refusalWindow), "a"); !write || n != 9 {
		t.Errorf("after the window: written %t, with %d more", write, n)
	}
	later := now.Add(2 * refusalWindow)
	written := 0
	for i := range 5000 {
		if write, _ := r.add(later, fmt.Sprint(i)); write {
			written++
		}
	}
	if written != refusalsMinute || len(r.since) > maxRefusals {
		t.Errorf("%d of 5000 were written in a minute, %d are remembered", written, len(r.since))
	}
	if _, n := r.add(later.Add(refusalWindow), "b"); n != 5000-refusalsMinute {
		t.Errorf("%d are reported as not written, want %d", n, 5000-refusalsMinute)
	}
}

// TestBusy: beyond the messages that can be worked on, clients are asked to
// come back instead of being left to wait.
func TestBusy(t *testing.T) {
	d := &Door{Now: time.Now}
	for i := range maxInFlight {
		if _, ok := d.enter(); !ok {
			t.Fatalf("no slot for message %d", i)
		}
	}
	if _, err := d.pkiOperation(t.Context(), &place{}, "192.0.2.1", secret.Text{}, nil); err != later {
		t.Errorf("got %v, want %v", err, later)
	}
	<-d.slots
	if leave, ok := d.enter(); !ok {
		t.Error("a slot given back is not taken")
	} else {
		leave()
	}
}
