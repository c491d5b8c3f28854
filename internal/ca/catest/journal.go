package catest

import (
	"context"
	"maps"
	"slices"
	"sync"

	"chancery/internal/ra"
)

// Journal is a ca.Journal in memory that outlives connectors, as a database
// does, and can be told to fail. The zero value is ready and safe for
// concurrent use; set the functions before it is used.
type Journal struct {
	// Before is asked before an operation ("put" or "get") on a key; an error
	// stops it and nothing is stored.
	Before func(ctx context.Context, op, key string) error
	// After is asked once an operation is done; an error is all the caller
	// learns, as when the connection breaks while a commit is answered.
	After func(ctx context.Context, op, key string) error

	mu     sync.Mutex
	values map[string][]byte
}

// Put stores value unless the key is taken, and gives what is stored now.
func (j *Journal) Put(ctx context.Context, key string, value []byte) ([]byte, error) {
	if err := ask(ctx, j.Before, "put", key); err != nil {
		return nil, err
	}
	j.mu.Lock()
	if j.values == nil {
		j.values = map[string][]byte{}
	}
	if _, taken := j.values[key]; !taken {
		j.values[key] = slices.Clone(value)
	}
	stored := slices.Clone(j.values[key])
	j.mu.Unlock()
	return stored, ask(ctx, j.After, "put", key)
}

// Get gives the value under key; a missing key is ra.NotFound.
func (j *Journal) Get(ctx context.Context, key string) ([]byte, error) {
	if err := ask(ctx, j.Before, "get", key); err != nil {
		return nil, err
	}
	j.mu.Lock()
	value, ok := j.values[key]
	value = slices.Clone(value)
	j.mu.Unlock()
	if !ok {
		return nil, ra.Errorf(ra.NotFound, "The journal has no entry of that name.")
	}
	return value, ask(ctx, j.After, "get", key)
}

// Keys lists what is stored, sorted.
func (j *Journal) Keys() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Sorted(maps.Keys(j.values))
}

func ask(ctx context.Context, f func(context.Context, string, string) error, op, key string) error {
	if f == nil {
		return nil
	}
	return f(ctx, op, key)
}
