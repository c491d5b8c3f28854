package cli

import (
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"

	"chancery/internal/api/resource"
	"chancery/internal/setting"
)

// defined is what somebody says about a thing that belongs to a group, has a name
// and settings of its own. It converts to the inputs of such things in the API.
type defined struct {
	GroupID     *string
	Name        *string
	Description *string
	Settings    json.RawMessage
	Disabled    *bool
}

// definedFlags adds the flags of defined, after those of the settings, so that one of
// these may take a name. What the group is to the thing, and what becomes of it when
// it is switched off, is said in the words of the thing.
func definedFlags(c *cobra.Command, settings setting.Describer, group, disabled string) {
	if settings != nil {
		setting.Flags(settings, c.Flags())
	}
	f := c.Flags()
	f.String("name", "", "what people call it")
	f.String("group", "", group)
	f.String("description", "", "what it is for")
	f.Bool("disabled", false, disabled)
}

// defined reads the flags of definedFlags.
func (s *session) defined(c *cobra.Command, settings setting.Describer) (in defined, err error) {
	f := c.Flags()
	text := func(name string) *string {
		v, _ := f.GetString(name) // every flag is there
		return given(f, name, v)
	}
	in = defined{Name: text("name"), Description: text("description")}
	if v, err := f.GetBool("disabled"); err == nil {
		in.Disabled = given(f, "disabled", v)
	}
	if group := text("group"); group != nil {
		id, err := s.groupID(*group)
		if err != nil {
			return in, err
		}
		in.GroupID = &id
	}
	if settings != nil {
		in.Settings, err = setting.FlagsJSON(settings, f, s.Stdin)
	}
	return in, err
}

// settingFacts shows settings under their labels, in the order of the form: those
// that differ from what is empty, and no secret.
func settingFacts(empty, loaded setting.Describer, raw []byte) ([]fact, error) {
	if err := setting.Load(loaded, raw); err != nil {
		return nil, err
	}
	var out []fact
	for _, c := range setting.Diff(empty, loaded) {
		if !c.Secret {
			out = append(out, fact{strings.ToLower(c.Label), brief(c.After)})
		}
	}
	return out, nil
}

// testing is a verb that tests the connection to one thing, step by step.
func (p *Program) testing(use, short, example string, id func(*session, string) (string, error), test func(*session, string) (resource.TestReport, error)) *cobra.Command {
	return p.verb(use, short, example, cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := id(s, args[0])
		if err != nil {
			return err
		}
		return s.tested(test(s, id))
	})
}

func (s *session) tested(r resource.TestReport, err error) error {
	if err != nil {
		return err
	}
	return s.steps(r)
}
