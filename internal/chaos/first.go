package chaos

import (
	"context"
	"fmt"
	"time"

	"chancery/internal/api/resource"
)

// RunFirstStart kills a server while it starts for the first time, a few times
// and each time a little later, until it once comes up. What it then has is
// one installation, which works.
func RunFirstStart(ctx context.Context, o Options) (*Report, error) {
	report := newReport(o.Engine, o.Seed)
	w, err := found(o.Database, 1, o.Seed, report)
	if w != nil {
		defer w.close()
	}
	if err != nil {
		return report, err
	}
	n := w.nodes[0]
	for round, after := 0, time.Duration(0); round < o.Rounds; round++ {
		report.now(fmt.Sprintf("seed %d, first start, round %d", o.Seed, round))
		ready, err := n.launch("", 0)
		if err != nil {
			return report, err
		}
		after += w.dice.span(5*time.Millisecond, 100*time.Millisecond)
		up := false
		select {
		case _, up = <-ready:
		case <-time.After(after):
		}
		n.kill()
		if n.cmd.ProcessState.ExitCode() >= 0 {
			return report, fmt.Errorf("the server ended by itself\n%s", n.tail())
		}
		report.killed("start")
		if up {
			break
		}
	}
	if err := w.open(ctx); err != nil {
		return report, err
	}
	return report, w.installation(ctx)
}

// installation looks for what a first start makes.
func (w *World) installation(ctx context.Context) error {
	api := w.nodes[0].owner()
	groups, err := api.Groups(ctx, resource.GroupQuery{})
	if err != nil {
		return err
	}
	authorities, err := api.Authorities(ctx, resource.AuthorityQuery{Kind: "embedded"})
	if err != nil {
		return err
	}
	admins, err := api.Admins(ctx, resource.AdminQuery{})
	if err != nil {
		return err
	}
	for what, n := range map[string]int{"organization": len(groups.Items), "embedded authority": len(authorities.Items), "owner": len(admins.Items)} {
		if n != 1 {
			w.flaw("double", "after a first start there are %d of: %s", n, what)
		}
	}
	if _, err := fetchQuery(ctx, w.nodes[0].web(), publicURL+w.places[0].path+"?operation=GetCACert"); err != nil {
		w.flaw("stuck", "after a first start the SCEP door does not work: %v", err)
	}
	return w.audit(ctx)
}
