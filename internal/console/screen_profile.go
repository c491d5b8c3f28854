package console

import (
	"net/url"

	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/setting"
	"chancery/internal/signin"
)

func noPassword() *secret.Text { return &secret.Text{} }

// profileForm is what people say about themselves.
type profileForm struct{ DisplayName, Email string }

// Describe names the fields.
func (f *profileForm) Describe(s *setting.Form) {
	s.Text(&f.DisplayName, "display_name", "Name").MaxLength(200)
	s.Text(&f.Email, "email", "Mail address").MaxLength(200)
}

// passwordForm is a change of password.
type passwordForm struct {
	Present, Next, Again secret.Text
	first                bool // there is none yet
}

// Describe names the fields.
func (f *passwordForm) Describe(s *setting.Form) {
	if !f.first {
		s.Secret(&f.Present, "present", "Present password").Required()
	}
	s.Secret(&f.Next, "password", "New password").Required().Help("At least 12 characters. Four random words are easy to remember.")
	s.Secret(&f.Again, "again", "The new one again").Required()
}

type profileView struct {
	Admin    *ra.Admin
	Grants   []grantLine
	Form     form
	Password form
	Passkeys []*ra.Passkey
	CLI      []string
}

var profilePage = view[profileView]("profile")

func (v *visit) profile() error { return v.showProfile(nil, nil, nil) }

// showProfile draws the page; what is wrong belongs to one of its two forms.
func (v *visit) showProfile(posted url.Values, wrong, wrongPassword error) error {
	passkeys, err := v.Signin.Passkeys(v.ctx(), v.actor, v.admin.ID)
	if err != nil {
		return err
	}
	data := profileView{Admin: v.admin, Grants: v.grantLines(v.admin.Grants), Passkeys: passkeys, CLI: []string{"chancery admin set-password " + string(v.admin.ID)}}
	data.Form = v.plainForm(&profileForm{v.admin.DisplayName, v.admin.Email}, posted, wrong)
	data.Form.Action, data.Form.Submit = "/profile", "Save"
	data.Password = v.plainForm(&passwordForm{first: v.admin.PasswordHash == ""}, url.Values{}, wrongPassword)
	data.Password.Action, data.Password.Submit = "/profile/password", "Change the password"
	if v.admin.PasswordHash == "" {
		data.Password.Submit = "Set the password"
	}
	inputs := data.Password.Sets[0].Inputs
	if inputs[0].Name == "present" {
		inputs[0].Autocomplete = "current-password"
	}
	status := statusOf(wrong)
	if wrongPassword != nil {
		status = statusOf(wrongPassword)
	}
	return profilePage.show(v, status, data)
}

func (v *visit) saveProfile() error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	var f profileForm
	if err := setting.FromForm(&f, posted); err != nil {
		return v.showProfile(posted, err, nil)
	}
	if _, err := v.Signin.UpdateAdmin(v.ctx(), v.actor, v.admin.ID, signin.AdminInput{DisplayName: &f.DisplayName, Email: &f.Email}); err != nil {
		return v.showProfile(posted, err, nil)
	}
	return v.done("/profile", "Saved.")
}

func (v *visit) changePassword() error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	f := passwordForm{first: v.admin.PasswordHash == ""}
	if err := setting.FromForm(&f, posted); err != nil {
		return v.showProfile(nil, nil, err)
	}
	if !f.Next.Equal(f.Again) {
		return v.showProfile(nil, nil, ra.Errorf(ra.Invalid, "The two are not the same.").WithField("again").WithRemedy("Type the new password twice."))
	}
	a, err := v.Signin.ChangePassword(v.ctx(), v.actor, f.Present, f.Next)
	if err != nil {
		return v.showProfile(nil, nil, err)
	}
	if err := v.enter(a); err != nil {
		return err
	}
	return v.done("/profile", "The password is changed. Your other sessions have ended.")
}

func (v *visit) beginRegistration() error {
	options, state, err := v.Signin.BeginRegistration(v.ctx(), v.actor)
	if err != nil {
		return v.failJSON(err)
	}
	v.sessions.Put(v.ctx(), registerState, state)
	return v.sendJSON(options)
}

func (v *visit) finishRegistration() error {
	answer, err := v.body()
	if err != nil {
		return v.failJSON(err)
	}
	state := v.sessions.PopBytes(v.ctx(), registerState)
	if _, err := v.Signin.FinishRegistration(v.ctx(), v.actor, state, v.query("name"), answer); err != nil {
		return v.failJSON(err)
	}
	return v.sendJSON(map[string]string{"next": "/profile"})
}

func (v *visit) removePasskeyPage() error { return v.askRemovePasskey(nil) }

// findPasskey gives one of the visitor's own passkeys.
func (v *visit) findPasskey() (*ra.Passkey, error) {
	list, err := v.Signin.Passkeys(v.ctx(), v.actor, v.admin.ID)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		if p.ID == id[ra.PasskeyID](v) {
			return p, nil
		}
	}
	return nil, ra.Errorf(ra.NotFound, "There is no such passkey.").WithRemedy("Load your profile again.")
}

func (v *visit) askRemovePasskey(wrong error) error {
	p, err := v.findPasskey()
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Remove the passkey", About: p.Name, Effect: []string{"You cannot sign in with it any more. Remove it from the device or key too.", "Your other sessions end."}, Form: form{Cancel: "/profile", Danger: true}}, nil, nil, wrong)
}

func (v *visit) removePasskey() error {
	p, err := v.findPasskey()
	if err != nil {
		return err
	}
	if err := v.Signin.RemovePasskey(v.ctx(), v.actor, v.admin.ID, p.ID); err != nil {
		return v.askRemovePasskey(err)
	}
	if err := v.enter(v.admin); err != nil {
		return err
	}
	return v.done("/profile", "The passkey "+p.Name+" is removed. Your other sessions have ended.")
}
