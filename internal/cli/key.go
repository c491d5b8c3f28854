package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"chancery/internal/api/resource"
)

func (p *Program) masterKeys() *cobra.Command {
	status := p.verb("status", "Tell which master key seals, and how far a rotation is", "  chancery key status", cobra.NoArgs, func(s *session, _ []string) error {
		k, err := s.c.MasterKey(s.ctx)
		if err != nil {
			return err
		}
		return s.masterKey(k)
	})
	rotate := p.verb("rotate", "Replace the master key while the servers work", "  chancery key rotate\n  chancery key status", cobra.NoArgs, func(s *session, _ []string) error {
		k, err := s.c.RotateMasterKey(s.ctx)
		if err != nil {
			return err
		}
		return s.say(k, "The master key %s takes over. The servers learn it and seal every secret anew; see chancery key status.", k.Next)
	})
	rotate.Long = "Make a new master key and seal every secret anew with it. Each server takes the\nnew key into its master key file by itself. When chancery key status says that\nnothing is left, make a copy of the file and drop the former key."
	drop := p.verb("drop", "Forget the former master key", "  chancery key drop", cobra.NoArgs, func(s *session, _ []string) error {
		if err := s.confirm("Backups made before now open only with a copy of the former master key file. Drop the former key?"); err != nil {
			return err
		}
		k, err := s.c.DropMasterKey(s.ctx)
		if err != nil {
			return err
		}
		return s.say(k, "The former master key is dropped; %s is the only one. Keep a copy of the master key file.", k.Seals)
	})
	drop.Long = "Forget the former master key: possible when no secret is sealed by it and every\nserver keeps the new one in its file."
	return noun("key", "The master key: what seals the secrets", status, rotate, drop)
}

// masterKey prints how far a rotation is.
func (s *session) masterKey(k resource.MasterKey) error {
	next := map[string]string{
		"":        "no rotation is under way",
		"offered": "the servers learn " + k.Next,
		"sealing": fmt.Sprintf("%s seals; %d secrets sealed anew, %d left", k.Next, k.SealedAnew, k.Left),
		"alone":   fmt.Sprintf("everything is sealed by %s; the former key can be dropped with chancery key drop", k.Next),
	}[k.State]
	facts := []fact{{"sealing key", k.Seals}, {"rotation", next}}
	for _, n := range k.Nodes {
		about := "seals with " + n.Seals
		if n.Problem != "" {
			about += ". " + n.Problem
		}
		facts = append(facts, fact{"server " + n.Node, about})
	}
	return s.facts(k, facts...)
}
