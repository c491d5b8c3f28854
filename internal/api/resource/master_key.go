package resource

import "time"

// MasterKey is how far the rotation of the master key is. Keys go by name; a
// name is not secret.
type MasterKey struct {
	Seals      string    `json:"seals" doc:"Name of the key that seals."`
	Next       string    `json:"next,omitempty" doc:"Name of the key that is taking over."`
	State      string    `json:"state,omitempty" enum:"offered,sealing,alone" doc:"offered: the nodes learn it. sealing: it seals, and the rest is sealed anew. alone: the former key can be dropped."`
	SealedAnew int64     `json:"sealed_anew" doc:"Secrets sealed anew so far."`
	Left       int64     `json:"left" doc:"Secrets sealed by former keys."`
	Nodes      []KeyNode `json:"nodes" nullable:"false" doc:"The servers that are alive."`
}

// KeyNode is what one server has of the master keys.
type KeyNode struct {
	Node    string    `json:"node"`
	Seals   string    `json:"seals" doc:"Name of the key it seals with."`
	Problem string    `json:"problem,omitempty" doc:"Why its master key file could not be changed."`
	SeenAt  time.Time `json:"seen_at"`
}
