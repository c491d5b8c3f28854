package directory

import (
	"context"
	"fmt"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/ca"
	"chancery/internal/dirpolicy"
	"chancery/internal/ldapdir"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/store"
)

// Test runs the steps of Test connection on a stored directory and reports each
// as it ends. Whether it worked is in the steps, not in the error.
func (s *Service) Test(ctx context.Context, actor ra.Actor, id ra.DirectoryID, report func(ca.Step)) error {
	var d *ra.Directory
	var v *dirpolicy.Settings
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if d, err = s.editable(tx, actor, id); err != nil {
			return err
		}
		v, err = s.settings(tx, d)
		return err
	}); err != nil {
		return err
	}
	s.forget(id)
	result := "ok"
	s.check(ctx, v, func(step ca.Step) {
		if step.State == ca.StepFailed {
			result = "failed"
		}
		report(step)
	})
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		return audit.Record(tx, audit.Entry{Code: audit.DirectoryTested, Actor: actor, Group: d.GroupID, Object: string(id), Result: result,
			Message: "Connection to directory " + d.Name + " tested."})
	})
}

// TestSettings runs the same steps on settings that are not stored yet. For a
// change of a stored directory, id names whose secrets are kept.
func (s *Service) TestSettings(ctx context.Context, actor ra.Actor, id ra.DirectoryID, group ra.GroupID, raw []byte, report func(ca.Step)) error {
	v := &dirpolicy.Settings{}
	setting.Defaults(v)
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		if id == "" {
			return access.CheckGroup(tx, actor, access.EditAuthorities, group)
		}
		d, err := s.editable(tx, actor, id)
		if err != nil {
			return err
		}
		v, err = s.settings(tx, d)
		return err
	})
	if err != nil {
		return err
	}
	var p ra.Problems
	p.Merge("settings", setting.FromJSON(v, raw))
	if err := p.Err(); err != nil {
		return err
	}
	s.check(ctx, v, report)
	return nil
}

// check goes the way a run goes, as far as that changes nothing.
func (s *Service) check(ctx context.Context, v *dirpolicy.Settings, report func(ca.Step)) {
	c := &checking{s: s, v: v}
	defer func() {
		if c.conn != nil {
			c.conn.Close()
		}
	}()
	failed := false
	for _, step := range []struct {
		name string
		do   func(context.Context) (detail string, err error)
	}{
		{"Connection and TLS", c.connect},
		{"Login", c.login},
		{"Active Directory", c.root},
		{"Base", c.where},
		{"Groups", c.groups},
		{"Users", c.users},
	} {
		if failed {
			report(ca.Step{Name: step.name, State: ca.StepSkipped})
			continue
		}
		began := time.Now()
		detail, err := step.do(ctx)
		out := ca.Step{Name: step.name, State: ca.StepOK, Detail: detail, Took: time.Since(began)}
		if err != nil {
			e := ra.AsError(err)
			s.Log.Info("a step of the test of a directory failed", "step", step.name, "error", err)
			failed, out.State, out.Detail, out.Remedy = true, ca.StepFailed, e.Message, e.Remedy
		} else if c.warning != "" {
			out.State, out.Remedy, c.warning = ca.StepWarning, c.warning, ""
		}
		report(out)
	}
}

// checking is a test at work.
type checking struct {
	s       *Service
	v       *dirpolicy.Settings
	options ldapdir.Options
	conn    *ldapdir.Conn
	base    string
	warning string
}

func (c *checking) connect(ctx context.Context) (string, error) {
	var err error
	if c.options, err = c.s.options(c.v); err != nil {
		return "", err
	}
	if c.conn, err = ldapdir.Connect(ctx, c.options); err != nil {
		return "", err
	}
	return c.conn.Server() + " answers, with a certificate that is trusted.", nil
}

func (c *checking) login(ctx context.Context) (string, error) {
	return "Logged in as " + c.v.User + ".", c.conn.Login(ctx, c.options)
}

func (c *checking) root(ctx context.Context) (string, error) {
	root, err := c.conn.Root(ctx)
	if err != nil {
		return "", err
	}
	if _, err := c.conn.Invocation(ctx, root); err != nil {
		return "", err
	}
	if c.base = c.v.Base; c.base == "" {
		c.base = root.Domain
	}
	return fmt.Sprintf("Domain %s, domain controller %s.", root.Domain, root.Host), nil
}

func (c *checking) where(ctx context.Context) (string, error) {
	e, err := c.conn.Read(ctx, c.base, "objectClass")
	if err != nil {
		return "", err
	}
	return e.DN, nil
}

func (c *checking) groups(ctx context.Context) (string, error) {
	named := c.v.Groups
	if c.v.OnlyGroup != "" {
		named = append([]string{c.v.OnlyGroup}, named...)
	}
	for _, dn := range named {
		if _, err := c.conn.Read(ctx, dn, "cn"); err != nil {
			return "", err
		}
	}
	if len(named) == 0 {
		return "None is named.", nil
	}
	return fmt.Sprintf("%d found.", len(named)), nil
}

// users counts who would be taken over, and reads the first of them in full.
func (c *checking) users(ctx context.Context) (string, error) {
	n, first := 0, ""
	elsewhere, err := c.conn.Search(ctx, ldapdir.Query{Base: c.base, Scope: ldapdir.Subtree, Filter: c.v.Within(""), Attributes: []string{"objectGUID"}}, func(page []*ldapdir.Entry) error {
		n += len(page)
		first = page[0].DN
		return nil
	})
	if err != nil {
		return "", err
	}
	if n == 0 {
		c.warning = "Check base, group and filter, and whether the account may read the users."
		return "No user is found.", nil
	}
	e, err := c.conn.Read(ctx, first, wanted(c.v)...)
	if err != nil {
		return "", err
	}
	if _, err := readPerson(c.v, e, nil); err != nil {
		return "", err
	}
	detail := fmt.Sprintf("%d users are found.", n)
	if len(elsewhere) > 0 {
		detail += fmt.Sprintf(" %d other parts of the forest are not looked at.", len(elsewhere))
	}
	return detail, nil
}
