package dcerpc

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
)

// Samba hands a named pipe that it does not serve itself to whoever listens at a
// Unix socket of the pipe's name: the directory "np" below its "ncalrpc dir",
// which only root may enter. It first says who has opened the pipe, as a message
// of its own interface named_pipe_auth, and hears which kind of pipe it is. In a
// pipe of messages, each message then has its length in two octets before it.

const (
	maxPipeRequest = 1 << 20
	messagePipe    = 2
)

var errPipe = errors.New("dcerpc: not a named pipe of Samba's")

// ServePipes takes pipes that Samba has accepted from l, until it is closed or
// the server is. name is what a bind_ack calls them, such as `\PIPE\cert`. Who
// has opened the pipe does not count: clients log on inside of it.
func (s *Server) ServePipes(l net.Listener, name string) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		if !s.enter(c) {
			c.Close()
			return net.ErrClosed
		}
		go func() {
			defer s.leave(c)
			if greetPipe(c) == nil {
				s.serve(&pipe{c: c}, name)
			}
		}()
	}
}

// greetPipe reads a named_pipe_auth_req and answers it. The levels from 4 on
// differ in what they tell of the client, and have the same answer.
func greetPipe(c io.ReadWriter) error {
	head := make([]byte, 12)
	if _, err := io.ReadFull(c, head); err != nil {
		return err
	}
	length, level := binary.BigEndian.Uint32(head), binary.LittleEndian.Uint32(head[8:])
	if string(head[4:8]) != "NPAM" || length < 8 || length > maxPipeRequest || level < 4 || level > 8 {
		return errPipe
	}
	if _, err := io.CopyN(io.Discard, c, int64(length)-8); err != nil {
		return err
	}
	le := binary.LittleEndian
	reply := append([]byte{0, 0, 0, 32}, "NPAM"...)
	reply = le.AppendUint32(reply, level)
	reply = le.AppendUint32(reply, level)
	reply = le.AppendUint16(reply, messagePipe)
	reply = le.AppendUint16(reply, 0x05ff) // device state: messages both ways, many instances
	reply = le.AppendUint32(reply, 0)      // padding
	reply = le.AppendUint64(reply, 4096)   // allocation size
	reply = le.AppendUint32(reply, 0)      // STATUS_SUCCESS
	_, err := c.Write(reply)
	return err
}

// pipe makes a stream of messages: a PDU is written as one, and what is read may
// come in any pieces.
type pipe struct {
	c    io.ReadWriter
	left int // octets of the message that is being read
}

func (p *pipe) Read(b []byte) (int, error) {
	for p.left == 0 {
		var head [2]byte
		if _, err := io.ReadFull(p.c, head[:]); err != nil {
			return 0, err
		}
		p.left = int(binary.LittleEndian.Uint16(head[:]))
	}
	n, err := p.c.Read(b[:min(len(b), p.left)])
	p.left -= n
	return n, err
}

func (p *pipe) Write(b []byte) (int, error) {
	if len(b) > 0xffff {
		return 0, errPipe
	}
	n, err := p.c.Write(append(binary.LittleEndian.AppendUint16(nil, uint16(len(b))), b...))
	return max(n-2, 0), err
}
