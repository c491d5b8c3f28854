package console

import (
	"net/http"
	"runtime"
	"time"

	"chancery/internal/access"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// check is one thing that was looked at.
type check struct {
	Title  string
	State  string // ok, warning, failed
	Detail string
	Remedy string
	URL    string
}

type statusView struct {
	Version   string
	Go        string
	PublicURL string
	Now       time.Time
	Checks    []check
	Requests  []countLink
	Devices   []countLink
	CLI       []string
}

var statusPage = view[statusView]("status")

func (v *visit) status() error {
	checks, err := v.checks()
	if err != nil {
		return err
	}
	data := statusView{Version: v.Version, Go: runtime.Version(), PublicURL: v.PublicURL, Now: v.Now(), Checks: checks, CLI: []string{"chancery status", "chancery doctor"}}
	err = v.DB.Read(v.ctx(), func(tx *store.Tx) error {
		groups, err := access.Scope(tx, v.actor, access.See)
		if err != nil {
			return err
		}
		requests, err := tx.CountRequests(groups)
		if err != nil {
			return err
		}
		devices, err := tx.CountDevices(groups)
		if err != nil {
			return err
		}
		for _, c := range requests {
			data.Requests = append(data.Requests, countLink{c.Key, c.N, "/requests?state=" + c.Key})
		}
		for _, c := range devices {
			data.Devices = append(data.Devices, countLink{platformTitles[ra.Platform(c.Key)], c.N, "/devices?platform=" + c.Key})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return statusPage.show(v, http.StatusOK, data)
}

// checks looks at what makes an installation fail sooner or later: the
// database, the authorities, their revocation lists, the server's own
// certificates, and what is late. Nothing leaves the server.
func (v *visit) checks() ([]check, error) {
	out := []check{{Title: "Database", State: string(ca.StepOK), Detail: "It answers."}}
	if err := v.DB.Ping(v.ctx()); err != nil {
		v.Log.Error("the database does not answer", "error", err)
		out[0] = check{Title: "Database", State: string(ca.StepFailed), Detail: "It does not answer.", Remedy: "Look at the database server and its log."}
		return out, nil
	}
	authorities, _, err := v.Authorities.Find(v.ctx(), v.actor, store.AuthorityFilter{Page: store.Page{Limit: 100}})
	if err != nil {
		return nil, err
	}
	for _, a := range authorities {
		h, err := v.health(a)
		if err != nil {
			return nil, err
		}
		if h.State == "disabled" {
			continue
		}
		out = append(out, check{Title: "Authority " + a.Name, State: h.State, Detail: h.Text, URL: "/authorities/" + string(a.ID)})
		more, err := v.authorityChecks(a)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	doors, _, err := v.Enroll.FindEndpoints(v.ctx(), v.actor, store.EndpointFilter{Page: store.Page{Limit: 100}})
	if err != nil {
		return nil, err
	}
	for _, e := range doors {
		s, err := endpointSettings(e)
		if err != nil {
			return nil, err
		}
		for _, f := range s.Findings(e.Name, v.Now()) {
			out = append(out, check{Title: "SCEP endpoint " + e.Name, State: string(ca.StepWarning), Detail: f.Message, Remedy: f.Remedy, URL: "/endpoints/" + string(e.ID)})
		}
	}
	late, next, err := v.Lifecycle.FindObligations(v.ctx(), v.actor, store.ObligationFilter{LateOnly: true, Page: store.Page{Limit: 100}})
	if err != nil {
		return nil, err
	}
	c := check{Title: "Obligations", State: string(ca.StepOK), Detail: "Nothing is late.", URL: "/obligations?late=1"}
	if n := len(late); n > 0 {
		c.State, c.Detail, c.Remedy = string(ca.StepWarning), plural(n, "obligation")+" past the deadline.", "Open the list; each says what failed last."
		if next != "" {
			c.Detail = "More than " + c.Detail
		}
	}
	return append(out, c), nil
}

// authorityChecks looks at the certificates and revocation lists of an
// authority whose keys are here.
func (v *visit) authorityChecks(a *ra.Authority) ([]check, error) {
	var out []check
	chain, err := v.Authorities.Chain(v.ctx(), a.ID)
	if err != nil {
		return nil, err
	}
	if len(chain) > 0 {
		c := check{Title: "Signing certificate of " + a.Name, State: string(ca.StepOK), Detail: "Ends " + relative(chain[0].NotAfter.Sub(v.Now())) + ".", URL: "/authorities/" + string(a.ID)}
		if left := chain[0].NotAfter.Sub(v.Now()); left < 90*24*time.Hour {
			c.State, c.Remedy = string(ca.StepWarning), "Renew it before it ends: everything it signed ends with it."
		}
		out = append(out, c)
	}
	var crls []store.CRL
	var own []*ra.Certificate
	err = v.DB.Read(v.ctx(), func(tx *store.Tx) error {
		all, err := tx.AllCRLs()
		if err != nil {
			return err
		}
		for _, c := range all {
			if c.AuthorityID == a.ID {
				crls = append(crls, c)
			}
		}
		for _, p := range []ra.Purpose{ra.PurposeSCEPRA, ra.PurposeOCSP} {
			list, err := tx.OwnCertificates(a.ID, p)
			if err != nil {
				return err
			}
			if len(list) > 0 {
				own = append(own, list[0])
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, crl := range crls {
		c := check{Title: "Revocation list of " + a.Name, State: string(ca.StepOK), Detail: "Number " + count(int(crl.Number)) + ", good until " + crl.NextUpdate.UTC().Format("2006-01-02 15:04") + " UTC."}
		switch {
		case !crl.NextUpdate.After(v.Now()):
			c.State, c.Remedy = string(ca.StepFailed), "Relying parties refuse everything now. See why it is not published: the authority's page tells."
		case crl.Stale:
			c.Detail += " A newer one is made when it is next asked for."
		}
		out = append(out, c)
	}
	for _, o := range own {
		title := map[ra.Purpose]string{ra.PurposeSCEPRA: "SCEP certificate of ", ra.PurposeOCSP: "OCSP signer of "}[o.Purpose] + a.Name
		c := check{Title: title, State: string(ca.StepOK), Detail: "Ends " + relative(o.NotAfter.Sub(v.Now())) + "; renewed by itself.", URL: "/certificates/" + string(o.ID)}
		if o.NotAfter.Sub(v.Now()) < 14*24*time.Hour {
			c.State, c.Remedy = string(ca.StepWarning), "It should have been renewed by now. See the log for why not."
		}
		out = append(out, c)
	}
	return out, nil
}
