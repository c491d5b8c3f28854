package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"

	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/store"
)

// maxNode is the longest name of a node that the job queue takes.
const maxNode = 80

// node is a name of this server that is the same after a restart, so that it
// takes its own unfinished jobs up again at once. The folder of a long path is
// named by its hash.
func node(c Config) string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	data, err := filepath.Abs(c.Data)
	if err != nil {
		data = c.Data
	}
	if len(host)+1+len(data) > maxNode {
		sum := sha256.Sum256([]byte(data))
		data = hex.EncodeToString(sum[:8])
		host = host[:min(len(host), maxNode-1-len(data))]
	}
	return host + ":" + data
}

// factMasterKey names the master key that a database began with.
const factMasterKey = "master_key.first"

// masterKey opens the master key. It is made at the first start only: once the
// database holds a sealed value, a missing key file is a loss and not a start.
// All nodes on a database have the same key: one that has another may not seal
// a single value with it.
func (a *App) masterKey(ctx context.Context) (*seal.Box, error) {
	path := a.Config.MasterKey
	var sealed []byte
	if err := a.DB.Read(ctx, func(tx *store.Tx) (err error) {
		sealed, err = tx.AnySealed()
		if ra.KindOf(err) == ra.NotFound {
			return nil
		}
		return err
	}); err != nil {
		return nil, err
	}
	if len(sealed) > 0 {
		box, err := seal.Open(path)
		if err != nil {
			return nil, err
		}
		return box, a.claimKey(ctx, box, sealed)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, ra.Errorf(ra.Invalid, "The folder of the master key cannot be made.").WithField("master_key").
			WithRemedy("Choose a path this account may write to.").WithCause(err)
	}
	box, err := seal.Create(path)
	if err != nil {
		return nil, err
	}
	return box, a.claimKey(ctx, box, nil)
}

// claimKey refuses a master key that is not that of the database. The first
// node to come claims it; of two that begin at once with keys of their own, one
// is refused. A key that was rotated in is in the table of master keys.
func (a *App) claimKey(ctx context.Context, box *seal.Box, sealed []byte) error {
	return a.DB.Write(ctx, func(tx *store.Tx) error {
		keys, err := tx.MasterKeys()
		if err != nil {
			return err
		}
		for _, k := range keys {
			if k.State != store.KeyDropped && box.Holds(k.ID) {
				return nil
			}
		}
		first, err := tx.Fact(factMasterKey)
		if ra.KindOf(err) == ra.NotFound {
			// A database from before this was noted: its values tell.
			if id, ok := seal.KeyOf(sealed); ok && !box.Holds(id) {
				return a.foreignKey(box, id)
			}
			first, err = tx.ClaimFact(factMasterKey, box.KeyID())
		}
		if err != nil {
			return err
		}
		if !box.Holds(first) {
			return a.foreignKey(box, first)
		}
		return nil
	})
}

func (a *App) foreignKey(box *seal.Box, want string) error {
	return ra.Errorf(ra.Conflict, "The master key file %s holds key %s, and this database began with key %s.", a.Config.MasterKey, box.KeyID(), want).WithField("master_key").
		WithRemedy("Every server on a database has the same master key: copy the file from a server that works, or from where it is kept safe.")
}
