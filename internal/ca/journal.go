package ca

import (
	"bytes"
	"context"
	"encoding/json"

	"chancery/internal/ra"
)

// Recall reads the journal's entry under key, as JSON, into to; found is false when
// there is none. An error is Unreachable: what was done before is not known now.
func (e Env) Recall(ctx context.Context, key string, to any) (found bool, err error) {
	raw, err := e.Journal.Get(ctx, key)
	if ra.KindOf(err) == ra.NotFound {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, to)
	}
	if err != nil {
		return false, e.journalError(err)
	}
	return true, nil
}

// Remember writes value under key into the journal, as JSON, and reports whether it is
// what stands there now: the first to write under a key stays. Errors are those of
// Recall.
func (e Env) Remember(ctx context.Context, key string, value any) (ours bool, err error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return false, ra.AsError(err)
	}
	stored, err := e.Journal.Put(ctx, key, raw)
	if err != nil {
		return false, e.journalError(err)
	}
	return bytes.Equal(stored, raw), nil
}

func (e Env) journalError(err error) error {
	return ra.Errorf(ra.Unreachable, "What was sent to %s could not be looked up.", e.Name).WithRemedy("It is tried again.").WithCause(err)
}
