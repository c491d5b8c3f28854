package console

import (
	"net/url"

	"chancery/internal/setting"
)

// confirmView is the step before something that cannot be taken back: what it
// is about, what will happen, and a button that says it again.
type confirmView struct {
	Title  string
	About  string   // what it is about
	Effect []string // what will happen, a sentence each
	Form   form
	CLI    []string
	Hidden map[string]string // what the button says besides, such as what was seen
}

var confirmPage = view[confirmView]("confirm")

// confirm shows the step; fields may be nil when there is nothing to say.
func (v *visit) confirm(c confirmView, fields setting.Describer, posted url.Values, err error) error {
	f := form{Problem: v.trouble(err)}
	if fields != nil {
		f = v.plainForm(fields, posted, err)
	}
	f.Action, f.Submit, f.Cancel, f.Danger, f.Plain = v.r.URL.Path, c.Form.Submit, c.Form.Cancel, c.Form.Danger, c.Form.Plain
	if f.Submit == "" {
		f.Submit = c.Title
	}
	f.Hidden = c.Hidden
	c.Form = f
	return confirmPage.show(v, statusOf(err), c)
}
