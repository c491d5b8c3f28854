package scripted_test

import (
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ca/catest"
	"chancery/internal/ca/scripted"
)

func newAuthority(t *testing.T) *scripted.Authority {
	t.Helper()
	a, err := scripted.New(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// plan is a fault that adds an act to the script.
func plan(a *scripted.Authority, act scripted.Act) catest.Fault {
	return func(*catest.World, *ca.Order) { a.Plan(act) }
}

func setup(a *scripted.Authority, kind ca.Kind) catest.Setup {
	s := catest.Setup{
		Kind: kind, Settings: scripted.SettingsJSON, Secrets: []string{scripted.Password},
		Issued:     func(_ *catest.World, id string) int { return len(a.Issued(id)) },
		Refuse:     plan(a, scripted.Refuse),
		TimeOut:    plan(a, scripted.TimeOut),
		CutLine:    plan(a, scripted.CutBefore),
		LoseAnswer: plan(a, scripted.LoseAnswer),
	}
	if kind.Traits.Pending {
		s.Pend = plan(a, scripted.Pend(3))
	}
	return s
}

func TestContract(t *testing.T) {
	a := newAuthority(t)
	catest.Run(t, setup(a, a.Kind()))
	if ids := a.Doubles(); len(ids) > 0 {
		t.Errorf("issued more than once: %v", ids)
	}
}

// TestContractBare: a connector without abilities passes what is left, and its
// authority shows what that costs.
func TestContractBare(t *testing.T) {
	a := newAuthority(t)
	a.Forgetful = true
	catest.Run(t, setup(a, a.BareKind()))
	if ids := a.Doubles(); len(ids) != 1 || ids[0] != "req_lost" {
		t.Errorf("issued more than once: %v; want only the request whose answer was lost", ids)
	}
}
