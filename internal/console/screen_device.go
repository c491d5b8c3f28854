package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"chancery/internal/access"
	"chancery/internal/inventory"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/store"
)

// challengeLine is a challenge in a list.
type challengeLine struct {
	*ra.Challenge
	Endpoint link
	State    string
}

type deviceView struct {
	Device       *ra.Device
	Platform     string
	User         link
	Group        link
	Certificates []certificateLine
	AllCerts     string
	Requests     []requestLine
	Challenges   []challengeLine
	Passes       []passLine
	AllPasses    string
	MayPass      bool // there is a SCEP server to make one for
	Attributes   []previewLine
	Events       []*ra.AuditEntry
	MayEdit      bool
	MayAsk       bool
	CLI          []string
}

var devicePage = view[deviceView]("device")

func (v *visit) loadDevice() (*ra.Device, error) {
	return v.Inventory.Device(v.ctx(), v.actor, id[ra.DeviceID](v))
}

func (v *visit) device() error {
	d, err := v.loadDevice()
	if err != nil {
		return err
	}
	few := store.Page{Limit: 20}
	certificates, more, err := v.Lifecycle.FindCertificates(v.ctx(), v.actor, store.CertificateFilter{Device: d.ID, Page: few})
	if err != nil {
		return err
	}
	requests, _, err := v.Enroll.FindRequests(v.ctx(), v.actor, store.RequestFilter{Device: d.ID, Page: few})
	if err != nil {
		return err
	}
	challenges, _, err := v.Enroll.FindChallenges(v.ctx(), v.actor, store.ChallengeFilter{Device: d.ID, Page: few})
	if err != nil {
		return err
	}
	events, err := v.Audit.About(v.ctx(), string(d.ID), 20)
	if err != nil {
		return err
	}
	f := store.PassSearch{}
	f.Device, f.Page = d.ID, few
	passes, morePasses, err := v.Passes.Search(v.ctx(), v.actor, f)
	if err != nil {
		return err
	}
	servers, err := v.forwarders()
	if err != nil {
		return err
	}
	data := deviceView{Device: d, Passes: v.passLines(passes), Platform: platformTitles[d.Platform], User: v.userLink(d.UserID), Group: v.groupLink(d.GroupID), Certificates: v.certificateLines(certificates),
		Requests: v.requestLines(requests), Attributes: attributeLines(d.Attributes), Events: events, MayEdit: v.may(access.EditDevices, d.GroupID), MayAsk: v.may(access.Request, d.GroupID),
		CLI: []string{"chancery device show " + string(d.ID)}}
	if more != "" {
		data.AllCerts = "/certificates?device=" + string(d.ID)
	}
	data.MayPass = data.MayAsk && len(servers) > 0
	if morePasses != "" {
		data.AllPasses = "/passes?device=" + string(d.ID)
	}
	if len(requests)+len(passes) > 0 {
		data.CLI = append(data.CLI, "chancery trace show "+string(d.ID))
	}
	for _, c := range challenges {
		data.Challenges = append(data.Challenges, challengeLine{c, v.endpointLink(c.EndpointID), v.challengeState(c)})
	}
	if data.MayEdit {
		data.CLI = append(data.CLI, "chancery challenge create --device "+string(d.ID)+" --endpoint NAME", "chancery device unenrol "+string(d.ID))
	}
	return devicePage.show(v, http.StatusOK, data)
}

func (v *visit) challengeState(c *ra.Challenge) string {
	switch {
	case c.Uses >= c.MaxUses:
		return "used"
	case !c.ExpiresAt.After(v.Now()):
		return "expired"
	}
	return "open"
}

func attributeLines(attributes map[string]string) []previewLine {
	var out []previewLine
	for k, value := range attributes {
		out = append(out, previewLine{k, value})
	}
	slices.SortFunc(out, func(a, b previewLine) int { return strings.Compare(a.Label, b.Label) })
	return out
}

// deviceForm is what a person says about a device.
type deviceForm struct {
	Group, User, Platform, PlatformID, Name, SerialNumber, Model, OSVersion, Ownership string
	Attributes                                                                         []string
	known                                                                              bool // its identity is given already
}

