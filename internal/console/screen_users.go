package console

import (
	"net/http"
	"net/url"

	"chancery/internal/access"
	"chancery/internal/inventory"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/store"
)

type userLine struct {
	*ra.User
	Group link
	State string
}

type usersView struct {
	Filter  filter
	Name    heading
	Lines   []userLine
	Pager   pager
	CSV     string
	MayEdit bool
	CLI     []string
}

type userView struct {
	User         *ra.User
	State        string
	Group        link
	Directory    link
	Devices      []*ra.Device
	Certificates []certificateLine
	Attributes   []previewLine
	Events       []*ra.AuditEntry
	MayEdit      bool
	CLI          []string
}

var (
	usersPage = view[usersView]("users")
	userPage  = view[userView]("user")
)

func userState(u *ra.User) string {
	if u.Disabled {
		return "disabled"
	}
	return "on"
}

func (v *visit) userFilter() store.UserFilter {
	f := store.UserFilter{Text: v.query("q")}
	if g := v.query("group"); g != "" {
		f.Groups = []ra.GroupID{ra.GroupID(g)}
	}
	return f
}

func (v *visit) users() error {
	f := v.userFilter()
	f.Page = v.page()
	list, next, err := v.Inventory.FindUsers(v.ctx(), v.actor, f)
	if err != nil {
		return err
	}
	groups, err := v.groupOptions()
	if err != nil {
		return err
	}
	q := v.r.URL.Query()
	q.Del("after")
	q.Del("sort")
	data := usersView{Filter: v.filter("Name, mail address or UPN", choice{"group", "Group", groups}), Name: v.sortable("Name", "name", "name"), Pager: v.pager(next, len(list)),
		CSV: address("/users.csv", q), MayEdit: v.mayAnywhere(access.EditDevices), CLI: []string{"chancery user list", "chancery user import users.csv --dry-run"}}
	for _, u := range list {
		data.Lines = append(data.Lines, userLine{u, v.groupLink(u.GroupID), userState(u)})
	}
	return usersPage.show(v, http.StatusOK, data)
}

func (v *visit) usersCSV() error {
	v.startCSV("users.csv")
	if err := v.Inventory.ExportUsers(v.ctx(), v.actor, v.userFilter(), v.w); err != nil {
		return v.cut(err)
	}
	return nil
}

func (v *visit) loadUser() (*ra.User, error) {
	return v.Inventory.User(v.ctx(), v.actor, id[ra.UserID](v))
}

func (v *visit) user() error {
	u, err := v.loadUser()
	if err != nil {
		return err
	}
	devices, _, err := v.Inventory.FindDevices(v.ctx(), v.actor, store.DeviceFilter{User: u.ID, Page: store.Page{Limit: 50}})
	if err != nil {
		return err
	}
	certificates, _, err := v.Lifecycle.FindCertificates(v.ctx(), v.actor, store.CertificateFilter{User: u.ID, Page: store.Page{Limit: 20}})
	if err != nil {
		return err
	}
	events, err := v.Audit.About(v.ctx(), string(u.ID), 20)
	if err != nil {
		return err
	}
	return userPage.show(v, http.StatusOK, userView{User: u, State: userState(u), Group: v.groupLink(u.GroupID), Directory: v.directoryLink(u.Directory), Devices: devices, Certificates: v.certificateLines(certificates),
		Attributes: attributeLines(u.Attributes), Events: events, MayEdit: v.may(access.EditDevices, u.GroupID), CLI: []string{"chancery user show " + string(u.ID)}})
}

// userForm is what a person says about a user.
type userForm struct {
	Group, Name, Email, UPN, SID, FirstName, LastName, DisplayName, DN string
	Attributes                                                         []string
	Disabled                                                           bool
}

// Describe names the fields.
func (f *userForm) Describe(s *setting.Form) {
	s.Text(&f.Name, "name", "User name").Required().MaxLength(200).Help("The name the person enrols with; sAMAccountName for directory users.")
	s.Choice(&f.Group, "group_id", "Organization group").Required().Lookup("groups")
	s.Text(&f.Email, "email", "Mail address").MaxLength(254)
	s.Text(&f.FirstName, "first_name", "Given name").MaxLength(200)
	s.Text(&f.LastName, "last_name", "Family name").MaxLength(200)
	s.Text(&f.DisplayName, "display_name", "Display name").MaxLength(200)
	s.Section("Directory", "What the directory says about the person. Certificates for sign-in are mapped by it.")
	s.Text(&f.UPN, "upn", "User principal name").MaxLength(254).Placeholder("name@corp.example.com")
	s.Text(&f.SID, "sid", "Security identifier").MaxLength(200).Placeholder("S-1-5-21-…")
	s.Text(&f.DN, "dn", "Distinguished name").MaxLength(1000)
	s.List(&f.Attributes, "attributes", "Attributes").Placeholder("department=Sales").Help("One name=value per line; a template writes {UserAttribute.name}.")
	s.Bool(&f.Disabled, "disabled", "Disabled")
}

