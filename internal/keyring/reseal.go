package keyring

import (
	"context"
	"fmt"
	"slices"
	"time"

	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/store"
)

const (
	// batch is how many values are looked at in one transaction. It keeps the
	// writer of SQLite for a few milliseconds.
	batch = 200
	// slice is how long the job works before it lets others go first.
	slice = 45 * time.Second
)

// ResealJob seals anew what other keys than the named one sealed.
type ResealJob struct {
	Key string `json:"key"`
}

// Kind is the stable name of the job.
func (ResealJob) Kind() string { return "keyring.reseal" }

// Reseal runs the job. It may be stopped anywhere: each batch is one
// transaction together with where it ended.
func (s *Service) Reseal(ctx context.Context, j ResealJob) error {
	if err := s.Catch(ctx); err != nil {
		return err
	}
	if s.Box.KeyID() != j.Key {
		return nil // another rotation has begun since
	}
	var former [][]byte
	for _, id := range s.Box.Keys()[1:] {
		former = append(former, seal.Prefix(id))
	}
	slow, cancel := context.WithTimeout(ctx, slice)
	defer cancel()
	for {
		done, err := s.step(ctx, j.Key, former)
		if err != nil || done {
			return err
		}
		if slow.Err() != nil {
			return ra.Errorf(ra.Busy, "There is more to seal anew.").WithRemedy("It goes on by itself.").WithRetry(time.Second)
		}
	}
}

// step seals one batch anew, or finds that nothing is left.
func (s *Service) step(ctx context.Context, id string, former [][]byte) (done bool, err error) {
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		keys, err := tx.MasterKeys()
		if err != nil {
			return err
		}
		at := slices.IndexFunc(keys, func(k store.MasterKey) bool { return k.ID == id && k.State == store.KeySealing })
		if done = at < 0; done {
			return nil
		}
		k := keys[at]
		places := store.SealedPlaces()
		if k.Place == "" {
			k.Place = places[0]
		}
		place := slices.Index(places, k.Place)
		if place < 0 || place == len(places) {
			return fmt.Errorf("keyring: no place %q", k.Place)
		}
		list, last, err := tx.SealedAfter(k.Place, k.After, former, batch)
		if err != nil {
			return err
		}
		for _, v := range list {
			s.say("value")
			table, row, field := v.Sealing()
			box, changed, err := s.Box.Reseal(table, row, field, v.Box)
			if err != nil {
				return err
			}
			if !changed {
				continue
			}
			if ok, err := tx.ReplaceSealed(v, box); err != nil {
				return err
			} else if ok {
				k.Resealed++
			}
		}
		k.After = last
		if last == "" {
			k.Place = ""
			if place+1 < len(places) {
				k.Place = places[place+1]
			}
		}
		if k.Place != "" || last != "" {
			_, err = tx.PutMasterKey(k, store.KeySealing)
			return err
		}
		s.say("end of a round")
		// The end of a round. Values sealed by a node just before it took up the
		// new key may have come in behind us: then there is another round.
		var left int64
		for _, prefix := range former {
			n, err := tx.CountSealed(prefix)
			if err != nil {
				return err
			}
			left += n
		}
		if left == 0 {
			k.State = store.KeyAlone
			done = true
			if err := audit.Record(tx, audit.Entry{Code: audit.MasterKeyAlone, Actor: ra.System("keyring"), Object: k.ID,
				Message: "Everything is sealed by the master key " + k.ID + ".", Details: map[string]any{"sealed_anew": k.Resealed}}); err != nil {
				return err
			}
		}
		_, err = tx.PutMasterKey(k, store.KeySealing)
		return err
	})
	if err == nil {
		s.say("batch")
	}
	return done, err
}

func (s *Service) say(step string) {
	if s.Step != nil {
		s.Step("keyring." + step)
	}
}
