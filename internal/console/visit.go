package console

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"path"
	"strings"

	"chancery/internal/access"
	"chancery/internal/ra"
)

// visit is one request on its way through a screen.
type visit struct {
	*site
	w       http.ResponseWriter
	r       *http.Request
	route   *route
	actor   ra.Actor  // nobody on open routes
	admin   *ra.Admin // who is signed in; nil on open routes
	written bool
	known   names
}

func (v *visit) ctx() context.Context { return v.r.Context() }

// id is the {id} of the path as a typed ID.
func id[T ~string](v *visit) T { return T(v.r.PathValue("id")) }

// query gives one parameter of the address.
func (v *visit) query(name string) string { return strings.TrimSpace(v.r.URL.Query().Get(name)) }

// form reads what was posted; a body that cannot be read is an error.
func (v *visit) form() (url.Values, error) {
	var err error
	if strings.HasPrefix(v.r.Header.Get("Content-Type"), "multipart/form-data") {
		err = v.r.ParseMultipartForm(8 << 20)
	} else {
		err = v.r.ParseForm()
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, ra.Errorf(ra.TooLarge, "What was sent is larger than %d MiB.", large.Limit>>20).WithRemedy("Send less at once.")
	case err != nil:
		return nil, ra.Errorf(ra.Invalid, "The form could not be read.").WithRemedy("Go back and send it again.").WithCause(err)
	}
	return v.r.PostForm, nil
}

// file opens an uploaded file; nil when none was chosen.
func (v *visit) file(name string) (multipart.File, error) {
	f, h, err := v.r.FormFile(name)
	if errors.Is(err, http.ErrMissingFile) || errors.Is(err, http.ErrNotMultipart) {
		return nil, nil
	}
	if err != nil {
		return nil, ra.Errorf(ra.Invalid, "The file could not be read.").WithField(name).WithRemedy("Choose it again.").WithCause(err)
	}
	if h.Size == 0 {
		return nil, f.Close()
	}
	return f, nil
}

// content gives the bytes of an uploaded file of limited size; nil when none
// was chosen.
func (v *visit) content(name string, most int64) ([]byte, error) {
	f, err := v.file(name)
	if f == nil || err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		return nil, ra.Errorf(ra.TooLarge, "The file is larger than %d KiB.", most>>10).WithField(name).WithRemedy("Choose another file.")
	}
	return b, err
}

// may reports whether the visitor may do something in a group; buttons are
// drawn by it. A group that cannot be seen allows nothing.
func (v *visit) may(p access.Permission, group ra.GroupID) bool {
	g, err := v.Inventory.Group(v.ctx(), v.actor, group)
	return err == nil && access.Check(v.actor, p, g.Path) == nil
}

// mayAnywhere is for menus and buttons that name no group.
func (v *visit) mayAnywhere(p access.Permission) bool { return access.May(v.actor, p) }

// redirect sends the browser on after something was done.
func (v *visit) redirect(to string) error {
	v.written = true
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
	return nil
}

// noticeCookie carries one sentence over the redirect after a POST.
const noticeCookie = "chancery_notice"

// done redirects with a sentence for the next page.
func (v *visit) done(to, notice string) error {
	http.SetCookie(v.w, &http.Cookie{Name: noticeCookie, Value: base64.RawURLEncoding.EncodeToString([]byte(notice)), Path: "/",
		MaxAge: 60, HttpOnly: true, Secure: v.secure(), SameSite: http.SameSiteStrictMode})
	return v.redirect(to)
}

// secure reports whether people reach the console by https only.
func (v *visit) secure() bool { return strings.HasPrefix(strings.ToLower(v.PublicURL), "https://") }

// notice takes the sentence of the page before.
func (v *visit) notice() string {
	c, err := v.r.Cookie(noticeCookie)
	if err != nil {
		return ""
	}
	http.SetCookie(v.w, &http.Cookie{Name: noticeCookie, Path: "/", MaxAge: -1, HttpOnly: true, Secure: v.secure(), SameSite: http.SameSiteStrictMode})
	text, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil || len(text) > 500 {
		return ""
	}
	return string(text)
}

// local gives an address of this console, or "/" for anything else: nobody is
// sent to another site by a link.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.Contains(to, `\`) {
		return "/"
	}
	// The path is written anew and tidied: an escaped slash or blank must not
	// become a second slash, which would begin another host.
	return (&url.URL{Path: path.Clean("/" + u.Path), RawQuery: u.RawQuery}).String()
}

// nowhere answers addresses that no route has.
func (v *visit) nowhere() error {
	return ra.Errorf(ra.NotFound, "There is no such page.").WithRemedy("Start again from the first page, or search for what you need.")
}
