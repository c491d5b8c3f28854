package store

import (
	"time"
)

// KeyState is where a master key is on its way.
type KeyState string

// The states of a master key. The key an installation began with has no row
// until it is dropped.
const (
	KeyOffered KeyState = "offered" // the nodes learn it
	KeySealing KeyState = "sealing" // it seals, and what others sealed is sealed anew
	KeyAlone   KeyState = "alone"   // nothing is sealed by any other
	KeyInUse   KeyState = "in_use"  // and the others were dropped
	KeyDropped KeyState = "dropped" // no node keeps it
)

// MasterKey is a master key as the database knows it: never the key.
type MasterKey struct {
	ID       string
	State    KeyState
	Box      []byte // the key, sealed by the one before it; zeros once that was dropped
	Place    string // where sealing anew has got to: the place,
	After    string // and the last row there
	Resealed int64  // values sealed anew so far
	Began    time.Time
	Changed  time.Time
}

// KeyNode is what a node has of the master keys.
type KeyNode struct {
	Node    string
	Holds   string // names of the keys in its file, with commas between
	Seals   string // name of the key it seals with
	Problem string // why its file could not be changed
	Seen    time.Time
}

// MasterKeys lists the master keys that were ever offered or dropped, oldest
// first.
func (tx *Tx) MasterKeys() ([]MasterKey, error) {
	var rows []struct {
		ID       string `db:"key_id"`
		State    string `db:"state"`
		Box      []byte `db:"box"`
		Place    string `db:"place"`
		After    string `db:"after_row"`
		Resealed int64  `db:"resealed"`
		Began    int64  `db:"created_at"`
		Changed  int64  `db:"updated_at"`
	}
	if err := tx.x.SelectContext(tx.ctx, &rows, "SELECT key_id, state, box, place, after_row, resealed, created_at, updated_at FROM keyring ORDER BY created_at, key_id"); err != nil {
		return nil, fit(err)
	}
	out := make([]MasterKey, len(rows))
	for i, r := range rows {
		out[i] = MasterKey{r.ID, KeyState(r.State), r.Box, r.Place, r.After, r.Resealed, instant(r.Began), instant(r.Changed)}
	}
	return out, nil
}

// PutMasterKey stores a master key's row, if it is still in one of the states
// from; with none, if there is no row. It tells whether it did.
func (tx *Tx) PutMasterKey(k MasterKey, from ...KeyState) (bool, error) {
	if len(from) == 0 {
		n, err := tx.exec("INSERT INTO keyring (key_id, state, box, place, after_row, resealed, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (key_id) DO NOTHING",
			k.ID, string(k.State), blob(k.Box), k.Place, k.After, k.Resealed, millis(tx.Now), millis(tx.Now))
		return n == 1, err
	}
	var changed int64
	for _, state := range from {
		n, err := tx.exec("UPDATE keyring SET state = $2, box = $3, place = $4, after_row = $5, resealed = $6, updated_at = $7 WHERE key_id = $1 AND state = $8",
			k.ID, string(k.State), blob(k.Box), k.Place, k.After, k.Resealed, millis(tx.Now), string(state))
		if err != nil {
			return false, err
		}
		changed += n
	}
	return changed == 1, nil
}

// PutKeyNode stores what a node has, seen now.
func (tx *Tx) PutKeyNode(n KeyNode) error {
	_, err := tx.exec("INSERT INTO keyring_nodes (node, holds, seals, problem, seen_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (node) DO UPDATE SET holds = excluded.holds, seals = excluded.seals, problem = excluded.problem, seen_at = excluded.seen_at",
		n.Node, n.Holds, n.Seals, n.Problem, millis(tx.Now))
	return err
}

// DeleteKeyNode forgets a node that has ended.
func (tx *Tx) DeleteKeyNode(node string) error {
	_, err := tx.exec("DELETE FROM keyring_nodes WHERE node = $1", node)
	return err
}

// KeyNodes lists the nodes seen since an instant.
func (tx *Tx) KeyNodes(since time.Time) ([]KeyNode, error) {
	var rows []struct {
		Node    string `db:"node"`
		Holds   string `db:"holds"`
		Seals   string `db:"seals"`
		Problem string `db:"problem"`
		Seen    int64  `db:"seen_at"`
	}
	if err := tx.x.SelectContext(tx.ctx, &rows, "SELECT node, holds, seals, problem, seen_at FROM keyring_nodes WHERE seen_at >= $1 ORDER BY node", millis(since)); err != nil {
		return nil, fit(err)
	}
	out := make([]KeyNode, len(rows))
	for i, r := range rows {
		out[i] = KeyNode{r.Node, r.Holds, r.Seals, r.Problem, instant(r.Seen)}
	}
	return out, nil
}
