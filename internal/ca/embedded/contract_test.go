package embedded_test

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"testing"

	"chancery/internal/ca"
	"chancery/internal/ca/catest"
	"chancery/internal/ca/embedded"
)

// issued: a certificate exists once its intent is in the journal.
func issued(w *catest.World, id string) int {
	if slices.Contains(w.Journal.Keys(), "issue/"+id) {
		return 1
	}
	return 0
}

func contract(kind ca.Kind, settings string) catest.Setup {
	return catest.Setup{
		Kind: kind, Settings: settings, Issued: issued, Secrets: []string{"PRIVATE KEY-----"},
		Refuse: func(_ *catest.World, o *ca.Order) {
			o.KeyUsage |= x509.KeyUsageKeyEncipherment // not with an elliptic curve key
		},
		TimeOut: func(w *catest.World, _ *ca.Order) {
			w.Journal.Before = func(ctx context.Context, op, _ string) error {
				<-ctx.Done()
				return ctx.Err()
			}
		},
		CutLine: func(w *catest.World, _ *ca.Order) {
			w.Journal.Before = func(context.Context, string, string) error { return errors.New("disk full") }
		},
		// The crash between journal and signature.
		LoseAnswer: func(w *catest.World, _ *ca.Order) {
			w.Journal.After = func(context.Context, string, string) error { return errors.New("connection reset") }
		},
	}
}

func TestContract(t *testing.T) {
	kind := embedded.Kind()
	for name, settings := range map[string]string{
		"p-256":    `{}`,
		"p-384":    `{"key_type": "p-384", "root_key_type": "p-384"}`,
		"rsa-2048": `{"key_type": "rsa-2048", "root_key_type": "rsa-2048"}`,
	} {
		t.Run(name, func(t *testing.T) { catest.Run(t, contract(kind, settings)) })
	}
}
