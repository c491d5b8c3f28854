package app

import (
	"bytes"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// expired is a certificate of this server or its authorities that ended, with
// what mends it.
type expired struct {
	Name    string
	State   string // empty: it has expired
	Message string
	Remedy  string
	Command string // that mends it; empty when there is none
	Page    string // of the console, where whoever signs in mends it; empty when there is none
}

// failed is the state of what cannot be used for another reason than its age.
const failed = "Failed"

// ended lists what has expired of all that this server itself needs: its TLS
// certificate, the issuing certificates whose keys are here, and what it opens
// SCEP messages and signs OCSP answers with. Those of the last sort are renewed
// by the server itself; one is here only when it could not.
func (a *App) ended(ctx context.Context) (list []expired, err error) {
	if a.tls != nil {
		if e, ok := a.tls.ended(); ok {
			list = append(list, e)
		}
	}
	var all []*ra.Authority
	if err := a.DB.Read(ctx, func(tx *store.Tx) (err error) {
		all, err = tx.AllAuthorities()
		return err
	}); err != nil {
		return list, err
	}
	now := a.Config.Now()
	for _, one := range all {
		chain, err := a.Authorities.Chain(ctx, one.ID)
		if err != nil && ra.KindOf(err) != ra.NotFound {
			list = append(list, expired{Page: "/authorities/" + string(one.ID), Name: "Authority " + one.Name, State: failed, Message: ra.AsError(err).Message, Remedy: ra.AsError(err).Remedy})
			continue
		}
		for i, c := range chain {
			if c.NotAfter.After(now) {
				continue
			}
			e := expired{Page: "/authorities/" + string(one.ID), Name: "Issuing certificate of " + one.Name, Message: fmt.Sprintf("It ended on %s. Nothing that it signed is accepted, and it signs nothing more.", day(c.NotAfter)),
				Remedy: "Renew it. Where the key of its superior is elsewhere, send a new request there: chancery authority csr, then chancery authority install.", Command: "chancery authority renew " + quoted(one.Name)}
			if i > 0 {
				e.Name, e.Command = "Certificate above "+one.Name, ""
				e.Message = fmt.Sprintf("%s ended on %s.", c.Subject, day(c.NotAfter))
				e.Remedy = "Make a new authority, or install a chain with a new certificate of the superior: chancery authority install."
			}
			list = append(list, e)
		}
		for _, purpose := range []ra.Purpose{ra.PurposeSCEPRA, ra.PurposeOCSP} {
			var own []*ra.Certificate
			if err := a.DB.Read(ctx, func(tx *store.Tx) (err error) {
				own, err = tx.OwnCertificates(one.ID, purpose)
				return err
			}); err != nil {
				return list, err
			}
			if len(own) > 0 && !own[0].NotAfter.After(now) {
				list = append(list, expired{Page: "/authorities/" + string(one.ID), Name: map[ra.Purpose]string{ra.PurposeSCEPRA: "SCEP certificate of ", ra.PurposeOCSP: "OCSP certificate of "}[purpose] + one.Name,
					Message: fmt.Sprintf("It ended on %s.", day(own[0].NotAfter)), Remedy: "The server renews it by itself as soon as the authority issues again.", Command: "chancery authority test " + quoted(one.Name)})
			}
		}
	}
	return list, nil
}

// quoted makes one word of a name for a shell.
func quoted(name string) string { return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'" }

// repair shows what has expired. It needs no login, because signing in may be
// what does not work, and says nothing that a TLS client or a CRL would not. It
// mends nothing itself, because nobody has shown who they are: it leads to the
// page that does, and names the command.
func (a *App) repair(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	list, err := a.ended(r.Context())
	if err != nil {
		e := ra.AsError(err)
		list = append(list, expired{Name: "Database", State: failed, Message: e.Message, Remedy: e.Remedy})
		a.Log.Error("the repair page is not complete", "error", err)
	}
	var page bytes.Buffer
	if err := repairPage.Execute(&page, list); err != nil {
		a.Log.Error("the repair page cannot be made", "error", err)
		http.Error(w, "The page cannot be shown.", http.StatusInternalServerError)
		return
	}
	w.Write(page.Bytes())
}

// sendToRepair shows the repair page to whoever opens the first page without
// being signed in, while something has expired.
func (a *App) sendToRepair(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/" && len(r.Cookies()) == 0 {
			if list, err := a.ended(r.Context()); err != nil || len(list) > 0 {
				http.Redirect(w, r, "/repair", http.StatusSeeOther)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// repairPage is drawn with the style sheet of the console, and readable without.
var repairPage = template.Must(template.New("repair").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Repair · Chancery</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/console.css">
</head>
<body class="bare"><main class="repair">
<p class="brand"><img src="/static/icon.svg" alt="" width="24" height="24">Chancery</p>
<h1>{{if .}}Something of this server has expired{{else}}Nothing of this server has expired{{end}}</h1>
{{if .}}<p class="help">Sign in to mend it in the console, or run the command on the machine of the server as somebody who may open its data folder. Where that is not the usual folder, add <code>--data FOLDER</code>.</p>
{{range .}}<section class="card"><h2><span class="badge bad">{{or .State "Expired"}}</span> {{.Name}}</h2><p>{{.Message}}</p><p class="remedy">{{.Remedy}}</p>
{{if .Command}}<pre class="command" tabindex="0"><code>{{.Command}}</code></pre>{{end}}{{if .Page}}<p class="buttons"><a class="button primary" href="{{.Page}}">Sign in and mend it</a></p>{{end}}</section>
{{end}}{{else}}<div class="good-news"><p>What this server needs for itself is current: its TLS certificate, its issuing certificates, and those it opens SCEP messages and signs OCSP answers with.</p></div>
{{end}}<p class="buttons"><a class="button{{if not .}} primary{{end}}" href="/sign-in">To the console</a></p>
<p class="help"><code>chancery doctor</code> looks at everything else.</p>
</main></body></html>
`))
