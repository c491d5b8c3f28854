package console

import (
	"net/http"
	"runtime"
	"strings"
	"time"

	"chancery/internal/access"
	"chancery/internal/doctor"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// check is one thing that was looked at.
type check struct {
	Title  string
	State  string // ok, warning, failed, skipped
	Detail string
	Remedy string
	URL    string
}

type statusView struct {
	Version   string
	Go        string
	PublicURL string
	OwnBackup bool // chancery backup copies the database; else the tools of its server do
	Now       time.Time
	Checks    []check
	Requests  []countLink
	Devices   []countLink
	CLI       []string
}

var statusPage = view[statusView]("status")

func (v *visit) status() error {
	checks, err := v.checks()
	if err != nil {
		return err
	}
	data := statusView{Version: v.Version, Go: runtime.Version(), PublicURL: v.PublicURL, Now: v.Now(), Checks: checks, OwnBackup: v.DB.Engine() == "sqlite", CLI: []string{"chancery status", "chancery doctor", "chancery backup /var/backups"}}
	err = v.DB.Read(v.ctx(), func(tx *store.Tx) error {
		groups, err := access.Scope(tx, v.actor, access.See)
		if err != nil {
			return err
		}
		requests, err := tx.CountRequests(groups)
		if err != nil {
			return err
		}
		devices, err := tx.CountDevices(groups)
		if err != nil {
			return err
		}
		for _, c := range requests {
			data.Requests = append(data.Requests, countLink{c.Key, c.N, "/requests?state=" + c.Key})
		}
		for _, c := range devices {
			data.Devices = append(data.Devices, countLink{platformTitles[ra.Platform(c.Key)], c.N, "/devices?platform=" + c.Key})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return statusPage.show(v, http.StatusOK, data)
}

// checks are the doctor's findings, as far as the visitor may see them, each
// with the page that helps. Nothing leaves the server for it.
func (v *visit) checks() ([]check, error) {
	found, err := v.Doctor.Glance(v.ctx(), v.actor)
	if err != nil {
		return nil, err
	}
	out := make([]check, len(found))
	for i, f := range found {
		out[i] = check{Title: strings.ToUpper(f.Name[:1]) + f.Name[1:], State: string(f.State), Detail: f.Detail, Remedy: f.Remedy, URL: objectLink(f.Object).URL}
		if f.Name == doctor.Obligations {
			out[i].URL = "/obligations?late=1"
		}
	}
	return out, nil
}
