package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/signin"
	"chancery/internal/store"
)

// grantLine is one role and where it holds.
type grantLine struct {
	Role  string
	Group link
}

func (v *visit) grantLines(grants []ra.Grant) []grantLine {
	var out []grantLine
	for _, g := range grants {
		where := link{Title: "everywhere"}
		if g.Group != "" {
			where = v.groupLink(g.Group)
		}
		out = append(out, grantLine{string(g.Role), where})
	}
	return out
}

type adminLine struct {
	*ra.Admin
	State  string
	Grants []grantLine
	Own    bool
}

type adminsView struct {
	Filter filter
	Name   heading
	Lines  []adminLine
	Pager  pager
	CLI    []string
}

type adminView struct {
	Admin    *ra.Admin
	State    string
	Grants   []grantLine
	Passkeys []*ra.Passkey
	Own      bool
	Link     string // shown once
	Life     string
	Events   []*ra.AuditEntry
	CLI      []string
}

var (
	adminsPage   = view[adminsView]("admins")
	oneAdminPage = view[adminView]("admin")
)

func adminState(a *ra.Admin) string {
	if a.Disabled {
		return "disabled"
	}
	return "on"
}

func (v *visit) admins() error {
	list, next, err := v.Signin.FindAdmins(v.ctx(), v.actor, store.AdminFilter{Text: v.query("q"), Page: v.page()})
	if err != nil {
		return err
	}
	data := adminsView{Filter: v.filter("Name"), Name: v.sortable("Name", "name", "name"), Pager: v.pager(next, len(list)), CLI: []string{"chancery admin list", "chancery admin link NAME"}}
	for _, a := range list {
		data.Lines = append(data.Lines, adminLine{a, adminState(a), v.grantLines(a.Grants), a.ID == v.admin.ID})
	}
	return adminsPage.show(v, http.StatusOK, data)
}

func (v *visit) loadAdmin() (*ra.Admin, error) {
	return v.Signin.Admin(v.ctx(), v.actor, id[ra.AdminID](v))
}

func (v *visit) adminPage() error { return v.showAdmin("") }

// showAdmin shows an administrator, and a sign-in link that was just made.
func (v *visit) showAdmin(link string) error {
	a, err := v.loadAdmin()
	if err != nil {
		return err
	}
	passkeys, err := v.Signin.Passkeys(v.ctx(), v.actor, a.ID)
	if err != nil {
		return err
	}
	events, err := v.Audit.About(v.ctx(), string(a.ID), 20)
	if err != nil {
		return err
	}
	return oneAdminPage.show(v, http.StatusOK, adminView{Admin: a, State: adminState(a), Grants: v.grantLines(a.Grants), Passkeys: passkeys, Own: a.ID == v.admin.ID, Link: link, Life: spanWords(linkLife),
		Events: events, CLI: []string{"chancery admin link " + string(a.ID), "chancery admin update " + string(a.ID) + " --role viewer"}})
}

// linkLife is how long a sign-in link made here works: long enough to send it.
const linkLife = 24 * time.Hour

func (v *visit) createLink() error {
	a, err := v.loadAdmin()
	if err != nil {
		return err
	}
	text, err := v.Signin.CreateLink(v.ctx(), v.actor, a.ID, linkLife)
	if err != nil {
		return err
	}
	return v.showAdmin(v.Signin.LinkURL(text))
}

func (v *visit) resetAdminPage() error { return v.askReset(nil) }

func (v *visit) askReset(wrong error) error {
	a, err := v.loadAdmin()
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Reset the sign-in", About: a.Name, Effect: []string{"The password and all passkeys are removed, and every session of theirs ends.", "They get in again by a sign-in link only. Make one for them next."},
		Form: form{Cancel: "/administrators/" + string(a.ID), Danger: true}, CLI: []string{"chancery admin link " + string(a.ID)}}, nil, nil, wrong)
}

func (v *visit) resetAdmin() error {
	a, err := v.loadAdmin()
	if err != nil {
		return err
	}
	passkeys, err := v.Signin.Passkeys(v.ctx(), v.actor, a.ID)
	if err != nil {
		return err
	}
	for _, p := range passkeys {
		if err := v.Signin.RemovePasskey(v.ctx(), v.actor, a.ID, p.ID); err != nil {
			return v.askReset(err)
		}
	}
	if _, err := v.Signin.UpdateAdmin(v.ctx(), v.actor, a.ID, signin.AdminInput{Password: noPassword()}); err != nil {
		return v.askReset(err)
	}
	return v.done("/administrators/"+string(a.ID), "The sign-in is reset. Make a sign-in link now.")
}

// adminForm is what an administrator is besides their grants.
type adminForm struct {
	Name, DisplayName, Email string
	Disabled, known          bool
}

// Describe names the fields.
func (f *adminForm) Describe(s *setting.Form) {
	s.Text(&f.Name, "name", "Sign-in name").Required().MaxLength(200)
	s.Text(&f.DisplayName, "display_name", "Name").MaxLength(200)
	s.Text(&f.Email, "email", "Mail address").MaxLength(200)
	if f.known {
		s.Bool(&f.Disabled, "disabled", "Disabled").Help("Cannot sign in, and is signed out now.")
	}
}

// grantRow is one role in a form.
type grantRow struct {
	Index  int
	Roles  []option
	Groups []option
}

type grantsView struct {
	Title  string
	Crumb  link
	Form   form
	Grants []grantRow
	Bad    *trouble
	CLI    []string
}

var grantsPage = view[grantsView]("admin_edit")

