package catest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"chancery/internal/ra"
)

func TestJournal(t *testing.T) {
	ctx := t.Context()
	var j Journal
	if _, err := j.Get(ctx, "a"); ra.KindOf(err) != ra.NotFound {
		t.Errorf("a missing key gives %v", err)
	}
	first := []byte("one")
	for _, value := range [][]byte{first, []byte("two")} {
		if stored, err := j.Put(ctx, "a", value); err != nil || string(stored) != "one" {
			t.Errorf("Put gives %q, %v; want what was there first", stored, err)
		}
	}
	first[0] = 'X'
	if got, err := j.Get(ctx, "a"); err != nil || string(got) != "one" {
		t.Errorf("Get gives %q, %v", got, err)
	}
	if keys := j.Keys(); !slices.Equal(keys, []string{"a"}) {
		t.Errorf("keys %v", keys)
	}

	broken := errors.New("broken")
	j.Before = func(_ context.Context, op, key string) error {
		if op == "put" && key == "b" {
			return broken
		}
		return nil
	}
	if _, err := j.Put(ctx, "b", first); !errors.Is(err, broken) || len(j.Keys()) != 1 {
		t.Errorf("a failure before: %v, keys %v", err, j.Keys())
	}
	j.Before = nil
	j.After = func(context.Context, string, string) error { return broken }
	if _, err := j.Put(ctx, "b", first); !errors.Is(err, broken) || len(j.Keys()) != 2 {
		t.Errorf("a failure after: %v, keys %v; the value is stored all the same", err, j.Keys())
	}
}
