package console

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"

	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/setting"
)

// signInForm is a name and a password.
type signInForm struct {
	Name     string
	Password secret.Text
}

// Describe names the fields.
func (f *signInForm) Describe(s *setting.Form) {
	s.Text(&f.Name, "name", "Name").Required().MaxLength(200)
	s.Secret(&f.Password, "password", "Password").Required()
}

type signInView struct {
	Form form
	Next string
}

var signInPage = view[signInView]("sign_in")

func (v *visit) signInPage() error {
	if v.admin != nil {
		return v.redirect(local(v.query("next")))
	}
	return v.showSignIn(nil, v.query("next"), nil)
}

func (v *visit) showSignIn(posted url.Values, next string, err error) error {
	f := v.plainForm(&signInForm{}, posted, err)
	for i := range f.Sets[0].Inputs {
		in := &f.Sets[0].Inputs[i]
		in.Autocomplete = map[string]string{"name": "username webauthn", "password": "current-password"}[in.Name]
	}
	return signInPage.show(v, statusOf(err), signInView{Form: f, Next: local(next)})
}

func (v *visit) signIn() error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	next := posted.Get("next")
	var f signInForm
	if err := setting.FromForm(&f, posted); err != nil {
		return v.showSignIn(posted, next, err)
	}
	a, err := v.Signin.SignIn(v.ctx(), f.Name, f.Password, remote(v.r))
	if err != nil {
		return v.showSignIn(posted, next, err)
	}
	if err := v.enter(a); err != nil {
		return err
	}
	return v.redirect(local(next))
}

type linkView struct {
	Token   string
	Trouble *trouble
}

var linkPage = view[linkView]("sign_in_link")

// linkPage shows a button: programs that open links in mails to look at them
// must not use the link up.
func (v *visit) linkPage() error {
	data := linkView{Token: v.query("t")}
	if data.Token == "" {
		data.Trouble = &trouble{Message: "The link is incomplete.", Remedy: "Copy the whole address, or ask for a new link."}
	}
	return linkPage.show(v, http.StatusOK, data)
}

func (v *visit) useLink() error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	a, err := v.Signin.UseLink(v.ctx(), secret.New(posted.Get("t")), remote(v.r))
	if err != nil {
		return linkPage.show(v, statusOf(err), linkView{Trouble: v.trouble(err)})
	}
	if err := v.enter(a); err != nil {
		return err
	}
	if a.PasswordHash != "" {
		return v.redirect("/")
	}
	return v.done("/profile", "You are signed in. Set a password or add a passkey, so that you get in again without a link.")
}

func (v *visit) signOut() error {
	if err := v.Signin.EndSession(v.ctx(), v.sessions, remote(v.r)); err != nil {
		return err
	}
	return v.redirect("/sign-in")
}

// The state of a passkey ceremony stays in the session under these keys.
const (
	passkeyState  = "passkey_state"
	registerState = "register_state"
)

func (v *visit) beginPasskey() error {
	options, state, err := v.Signin.BeginPasskey()
	if err != nil {
		return v.failJSON(err)
	}
	v.sessions.Put(v.ctx(), passkeyState, state)
	return v.sendJSON(options)
}

func (v *visit) finishPasskey() error {
	answer, err := v.body()
	if err != nil {
		return v.failJSON(err)
	}
	state := v.sessions.PopBytes(v.ctx(), passkeyState)
	a, err := v.Signin.FinishPasskey(v.ctx(), state, answer, remote(v.r))
	if err != nil {
		return v.failJSON(err)
	}
	if err := v.enter(a); err != nil {
		return v.failJSON(err)
	}
	return v.sendJSON(map[string]string{"next": local(v.query("next"))})
}

// body reads the small JSON that the script sends.
func (v *visit) body() ([]byte, error) {
	b, err := io.ReadAll(v.r.Body)
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, ra.Errorf(ra.TooLarge, "The browser's answer is too large.").WithRemedy("Begin again.")
	}
	return b, err
}

func (v *visit) sendJSON(value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	v.written = true
	v.w.Header().Set("Content-Type", "application/json")
	if _, err := v.w.Write(raw); err != nil {
		v.Log.Debug("browser went away", "error", err)
	}
	return nil
}

// failJSON answers the script with an error it shows as it is.
func (v *visit) failJSON(err error) error {
	t := v.trouble(err)
	v.w.Header().Set("Content-Type", "application/json")
	v.w.WriteHeader(statusOf(err))
	return v.sendJSON(map[string]string{"message": t.Message, "remedy": t.Remedy, "reference": t.Reference})
}
