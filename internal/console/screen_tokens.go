package console

import (
	"net/http"
	"net/url"
	"time"

	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/signin"
)

type tokenLine struct {
	*ra.Token
	Grants []grantLine
	State  string
}

type tokensView struct {
	Lines []tokenLine
	Pager pager
	CLI   []string
}

// tokenView shows a token once.
type tokenView struct {
	Token *ra.Token
	Text  string
	API   string
}

var (
	tokensPage = view[tokensView]("tokens")
	tokenPage  = view[tokenView]("token")
)

func (v *visit) tokens() error {
	p := v.page()
	p.Sort = ""
	list, next, err := v.Signin.FindTokens(v.ctx(), v.actor, p)
	if err != nil {
		return err
	}
	data := tokensView{Pager: v.pager(next, len(list)), CLI: []string{"chancery token list", "chancery token create NAME --role viewer"}}
	for _, t := range list {
		line := tokenLine{t, v.grantLines(t.Grants), "on"}
		if !t.ExpiresAt.IsZero() && !t.ExpiresAt.After(v.Now()) {
			line.State = "expired"
		}
		data.Lines = append(data.Lines, line)
	}
	return tokensPage.show(v, http.StatusOK, data)
}

// tokenForm asks for a token.
type tokenForm struct {
	Name string
	Life time.Duration
}

// Describe names the fields.
func (f *tokenForm) Describe(s *setting.Form) {
	s.Text(&f.Name, "name", "Name").Required().MaxLength(200).Help("Which program uses it.")
	s.Duration(&f.Life, "life", "Life").Default(90*24*time.Hour).Between(0, signin.MaxTokenLife).Help("Such as 90d. 0s: until it is revoked.")
}

func (v *visit) newTokenPage() error {
	f := &tokenForm{}
	setting.Defaults(f)
	return v.askToken(f, []ra.Grant{}, nil, nil)
}

func (v *visit) askToken(f *tokenForm, grants []ra.Grant, posted url.Values, wrong error) error {
	known := fieldNames(f)
	known["grants"] = true
	p := v.sort(wrong, known)
	rows, err := v.grantRows(grants)
	if err != nil {
		return err
	}
	return grantsPage.show(v, statusOf(wrong), grantsView{Title: "Make an API token", Crumb: link{"API tokens", "/tokens"}, Grants: rows, Bad: p.byField["grants"],
		Form: form{Action: v.r.URL.Path, Sets: draw(f, drawing{values: posted, bad: p.byField}), Problem: p.summary, Submit: "Make the token", Cancel: "/tokens"},
		CLI:  []string{"chancery token create NAME --role viewer --life 90d"}})
}

func (v *visit) newToken() error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	grants := readGrants(posted)
	f := &tokenForm{}
	setting.Defaults(f)
	if err := setting.FromForm(f, posted); err != nil {
		return v.askToken(f, grants, posted, err)
	}
	t, text, err := v.Signin.CreateToken(v.ctx(), v.actor, signin.TokenInput{Name: f.Name, Grants: grants, Life: f.Life})
	if err != nil {
		return v.askToken(f, grants, posted, err)
	}
	return tokenPage.show(v, http.StatusOK, tokenView{Token: t, Text: text.Reveal(), API: v.address("/api")})
}

func (v *visit) revokeTokenPage() error { return v.askRevokeToken(nil) }

func (v *visit) askRevokeToken(wrong error) error {
	t, err := v.Signin.Token(v.ctx(), v.actor, id[ra.TokenID](v))
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Revoke the token", About: t.Name, Effect: []string{"Programs that use it are refused from now on.", "This cannot be taken back; make a new token instead."},
		Form: form{Cancel: "/tokens", Danger: true}, CLI: []string{"chancery token delete " + string(t.ID)}}, nil, nil, wrong)
}

func (v *visit) revokeToken() error {
	t, err := v.Signin.Token(v.ctx(), v.actor, id[ra.TokenID](v))
	if err != nil {
		return err
	}
	if err := v.Signin.RevokeToken(v.ctx(), v.actor, t.ID); err != nil {
		return v.askRevokeToken(err)
	}
	return v.done("/tokens", "The token "+t.Name+" is revoked.")
}
