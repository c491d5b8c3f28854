package peer

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"chancery/bench/machine"
)

// Nginx passes requests on to one address. It is one process, so that its
// processor time can be read, and otherwise as its manual has a proxy that keeps
// its connections open: HTTP/1.1 to the server behind it, buffers and the access
// log as they are by default.
type Nginx struct {
	Program string
	Version string
}

// FindNginx finds the one of this machine.
func FindNginx() (*Nginx, error) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // which is not where ordinary people look
		if _, err := os.Stat(program); err != nil {
			return nil, errors.New("nginx is missing\nhint: apt-get install nginx-light")
		}
	}
	out, err := exec.Command(program, "-v").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s -v: %w\n%s", program, err, out)
	}
	_, version, _ := strings.Cut(strings.TrimSpace(string(out)), "nginx/")
	return &Nginx{program, version}, nil
}

// nginxConfig has the address to listen on and the one behind. Paths are
// relative to the folder it is started for.
const nginxConfig = `daemon off;
master_process off;
pid nginx.pid;
error_log error.log;
events {
    worker_connections 1024;
}
http {
    access_log access.log;
    client_body_temp_path body;
    proxy_temp_path proxied;
    fastcgi_temp_path fastcgi;
    scgi_temp_path scgi;
    uwsgi_temp_path uwsgi;
    upstream behind {
        server %[2]s;
        keepalive 64;
    }
    server {
        listen %[1]s;
        location / {
            proxy_pass http://behind;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
}
`

// Start starts it in a folder of its own, before the server at address, which
// runs already. path is that of its SCEP service.
func (n *Nginx) Start(dir, address, path string, cores machine.Cores) (*Server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	own, err := machine.FreeAddress()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, nginxConfig, own, address), 0o600); err != nil {
		return nil, err
	}
	p, err := machine.Start(machine.Program{Path: n.Program, Args: []string{"-p", dir, "-e", "error.log", "-c", file}, Dir: dir, Cores: cores, Log: dir + ".log"})
	if err != nil {
		return nil, err
	}
	s := &Server{Process: p, SCEP: "http://" + own + path}
	return s.await(http.DefaultClient, s.SCEP+"?operation=GetCACaps")
}
