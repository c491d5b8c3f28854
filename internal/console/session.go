package console

import (
	"net"
	"net/http"

	"chancery/internal/ra"
)

// identify finds out who visits. On an open route nobody is good enough.
func (v *visit) identify() error {
	actor, err := v.Signin.SessionActor(v.ctx(), v.sessions, remote(v.r))
	if err == nil {
		v.actor = actor
		v.admin, err = v.Signin.Admin(v.ctx(), actor, ra.AdminID(actor.ID))
	}
	if v.route.open && ra.KindOf(err) == ra.Unsigned {
		return nil
	}
	return err
}

// remote is the network address of the visitor.
func remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// enter makes the session that of an administrator who proved who they are.
func (v *visit) enter(a *ra.Admin) error { return v.Signin.StartSession(v.ctx(), v.sessions, a) }