var roleWords = map[ra.Role]string{ra.RoleOwner: "Owner: everything", ra.RoleManager: "Manager: templates, endpoints, devices, requests", ra.RoleOperator: "Operator: devices, requests, revocations",
	ra.RoleApprover: "Approver: sees, and decides requests", ra.RoleAuditor: "Auditor: sees, and reads the audit log", ra.RoleViewer: "Viewer: sees"}

// grantRows draws the roles of a form with room for two more.
func (v *visit) grantRows(grants []ra.Grant) ([]grantRow, error) {
	groups, err := v.groupOptions()
	if err != nil {
		return nil, err
	}
	groups = append([]option{{Value: "", Label: "Everywhere"}}, groups...)
	var out []grantRow
	for i, g := range append(slices.Clone(grants), ra.Grant{}, ra.Grant{}) {
		row := grantRow{Index: i, Roles: []option{{Value: "", Label: "No role", Selected: g.Role == ""}}, Groups: slices.Clone(groups)}
		for _, r := range ra.Roles {
			row.Roles = append(row.Roles, option{Value: string(r), Label: roleWords[r], Selected: r == g.Role})
		}
		for j := range row.Groups {
			row.Groups[j].Selected = row.Groups[j].Value == string(g.Group)
		}
		out = append(out, row)
	}
	return out, nil
}

func readGrants(posted url.Values) []ra.Grant {
	grants := []ra.Grant{}
	for i := range rowCount(posted, "grant.", ".role") {
		n := strconv.Itoa(i)
		if role := posted.Get("grant." + n + ".role"); role != "" {
			grants = append(grants, ra.Grant{Role: ra.Role(role), Group: ra.GroupID(posted.Get("grant." + n + ".group"))})
		}
	}
	return grants
}

func (v *visit) newAdminPage() error {
	return v.editAdminForm(&adminForm{}, nil, []ra.Grant{}, nil, nil)
}

func (v *visit) editAdminForm(f *adminForm, a *ra.Admin, grants []ra.Grant, posted url.Values, wrong error) error {
	known := fieldNames(f)
	known["grants"] = true
	p := v.sort(wrong, known)
	rows, err := v.grantRows(grants)
	if err != nil {
		return err
	}
	data := grantsView{Title: "Add an administrator", Crumb: link{"Administrators", "/administrators"}, Grants: rows, Bad: p.byField["grants"],
		Form: form{Action: v.r.URL.Path, Sets: draw(f, drawing{values: posted, bad: p.byField}), Problem: p.summary, Submit: "Add the administrator", Cancel: "/administrators"},
		CLI:  []string{"chancery admin add NAME --role viewer"}}
	if a != nil {
		data.Title, data.Crumb, data.Form.Submit, data.Form.Cancel = "Edit "+a.Name, link{a.Name, "/administrators/" + string(a.ID)}, "Save", "/administrators/"+string(a.ID)
		data.CLI = []string{"chancery admin update " + string(a.ID) + " --role manager@GROUP"}
	}
	return grantsPage.show(v, statusOf(wrong), data)
}

func (v *visit) newAdmin() error {
	return v.saveAdmin(&adminForm{}, nil, func(in signin.AdminInput) (*ra.Admin, error) { return v.Signin.CreateAdmin(v.ctx(), v.actor, in) }, "The administrator is added. Make a sign-in link for them now.")
}

func (v *visit) saveAdmin(f *adminForm, a *ra.Admin, save func(signin.AdminInput) (*ra.Admin, error), notice string) error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	grants := readGrants(posted)
	if err := setting.FromForm(f, posted); err != nil {
		return v.editAdminForm(f, a, grants, posted, err)
	}
	in := signin.AdminInput{Name: &f.Name, DisplayName: &f.DisplayName, Email: &f.Email, Grants: &grants}
	if a != nil {
		in.Disabled = &f.Disabled
	}
	saved, err := save(in)
	if err != nil {
		return v.editAdminForm(f, a, grants, posted, err)
	}
	return v.done("/administrators/"+string(saved.ID), notice)
}

func (v *visit) editAdminPage() error {
	a, err := v.loadAdmin()
	if err != nil {
		return err
	}
	return v.editAdminForm(adminFormOf(a), a, a.Grants, nil, nil)
}

func adminFormOf(a *ra.Admin) *adminForm {
	return &adminForm{Name: a.Name, DisplayName: a.DisplayName, Email: a.Email, Disabled: a.Disabled, known: true}
}

func (v *visit) editAdmin() error {
	a, err := v.loadAdmin()
	if err != nil {
		return err
	}
	return v.saveAdmin(adminFormOf(a), a, func(in signin.AdminInput) (*ra.Admin, error) {
		return v.Signin.UpdateAdmin(v.ctx(), v.actor, a.ID, in)
	}, "The administrator is changed.")
}

func (v *visit) deleteAdminPage() error { return v.askDeleteAdmin(nil) }

func (v *visit) askDeleteAdmin(wrong error) error {
	a, err := v.loadAdmin()
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Delete the administrator", About: a.Name, Effect: []string{"They cannot sign in any more, and are signed out now.", "What they did stays in the audit log."},
		Form: form{Cancel: "/administrators/" + string(a.ID), Danger: true}, CLI: []string{"chancery admin delete " + string(a.ID)}}, nil, nil, wrong)
}

func (v *visit) deleteAdmin() error {
	a, err := v.loadAdmin()
	if err != nil {
		return err
	}
	if err := v.Signin.DeleteAdmin(v.ctx(), v.actor, a.ID); err != nil {
		return v.askDeleteAdmin(err)
	}
	return v.done("/administrators", "The administrator "+a.Name+" is deleted.")
}