// Describe names the fields.
func (f *deviceForm) Describe(s *setting.Form) {
	s.Text(&f.Name, "name", "Name").MaxLength(200).Help("Left empty, it is the platform ID.")
	p := s.Choice(&f.Platform, "platform", "Platform").Required()
	for _, x := range ra.Platforms {
		p.Options(setting.Option{Value: string(x), Label: platformTitles[x]})
	}
	if !f.known {
		s.Text(&f.PlatformID, "platform_id", "Platform ID").Required().MaxLength(200).Help("What the device is managed by: UDID, MDM device ID, machine ID. It cannot be changed later.")
	}
	s.Choice(&f.Group, "group_id", "Organization group").Required().Lookup("groups")
	s.Text(&f.User, "user_id", "User").MaxLength(300).Help("Name or ID. Leave it empty when the device is nobody's.")
	s.Section("Details", "Templates can use them as lookup values.")
	s.Text(&f.SerialNumber, "serial_number", "Serial number").MaxLength(200)
	s.Text(&f.Model, "model", "Model").MaxLength(200)
	s.Text(&f.OSVersion, "os_version", "Operating system version").MaxLength(200)
	s.Choice(&f.Ownership, "ownership", "Ownership").Options(setting.Option{Value: "C", Label: "Corporate"}, setting.Option{Value: "E", Label: "Employee"}, setting.Option{Value: "S", Label: "Shared"})
	s.List(&f.Attributes, "attributes", "Attributes").Placeholder("asset_number=4711").Help("One name=value per line; a template writes {DeviceAttribute.name}.")
}

type editView struct {
	Title string
	Crumb link
	Form  form
	CLI   []string
}

var editPage = view[editView]("edit")

func (v *visit) newDevicePage() error {
	return v.editDeviceForm(&deviceForm{Group: v.query("group"), User: v.query("user")}, nil, nil, nil)
}

func (v *visit) editDeviceForm(f *deviceForm, d *ra.Device, posted url.Values, wrong error) error {
	groups, err := v.groupOptions()
	if err != nil {
		return err
	}
	users, err := v.userOptions()
	if err != nil {
		return err
	}
	p := v.sort(wrong, fieldNames(f))
	sets := draw(f, drawing{values: posted, bad: p.byField, options: map[string][]option{"group_id": groups}, suggest: map[string][]option{"user_id": users}})
	data := editView{Title: "Add a device", Crumb: link{"Devices", "/devices"}, Form: form{Action: v.r.URL.Path, Sets: sets, Problem: p.summary, Submit: "Add the device", Cancel: "/devices"},
		CLI: []string{"chancery device create PLATFORM-ID --platform windows --group GROUP --user USER"}}
	if d != nil {
		data.Title, data.Crumb, data.Form.Submit, data.Form.Cancel = "Edit "+d.Name, link{d.Name, "/devices/" + string(d.ID)}, "Save", "/devices/"+string(d.ID)
		data.CLI = []string{"chancery device update " + string(d.ID) + " --name NAME"}
	}
	return editPage.show(v, statusOf(wrong), data)
}

// fieldNames lists the names of a form, for the problems that belong to them.
func fieldNames(d setting.Describer) map[string]bool {
	known := map[string]bool{}
	for _, f := range setting.Fields(d) {
		known[f.Name] = true
	}
	return known
}

// input turns what was typed into the capability's input.
func (f *deviceForm) input(v *visit) (inventory.DeviceInput, error) {
	in := inventory.DeviceInput{GroupID: (*ra.GroupID)(&f.Group), Platform: (*ra.Platform)(&f.Platform), Name: &f.Name, SerialNumber: &f.SerialNumber,
		Model: &f.Model, OSVersion: &f.OSVersion, Ownership: &f.Ownership}
	if !f.known {
		in.PlatformID = &f.PlatformID
	}
	u, err := v.findUser("user_id", f.User)
	if err != nil {
		return in, err
	}
	in.UserID = new(ra.UserID)
	if u != nil {
		*in.UserID = u.ID
	}
	in.Attributes, err = readAttributes(f.Attributes)
	return in, err
}

// readAttributes reads lines of name=value.
func readAttributes(list []string) (map[string]string, error) {
	out := map[string]string{}
	for _, line := range list {
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, ra.Errorf(ra.Invalid, "%q is not an attribute.", clip(line, 60)).WithField("attributes").WithRemedy("Write each as name=value.")
		}
		out[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return out, nil
}

func writeAttributes(attributes map[string]string) []string {
	var out []string
	for _, l := range attributeLines(attributes) {
		out = append(out, l.Label+"="+l.Value)
	}
	return out
}

func (v *visit) newDevice() error {
	f := &deviceForm{}
	return v.saveDevice(f, nil, func(in inventory.DeviceInput) (*ra.Device, error) {
		return v.Inventory.CreateDevice(v.ctx(), v.actor, in)
	}, "The device is added.")
}

func (v *visit) saveDevice(f *deviceForm, d *ra.Device, save func(inventory.DeviceInput) (*ra.Device, error), notice string) error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	if err := setting.FromForm(f, posted); err != nil {
		return v.editDeviceForm(f, d, posted, err)
	}
	in, err := f.input(v)
	if err != nil {
		return v.editDeviceForm(f, d, posted, err)
	}
	saved, err := save(in)
	if err != nil {
		return v.editDeviceForm(f, d, posted, err)
	}
	return v.done("/devices/"+string(saved.ID), notice)
}

