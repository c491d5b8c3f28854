package app

import (
	"net/http"

	"chancery/internal/api"
	"chancery/internal/console"
	"chancery/internal/doctor"
)

// Version is the program's version; the build may set it.
var Version = "0.1.0"

// registerPeople puts the API and the console on a mux.
func (a *App) registerPeople(mux *http.ServeMux) {
	mux.Handle("/api/", a.api().Handler())
	mux.Handle("/", (&console.Console{Inventory: a.Inventory, Directories: a.Directories, Keys: a.Keys, Postures: a.Postures, Authorities: a.Authorities, Enroll: a.Enroll, Lifecycle: a.Lifecycle, Passes: a.Passes, Imports: a.Imports, Traces: a.Traces,
		Signin: a.Signin, Audit: a.Audit, Doctor: a.doctor(), Keyring: a.Keyring, DB: a.DB, Now: a.Config.Now, Log: a.Log, PublicURL: a.Config.PublicURL, Version: Version}).Handler())
}

func (a *App) api() *api.Server {
	return &api.Server{Inventory: a.Inventory, Directories: a.Directories, Keys: a.Keys, Postures: a.Postures, Authorities: a.Authorities, Enroll: a.Enroll, Lifecycle: a.Lifecycle, Passes: a.Passes, Imports: a.Imports, Traces: a.Traces,
		Signin: a.Signin, Audit: a.Audit, Doctor: a.doctor(), Keyring: a.Keyring, DB: a.DB, Now: a.Config.Now, Log: a.Log, Version: Version}
}

func (a *App) doctor() *doctor.Service {
	return &doctor.Service{DB: a.DB, Authorities: a.Authorities, Enroll: a.Enroll, Lifecycle: a.Lifecycle, Audit: a.Audit,
		Now: a.Config.Now, Log: a.Log, MasterKey: a.Config.MasterKey, Data: a.Config.Data, Also: a.findings}
}