func (f *userForm) input() (inventory.UserInput, error) {
	in := inventory.UserInput{GroupID: (*ra.GroupID)(&f.Group), Name: &f.Name, Email: &f.Email, UPN: &f.UPN, SID: &f.SID, FirstName: &f.FirstName, LastName: &f.LastName,
		DisplayName: &f.DisplayName, DN: &f.DN, Disabled: &f.Disabled}
	var err error
	in.Attributes, err = readAttributes(f.Attributes)
	return in, err
}

func (v *visit) newUserPage() error {
	return v.editUserForm(&userForm{Group: v.query("group")}, nil, nil, nil)
}

func (v *visit) editUserForm(f *userForm, u *ra.User, posted url.Values, wrong error) error {
	groups, err := v.groupOptions()
	if err != nil {
		return err
	}
	p := v.sort(wrong, fieldNames(f))
	sets := draw(f, drawing{values: posted, bad: p.byField, options: map[string][]option{"group_id": groups}})
	data := editView{Title: "Add a user", Crumb: link{"Users", "/users"}, Form: form{Action: v.r.URL.Path, Sets: sets, Problem: p.summary, Submit: "Add the user", Cancel: "/users"},
		CLI: []string{"chancery user create NAME --group GROUP"}}
	if u != nil {
		data.Title, data.Crumb, data.Form.Submit, data.Form.Cancel = "Edit "+u.Name, link{u.Name, "/users/" + string(u.ID)}, "Save", "/users/"+string(u.ID)
		data.CLI = []string{"chancery user update " + string(u.ID) + " --email ADDRESS"}
	}
	return editPage.show(v, statusOf(wrong), data)
}

func (v *visit) saveUser(f *userForm, u *ra.User, save func(inventory.UserInput) (*ra.User, error), notice string) error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	if err := setting.FromForm(f, posted); err != nil {
		return v.editUserForm(f, u, posted, err)
	}
	in, err := f.input()
	if err != nil {
		return v.editUserForm(f, u, posted, err)
	}
	saved, err := save(in)
	if err != nil {
		return v.editUserForm(f, u, posted, err)
	}
	return v.done("/users/"+string(saved.ID), notice)
}

func (v *visit) newUser() error {
	return v.saveUser(&userForm{}, nil, func(in inventory.UserInput) (*ra.User, error) { return v.Inventory.CreateUser(v.ctx(), v.actor, in) }, "The user is added.")
}

func userFormOf(u *ra.User) *userForm {
	return &userForm{Group: string(u.GroupID), Name: u.Name, Email: u.Email, UPN: u.UPN, SID: u.SID, FirstName: u.FirstName, LastName: u.LastName,
		DisplayName: u.DisplayName, DN: u.DN, Attributes: writeAttributes(u.Attributes), Disabled: u.Disabled}
}

func (v *visit) editUserPage() error {
	u, err := v.loadUser()
	if err != nil {
		return err
	}
	return v.editUserForm(userFormOf(u), u, nil, nil)
}

func (v *visit) editUser() error {
	u, err := v.loadUser()
	if err != nil {
		return err
	}
	return v.saveUser(userFormOf(u), u, func(in inventory.UserInput) (*ra.User, error) {
		return v.Inventory.UpdateUser(v.ctx(), v.actor, u.ID, in)
	}, "The user is changed.")
}

func (v *visit) deleteUserPage() error { return v.askDeleteUser(nil) }

func (v *visit) askDeleteUser(wrong error) error {
	u, err := v.loadUser()
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Delete the user", About: u.Name, Effect: []string{"The user's devices are nobody's then.", "A user with certificates in use cannot be deleted; disable the user instead."},
		Form: form{Cancel: "/users/" + string(u.ID), Danger: true}, CLI: []string{"chancery user delete " + string(u.ID)}}, nil, nil, wrong)
}

func (v *visit) deleteUser() error {
	u, err := v.loadUser()
	if err != nil {
		return err
	}
	if err := v.Inventory.DeleteUser(v.ctx(), v.actor, u.ID); err != nil {
		return v.askDeleteUser(err)
	}
	return v.done("/users", "The user "+u.Name+" is deleted.")
}
