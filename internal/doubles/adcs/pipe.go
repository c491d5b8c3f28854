package adcs

import (
	"net"
	"os"
	"path/filepath"

	"chancery/internal/doubles/dcerpc"
)

// ListenPipe serves ICertPassage at the named pipe cert of a Samba on this
// machine until Close: dir is the directory np below Samba's "ncalrpc dir", which
// is made when it is not there. Samba has to run with
// "rpc start on demand helpers = no", or it looks for a program of its own.
func (ca *CA) ListenPipe(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	l, err := net.Listen("unix", filepath.Join(dir, "cert"))
	if err != nil {
		return err
	}
	s := &dcerpc.Server{Interfaces: ca.back.Interfaces[:1], Logon: ca.back.Logon, MaxFrag: ca.back.MaxFrag, NoHeaderSigning: ca.back.NoHeaderSigning}
	ca.mu.Lock()
	ca.pipes = append(ca.pipes, s)
	ca.sockets = append(ca.sockets, l)
	ca.mu.Unlock()
	go s.ServePipes(l, `\PIPE\cert`)
	return nil
}
