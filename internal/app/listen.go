package app

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"chancery/internal/api"
	"chancery/internal/door/pki"
	"chancery/internal/door/scep"
	"chancery/internal/door/scepproxy"
	"chancery/internal/ra"
)

// socketName is where the command line finds a running server, in the data
// folder. Whoever may open the folder is the owner of the installation.
const socketName = "chancery.sock"

// lockData takes the data folder for one server.
func lockData(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, ra.Errorf(ra.Invalid, "The data folder cannot be made.").WithField("data").
			WithRemedy("Choose a folder this account may write to.").WithCause(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, ra.Errorf(ra.Invalid, "The data folder cannot be used.").WithField("data").
			WithRemedy("Give this account write access to it.").WithCause(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, ra.Errorf(ra.Conflict, "Another server runs on this data folder.").WithField("data").
			WithRemedy("Stop it first, or choose another folder with --data.").WithCause(err)
	}
	return f, nil
}

// listen opens the addresses of cfg and fills in what the system chose.
func listen(cfg *Config) ([]net.Listener, error) {
	main, err := openAddress("listen", &cfg.Listen)
	if err != nil {
		return nil, err
	}
	out := []net.Listener{main}
	if cfg.DeviceListen != "" {
		device, err := openAddress("device_listen", &cfg.DeviceListen)
		if err != nil {
			return nil, errors.Join(err, main.Close())
		}
		out = append(out, device)
	}
	return out, nil
}

func openAddress(field string, address *string) (net.Listener, error) {
	l, err := net.Listen("tcp", *address)
	if err != nil {
		return nil, ra.Errorf(ra.Conflict, "The address %s cannot be listened on.", *address).WithField(field).
			WithRemedy("Choose another address with --%s, or stop what uses it.", strings.ReplaceAll(field, "_", "-")).WithCause(err)
	}
	*address = l.Addr().String()
	return l, nil
}

// local is what the owner of the data folder reaches on this machine: the API
// without a login, and the doors devices use.
func (a *App) local() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/api/", api.Trusted(a.api().Handler(), localActor()))
	mux.Handle("GET /metrics", a.Observer.Handler())
	return a.devices(mux)(mux)
}

// devices puts what devices and relying parties talk to on a mux, and gives
// what must see their requests before the mux does.
func (a *App) devices(mux *http.ServeMux) (wrap func(http.Handler) http.Handler) {
	issuers := &pki.Door{Lifecycle: a.Lifecycle, Log: a.Log, Now: a.Config.Now}
	enrolment := &scep.Door{Enroll: a.Enroll, Lifecycle: a.Lifecycle, Authorities: a.Authorities, DB: a.DB, Now: a.Config.Now, Log: a.Log, Observer: a.Observer}
	proxy := &scepproxy.Door{Passes: a.Passes, Authorities: a.Authorities, Now: a.Config.Now, Log: a.Log, Observer: a.Observer}
	issuers.Register(mux)
	enrolment.Register(mux)
	proxy.Register(mux)
	return func(next http.Handler) http.Handler { return issuers.Wrap(enrolment.Wrap(proxy.Wrap(next))) }
}

// serve starts the listeners: one for everything, or one for people and one
// for devices, and the socket of the command line.
func (a *App) serve() error {
	people, devices := http.NewServeMux(), http.NewServeMux()
	if len(a.listeners) == 1 {
		devices = people
	}
	wrap := a.devices(devices)
	a.registerPeople(people)
	people.Handle("GET /metrics", a.api().Whole(a.Observer.Handler()))
	for _, mux := range []*http.ServeMux{people, devices}[:len(a.listeners)] {
		a.health(mux)
	}
	people.HandleFunc("GET /repair", a.repair)
	first := a.sendToRepair(people)
	if len(a.listeners) == 1 {
		first = a.holdDevices(wrap(first))
	}
	if a.Config.Certificate != "" {
		var err error
		if a.tls, err = newListenerCert(a.Config, a.Log); err != nil {
			return err
		}
	}
	a.run(a.listeners[0], a.Observer.HTTP("people", first), a.tls)
	if len(a.listeners) == 2 {
		a.run(a.listeners[1], a.Observer.HTTP("devices", a.holdDevices(wrap(devices))), nil)
	}
	socket, err := a.openSocket()
	if err != nil {
		return err
	}
	a.listeners = append(a.listeners, socket)
	a.run(socket, a.Observer.HTTP("socket", a.holdDevices(a.local())), nil)
	return a.serveMetrics()
}

func (a *App) openSocket() (net.Listener, error) {
	path := filepath.Join(a.Config.Data, socketName)
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, err // the folder is locked for us, so what is left there is stale
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, ra.Errorf(ra.Invalid, "The socket for the command line cannot be opened in the data folder.").WithField("data").
			WithRemedy("Use a folder with a shorter path on a local disk.").WithCause(err)
	}
	return l, os.Chmod(path, 0o600)
}

// run serves one listener until Close. The timeouts keep slow clients from
// holding connections: no request takes longer than a call to an authority.
func (a *App) run(l net.Listener, h http.Handler, cert *listenerCert) {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 2 * time.Minute, WriteTimeout: 3 * time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(a.Log.Handler(), slog.LevelWarn)}
	a.servers = append(a.servers, s)
	a.serving.Go(func() {
		var err error
		if cert != nil {
			s.TLSConfig = &tls.Config{GetCertificate: cert.get}
			err = s.ServeTLS(l, "", "")
		} else {
			err = s.Serve(l)
		}
		if err != nil && !errors.Is(err, http.ErrServerClosed) {
			a.Log.Error("listener ended", "address", l.Addr(), "error", err)
		}
	})
}

// health answers /healthz (the process lives) and /readyz (it can work).
func (a *App) health(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", a.ready)
}

func localActor() ra.Actor {
	return ra.Actor{Kind: ra.ActorLocal, Name: "local", Via: "cli", Grants: []ra.Grant{{Role: ra.RoleOwner}}}
}
