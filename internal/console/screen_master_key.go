package console

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"chancery/internal/keyring"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// rotationStep is one of the three things a rotation of the master key is.
type rotationStep struct {
	State, Title, Detail string
	Done, All            int64 // how far it is, where that can be counted; All 0: it cannot
}

// masterKeyView is the master key and how far its replacement is.
type masterKeyView struct {
	keyring.Status
	Word    string // of the whole, for its badge
	Steps   []rotationStep
	Servers []serverLine
	Ready   bool // the former key can be dropped
	Events  []*ra.AuditEntry
	CLI     []string
}

// serverLine is one server and the key it works with.
type serverLine struct {
	store.KeyNode
	Newest bool // it seals with the key that is to be used
}

var masterKeyPage = view[masterKeyView]("master_key")

// refreshAfter lets the page follow a rotation while the servers work on it.
func (d masterKeyView) refreshAfter() int {
	if d.Next == "" || d.Ready {
		return 0
	}
	return 2
}

func (v *visit) masterKey() error {
	st, err := v.Keyring.Status(v.ctx(), v.actor)
	if err != nil {
		return err
	}
	data := masterKeyView{Status: st, Word: "in use", CLI: []string{"chancery key status", "chancery key rotate", "chancery key drop"}}
	newest := st.Seals
	if st.Next != "" {
		newest = st.Next
	}
	for _, n := range st.Nodes {
		data.Servers = append(data.Servers, serverLine{n, n.Seals == newest})
	}
	if st.Next != "" {
		data.rotation()
	}
	if data.Events, _, err = v.Audit.Find(v.ctx(), v.actor, store.AuditFilter{Code: "master_key.", Page: store.Page{Limit: 20}}); err != nil {
		return err
	}
	return masterKeyPage.show(v, http.StatusOK, data)
}

// rotation fills in the steps of the one that is under way.
func (d *masterKeyView) rotation() {
	know := 0
	for _, s := range d.Servers {
		if slices.Contains(strings.Split(s.Holds, ","), d.Next) {
			know++
		}
	}
	learn := rotationStep{State: "passed", Title: "Every server has the new key", Detail: "Each took it into its own master key file."}
	seal := rotationStep{State: "to come", Title: "Every secret is sealed anew", Detail: fmt.Sprintf("%s to go.", plural(int(d.Left), "secret"))}
	drop := rotationStep{State: "to come", Title: "The former key is dropped", Detail: "When you say so, after a new copy of the master key file was put in a safe place."}
	switch d.State {
	case store.KeyOffered:
		d.Word = "servers learn it"
		learn.State, learn.Title, learn.Done, learn.All = "under way", "Every server learns the new key", int64(know), int64(len(d.Servers))
		learn.Detail = fmt.Sprintf("%d of %s; it seals when all have it.", know, plural(len(d.Servers), "server"))
	case store.KeySealing:
		d.Word = "under way"
		seal.State, seal.Done, seal.All = "under way", d.Resealed, d.Resealed+d.Left
		seal.Detail = fmt.Sprintf("%s sealed anew, %s to go. It goes on after a restart.", plural(int(d.Resealed), "secret"), count(int(d.Left)))
	case store.KeyAlone:
		d.Word, d.Ready = "waits for you", true
		seal.State, seal.Detail = "passed", plural(int(d.Resealed), "secret")+" sealed anew; none is left under the former key."
		drop.State = "waits for you"
	}
	d.Steps = []rotationStep{learn, seal, drop}
}

func (v *visit) rotateMasterKeyPage() error { return v.askRotate(nil) }

func (v *visit) askRotate(wrong error) error {
	return v.confirm(confirmView{Title: "Rotate the master key",
		Effect: []string{"A new master key is made, and every server takes it into its master key file by itself. No server stops.",
			"Then every secret in the database is sealed anew with it. This cannot be called off; it goes on after a restart.",
			"The former key stays until you drop it. Copies of the master key file made before now open nothing that is sealed from then on: make a new copy afterwards."},
		Form: form{Cancel: "/master-key", Danger: true}, CLI: []string{"chancery key rotate"}}, nil, nil, wrong)
}

func (v *visit) rotateMasterKey() error {
	id, err := v.Keyring.Rotate(v.ctx(), v.actor)
	if err != nil {
		return v.askRotate(err)
	}
	return v.done("/master-key", "The master key "+id+" takes over. The servers learn it now.")
}

func (v *visit) dropMasterKeyPage() error { return v.askDrop(nil) }

func (v *visit) askDrop(wrong error) error {
	return v.confirm(confirmView{Title: "Drop the former master key",
		Effect: []string{"Every server takes the former key out of its master key file. This cannot be taken back.",
			"Backups made before now open only with a copy of the former master key file: keep that copy as long as those backups.",
			"Have a copy of the present master key file in a safe place first."},
		Form: form{Cancel: "/master-key", Danger: true}, CLI: []string{"chancery key drop"}}, nil, nil, wrong)
}

func (v *visit) dropMasterKey() error {
	if _, err := v.Keyring.Drop(v.ctx(), v.actor); err != nil {
		return v.askDrop(err)
	}
	return v.done("/master-key", "The former master key is dropped. Keep a copy of the master key file in a safe place.")
}
