package embedded_test

import (
	"bytes"
	"testing"

	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

// A plan whose entry somebody else put into the journal is the certificate of
// its request: Make, Find and Issue give it, byte for byte.
func TestPlan(t *testing.T) {
	for _, keyType := range []string{"p-256", "rsa-2048"} {
		w := newWorld(t, `{"key_type": "`+keyType+`"}`)
		r := checked(t, w.order("req_1", pkixmsg.P256))
		plan, err := w.connect().Plan(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if _, found, err := w.connect().Find(t.Context(), r); found || err != nil {
			t.Fatalf("before it is kept: found %v, %v", found, err)
		}
		key, value, err := plan.Entry()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.journal.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
		made, err := w.connect().Make(t.Context(), r, plan)
		if err != nil {
			t.Fatal(err)
		}
		if made.Issuer == nil || made.Chain[0].CheckSignatureFrom(made.Issuer) != nil || !made.Issuer.Equal(made.Chain[1]) {
			t.Errorf("%s: the reply names %v as its issuer", keyType, made.Issuer)
		}
		found, ok, err := w.connect().Find(t.Context(), r)
		if err != nil || !ok {
			t.Fatalf("Find: %v, %v", ok, err)
		}
		again := w.issue(r.Order)
		if !bytes.Equal(found.Chain[0].Raw, made.Chain[0].Raw) || !bytes.Equal(again.Chain[0].Raw, made.Chain[0].Raw) {
			t.Errorf("%s: Make, Find and Issue give different certificates", keyType)
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	w := newWorld(t, `{}`)
	c := w.connect()
	first, second := checked(t, w.order("req_1", pkixmsg.P256)), checked(t, w.order("req_2", pkixmsg.P256))
	plan, err := c.Plan(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Make(t.Context(), second, plan)
	wantKind(t, err, ra.Conflict)
	_, err = c.Make(t.Context(), first, foreignPlan{})
	wantKind(t, err, ra.Internal)

	o := w.order("req_3", pkixmsg.P256)
	o.CSR, o.KeyAtCA = nil, "p-256"
	_, err = c.Plan(t.Context(), checked(t, o))
	wantKind(t, err, ra.Invalid)

	waiting := newWorld(t, `{"setup": "subordinate"}`)
	_, err = waiting.connect().Plan(t.Context(), first)
	wantKind(t, err, ra.RefusedByCA)
}

type foreignPlan struct{}

func (foreignPlan) Entry() (string, []byte, error) { return "", nil, nil }
