package testpeer

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Pipe has a program of the test serve a named pipe of the controller's, such as
// cert: Samba does SMB and the login to it, and hands the pipe on. One Write
// is one message, as on a pipe. It ends with the test.
func (s *Samba) Pipe(name string) net.Listener {
	s.t.Helper()
	l, err := net.Listen("unix", filepath.Join(s.dir, "ncalrpc", "np", strings.ToLower(name)))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
	return &pipeListener{l, s.t, pipeName(`\PIPE\` + name)}
}

// pipeName is the address of a named pipe.
type pipeName string

func (pipeName) Network() string  { return "pipe" }
func (n pipeName) String() string { return string(n) }

type pipeListener struct {
	net.Listener
	t    testing.TB
	name pipeName
}

func (l *pipeListener) Addr() net.Addr { return l.name }

// Accept gives a client that has opened the pipe.
func (l *pipeListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	p := &pipeConn{Conn: c}
	p.greet = sync.OnceValue(func() error {
		err := welcome(c)
		if err != nil {
			l.t.Errorf("Samba hands on %s in a way that is not known: %v", l.name, err)
		}
		return err
	})
	return p, nil
}

// pipeConn is an open pipe. Every message has its length before it, in two octets.
type pipeConn struct {
	net.Conn
	greet func() error
	left  int // of the message that is being read
}

func (c *pipeConn) Read(b []byte) (int, error) {
	if err := c.greet(); err != nil {
		return 0, err
	}
	for c.left == 0 {
		var size [2]byte
		if _, err := io.ReadFull(c.Conn, size[:]); err != nil {
			return 0, err
		}
		c.left = int(binary.LittleEndian.Uint16(size[:]))
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

func (c *pipeConn) Write(b []byte) (int, error) {
	if err := c.greet(); err != nil {
		return 0, err
	}
	if len(b) > 0xffff {
		return 0, errors.New("a message that is too long for a pipe")
	}
	_, err := c.Conn.Write(append(binary.LittleEndian.AppendUint16(nil, uint16(len(b))), b...))
	return len(b), err
}

// welcome answers what smbd says of a client (Samba's named_pipe_auth.idl, level 7):
// that the pipe carries messages. Who the client is does not matter here.
func welcome(c net.Conn) error {
	const most = 1 << 20
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 12 || n > most {
		return errors.New("a greeting of a strange size")
	}
	request := make([]byte, n)
	if _, err := io.ReadFull(c, request); err != nil {
		return err
	}
	le := binary.LittleEndian
	const level = 7
	if string(request[:4]) != "NPAM" || le.Uint32(request[4:]) != level {
		return errors.New("a greeting of another level")
	}
	const (
		messages   = 2      // FILE_TYPE_MESSAGE_MODE_PIPE
		state      = 0x05ff // any number of instances, messages both ways
		allocation = 4096
	)
	reply := le.AppendUint32([]byte("NPAM"), level)
	reply = le.AppendUint32(reply, level) // once more, for the union
	reply = le.AppendUint16(reply, messages)
	reply = le.AppendUint16(reply, state)
	reply = append(reply, 0, 0, 0, 0) // up to a multiple of eight, with the size before it
	reply = le.AppendUint64(reply, allocation)
	reply = le.AppendUint32(reply, 0) // NT_STATUS_OK
	_, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(reply))), reply...))
	return err
}
