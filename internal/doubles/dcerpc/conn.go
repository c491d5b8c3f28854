package dcerpc

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
)

// conn is one connection. It belongs to one goroutine.
type conn struct {
	server   *Server
	rw       io.ReadWriter
	address  string // what a bind_ack calls our end
	bound    bool
	group    uint32
	contexts map[uint16]*Interface
	logons   map[uint32]*security
	signed   bool // both offered header signing
	maxSend  int  // octets of a PDU
	call     *assembly
}

// errDone ends a connection that cannot go on.
var errDone = errors.New("dcerpc: the connection is over")

// ServeConn serves one connection that came in at address until it ends. It
// does not close it.
func (s *Server) ServeConn(c net.Conn, address net.Addr) {
	name := address.String()
	if tcp, ok := address.(*net.TCPAddr); ok {
		name = strconv.Itoa(tcp.Port)
	}
	s.serve(c, name)
}

func (s *Server) serve(rw io.ReadWriter, name string) {
	c := &conn{server: s, rw: rw, address: name, contexts: map[uint16]*Interface{}, logons: map[uint32]*security{}, maxSend: s.maxFrag()}
	for {
		p, err := readPDU(rw)
		if errors.Is(err, errVersion) && p.kind == kindBind {
			c.nak(p, nakVersion)
		}
		if err != nil || c.take(p) != nil {
			return
		}
	}
}

// take does what one PDU asks for. An error ends the connection.
func (c *conn) take(p *pdu) error {
	switch p.kind {
	case kindBind:
		if c.bound {
			return errDone
		}
		return c.bind(p)
	case kindAlter:
		if !c.bound {
			return errDone
		}
		return c.bind(p)
	case kindAuth3:
		return c.auth3(p)
	case kindRequest:
		if !c.bound {
			return errDone
		}
		return c.request(p)
	case kindCancel, kindOrphaned:
		if c.call != nil && c.call.callID == p.callID && p.kind == kindOrphaned {
			c.call = nil
		}
		return nil
	}
	return errDone
}

func (c *conn) write(raw []byte) error {
	_, err := c.rw.Write(raw)
	return err
}

// fault answers with a fault PDU, which is never sealed. over ends the
// connection afterwards.
func (c *conn) fault(p *pdu, context uint16, status uint32, over bool) error {
	le := binary.LittleEndian
	body := le.AppendUint32(nil, 32) // alloc_hint
	body = le.AppendUint16(body, context)
	body = append(body, 0, 0)
	body = le.AppendUint32(body, status)
	body = append(body, 0, 0, 0, 0)
	if err := c.write(makePDU(kindFault, flagFirst|flagLast|didNotExecute, p.callID, body, nil, 0)); err != nil {
		return err
	}
	if over {
		return errDone
	}
	return nil
}

// nak refuses a bind.
func (c *conn) nak(p *pdu, reason uint16) error {
	body := binary.LittleEndian.AppendUint16(nil, reason)
	body = append(body, 1, 5, 0) // one version of the protocol is supported: 5.0
	body = append(body, make([]byte, 3)...)
	if err := c.write(makePDU(kindBindNak, flagFirst|flagLast, p.callID, body, nil, 0)); err != nil {
		return err
	}
	return errDone
}
