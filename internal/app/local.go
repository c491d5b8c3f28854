package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
)

// LocalURL is the base address of the clients that Local gives; the host in it
// is never looked up.
const LocalURL = "http://chancery.local"

// Local gives an HTTP client that reaches the API on this machine without a
// login: the socket of the server that runs on the data folder, or the program
// itself, opened for as long as the client lives. done ends it.
func Local(ctx context.Context, cfg Config) (client *http.Client, done func() error, err error) {
	cfg.settle()
	socket := filepath.Join(cfg.Data, socketName)
	var d net.Dialer
	if conn, err := d.DialContext(ctx, "unix", socket); err == nil {
		conn.Close()
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", socket)
		}}
		return &http.Client{Transport: transport}, func() error { transport.CloseIdleConnections(); return nil }, nil
	}
	a, err := Open(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	// A pipe of its own carries the requests to the same handler a server has.
	l := newPipeListener()
	server := &http.Server{Handler: a.local()}
	go server.Serve(l)
	transport := &http.Transport{DialContext: l.dial}
	done = func() error {
		transport.CloseIdleConnections()
		return errors.Join(server.Close(), a.closeParts())
	}
	return &http.Client{Transport: transport}, done, nil
}

// pipeListener hands out connections inside the process.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{make(chan net.Conn), make(chan struct{})}
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept waits for the next dial.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept. It is called once.
func (l *pipeListener) Close() error { close(l.closed); return nil }

// Addr is a name only.
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }
