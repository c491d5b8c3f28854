package store

import (
	"errors"
	"strconv"
	"sync"

	"chancery/internal/ra"
)

// Config is what every enrolment reads and only administrators change: groups,
// authorities, templates, SCEP endpoints, issuers, directories, and what callers
// make of them. It holds for one transaction, and gives what a look at the rows would
// give there, but keeps what it loaded for the transactions that come after.
//
// What makes that right on several nodes and the moment after a change is a
// number in the database, the generation, which every transaction that changes
// such a row raises. A transaction reads it once, and what was loaded under
// another one is not used. Only Read fills the memory: it never sees what may
// still be taken back.
//
// The nouns are shared. Whoever wants to change one loads it from Tx.
type Config struct {
	tx   *Tx
	kept *configMemory // nil: nothing may be kept
}

// configMemory is what was loaded under one generation.
type configMemory struct {
	generation int64
	mu         sync.RWMutex
	values     map[configKey]any
}

type configKey struct{ kind, id string }

// configFact is the fact that holds the generation.
const configFact = "config.generation"

// configTables are those whose rows belong to the configuration. Sealed fields
// of their rows are changed together with the row.
var configTables = map[string]bool{"groups": true, "authorities": true, "templates": true, "endpoints": true, "issuers": true, "directories": true}

// Config gives the configuration as it is in this transaction.
func (tx *Tx) Config() (*Config, error) {
	if tx.config != nil {
		return tx.config, nil
	}
	c := &Config{tx: tx}
	if !tx.reconfigured {
		value, err := tx.Fact(configFact)
		if err != nil && !errors.Is(err, &ra.Error{Kind: ra.NotFound}) {
			return nil, err
		}
		generation, _ := strconv.ParseInt(value, 10, 64) // none yet is 0
		c.kept = tx.db.memory(generation, !tx.lck)
	}
	tx.config = c
	return c, nil
}

// memory gives what is kept under a generation; nil when nothing is. A newer
// generation takes the place of an older one when it may be filled.
func (db *DB) memory(generation int64, fill bool) *configMemory {
	for {
		m := db.config.Load()
		switch {
		case m != nil && m.generation == generation:
			return m
		case !fill || m != nil && m.generation > generation:
			return nil
		}
		if fresh := (&configMemory{generation: generation, values: map[configKey]any{}}); db.config.CompareAndSwap(m, fresh) {
			return fresh
		}
	}
}

// configChanged raises the generation when a table belongs to the
// configuration. Everything that writes such a row calls it in the same
// transaction.
func (tx *Tx) configChanged(table string) error {
	if !configTables[table] || tx.reconfigured {
		return nil
	}
	tx.reconfigured, tx.config = true, nil
	_, err := tx.exec("INSERT INTO facts (name, value) VALUES ($1, '1') ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(facts.value AS BIGINT) + 1 AS TEXT)", configFact)
	return err
}

// Keep gives what load makes of the configuration under a kind and an ID of the
// caller's own, and keeps it as long as the configuration stays as it is. load
// may read nothing that is not part of the configuration; an error is not kept.
func Keep[T any](c *Config, kind, id string, load func(*Tx) (T, error)) (T, error) {
	key := configKey{kind, id}
	if c.kept != nil {
		c.kept.mu.RLock()
		v, ok := c.kept.values[key]
		c.kept.mu.RUnlock()
		if ok {
			return v.(T), nil
		}
	}
	v, err := load(c.tx)
	if err == nil && c.kept != nil && !c.tx.lck {
		c.kept.mu.Lock()
		c.kept.values[key] = v
		c.kept.mu.Unlock()
	}
	return v, err
}

// Group gives a group.
func (c *Config) Group(id ra.GroupID) (*ra.Group, error) {
	return Keep(c, "group", string(id), func(tx *Tx) (*ra.Group, error) { return tx.Group(id) })
}

// EffectiveSettings gives a group's settings with what it leaves empty taken
// from the groups above it.
func (c *Config) EffectiveSettings(id ra.GroupID) (ra.GroupSettings, error) {
	return Keep(c, "settings", string(id), func(tx *Tx) (ra.GroupSettings, error) { return tx.EffectiveSettings(id) })
}

// Authority gives an authority.
func (c *Config) Authority(id ra.AuthorityID) (*ra.Authority, error) {
	return Keep(c, "authority", string(id), func(tx *Tx) (*ra.Authority, error) { return tx.Authority(id) })
}

// Template gives a template.
func (c *Config) Template(id ra.TemplateID) (*ra.Template, error) {
	return Keep(c, "template", string(id), func(tx *Tx) (*ra.Template, error) { return tx.Template(id) })
}

// EndpointByName gives the endpoint of a path segment, exactly as written.
func (c *Config) EndpointByName(name string) (*ra.Endpoint, error) {
	return Keep(c, "endpoint", name, func(tx *Tx) (*ra.Endpoint, error) { return tx.EndpointByName(name) })
}

// Issuers lists an authority's certificates, the issuing one first.
func (c *Config) Issuers(id ra.AuthorityID) ([]Issuer, error) {
	return Keep(c, "issuers", string(id), func(tx *Tx) ([]Issuer, error) { return tx.Issuers(id) })
}