func (v *visit) deviceFormOf(d *ra.Device) *deviceForm {
	f := &deviceForm{known: true, Group: string(d.GroupID), Platform: string(d.Platform), Name: d.Name, SerialNumber: d.SerialNumber, Model: d.Model,
		OSVersion: d.OSVersion, Ownership: d.Ownership, Attributes: writeAttributes(d.Attributes)}
	if d.UserID != "" {
		f.User = string(d.UserID)
		if u, err := v.Inventory.User(v.ctx(), v.actor, d.UserID); err == nil {
			if again, err := v.findUser("user_id", u.Name); err == nil && again.ID == u.ID {
				f.User = u.Name
			}
		}
	}
	return f
}

func (v *visit) editDevicePage() error {
	d, err := v.loadDevice()
	if err != nil {
		return err
	}
	return v.editDeviceForm(v.deviceFormOf(d), d, nil, nil)
}

func (v *visit) editDevice() error {
	d, err := v.loadDevice()
	if err != nil {
		return err
	}
	return v.saveDevice(v.deviceFormOf(d), d, func(in inventory.DeviceInput) (*ra.Device, error) {
		return v.Inventory.UpdateDevice(v.ctx(), v.actor, d.ID, in)
	}, "The device is changed.")
}

func (v *visit) enrolDevice() error {
	d, err := v.loadDevice()
	if err != nil {
		return err
	}
	if _, err := v.Inventory.EnrolDevice(v.ctx(), v.actor, d.ID); err != nil {
		return err
	}
	return v.done("/devices/"+string(d.ID), "The device is enrolled again and may ask for certificates.")
}

func (v *visit) unenrolDevicePage() error { return v.askUnenrol(nil) }

func (v *visit) askUnenrol(wrong error) error {
	d, err := v.loadDevice()
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Unenrol the device", About: d.Name,
		Effect: []string{"It can ask for nothing more; its open challenges no longer work.", "Certificates are revoked where their template says so. That cannot be taken back."},
		Form:   form{Cancel: "/devices/" + string(d.ID), Danger: true}, CLI: []string{"chancery device unenrol " + string(d.ID)}}, nil, nil, wrong)
}

func (v *visit) unenrolDevice() error {
	d, err := v.loadDevice()
	if err != nil {
		return err
	}
	if _, err := v.Inventory.UnenrolDevice(v.ctx(), v.actor, d.ID); err != nil {
		return v.askUnenrol(err)
	}
	return v.done("/devices/"+string(d.ID), "The device is unenrolled.")
}

func (v *visit) blockDevicePage() error { return v.askBlock(nil) }

func (v *visit) askBlock(wrong error) error {
	d, err := v.loadDevice()
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Block the device", About: d.Name,
		Effect: []string{"It can ask for nothing until it is enrolled again.", "The certificates it holds stay valid."},
		Form:   form{Cancel: "/devices/" + string(d.ID), Danger: true}, CLI: []string{"chancery device block " + string(d.ID)}}, nil, nil, wrong)
}

func (v *visit) blockDevice() error {
	d, err := v.loadDevice()
	if err != nil {
		return err
	}
	if _, err := v.Inventory.BlockDevice(v.ctx(), v.actor, d.ID); err != nil {
		return v.askBlock(err)
	}
	return v.done("/devices/"+string(d.ID), "The device is blocked.")
}

func (v *visit) deleteDevicePage() error { return v.askDeleteDevice(nil) }

func (v *visit) askDeleteDevice(wrong error) error {
	d, err := v.loadDevice()
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Delete the device", About: d.Name,
		Effect: []string{"It is gone from the inventory; what happened to it stays in the audit log.", "A device whose certificates are still in use has to be unenrolled first."},
		Form:   form{Cancel: "/devices/" + string(d.ID), Danger: true}, CLI: []string{"chancery device delete " + string(d.ID)}}, nil, nil, wrong)
}

func (v *visit) deleteDevice() error {
	d, err := v.loadDevice()
	if err != nil {
		return err
	}
	if err := v.Inventory.DeleteDevice(v.ctx(), v.actor, d.ID); err != nil {
		return v.askDeleteDevice(err)
	}
	return v.done("/devices", "The device "+d.Name+" is deleted.")
}
