package console

import (
	"net/http"

	"chancery/internal/access"
	"chancery/internal/ra"
	"chancery/internal/store"
)

type deviceLine struct {
	*ra.Device
	User  link
	Group link
}

type devicesView struct {
	Filter  filter
	Name    heading
	Lines   []deviceLine
	Pager   pager
	CSV     string
	MayEdit bool
	CLI     []string
}

var devicesPage = view[devicesView]("devices")

var platformTitles = map[ra.Platform]string{ra.IOS: "iOS", ra.IPadOS: "iPadOS", ra.MacOS: "macOS", ra.Windows: "Windows", ra.Android: "Android", ra.Linux: "Linux"}

func platformOptions() []option {
	out := make([]option, len(ra.Platforms))
	for i, p := range ra.Platforms {
		out[i] = option{Value: string(p), Label: platformTitles[p]}
	}
	return out
}

var deviceStates = []ra.DeviceState{ra.DeviceEnrolled, ra.DeviceUnenrolled, ra.DeviceBlocked}

// deviceFilter reads the filter of an address.
func (v *visit) deviceFilter() store.DeviceFilter {
	f := store.DeviceFilter{Text: v.query("q"), Platform: ra.Platform(v.query("platform")), State: ra.DeviceState(v.query("state")), User: ra.UserID(v.query("user"))}
	if g := v.query("group"); g != "" {
		f.Groups = []ra.GroupID{ra.GroupID(g)}
	}
	return f
}

func (v *visit) devices() error {
	f := v.deviceFilter()
	f.Page = v.page()
	list, next, err := v.Inventory.FindDevices(v.ctx(), v.actor, f)
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
	data := devicesView{Filter: v.filter("Name, serial number or platform ID", choice{"platform", "Platform", platformOptions()}, choice{"state", "State", stateOptions(deviceStates)}, choice{"group", "Group", groups}),
		Name: v.sortable("Name", "name", "name"), Pager: v.pager(next, len(list)), CSV: address("/devices.csv", q), MayEdit: v.mayAnywhere(access.EditDevices), CLI: []string{"chancery device list", "chancery device import devices.csv --dry-run"}}
	data.Filter.Active = data.Filter.Active || f.User != ""
	for _, d := range list {
		data.Lines = append(data.Lines, deviceLine{d, v.userLink(d.UserID), v.groupLink(d.GroupID)})
	}
	return devicesPage.show(v, http.StatusOK, data)
}

func (v *visit) devicesCSV() error {
	v.startCSV("devices.csv")
	if err := v.Inventory.ExportDevices(v.ctx(), v.actor, v.deviceFilter(), v.w); err != nil {
		return v.cut(err)
	}
	return nil
}
