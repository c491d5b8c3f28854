package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/cloudsoda/go-smb2"

	"chancery/internal/wire/msrpc"
)

var errNoSMB = errors.New("no login for SMB")

// DialPipe opens a named pipe of a host, such as cert, over SMB and binds the
// interfaces on it (MS-RPCE §2.1.1.2, ncacn_np). The session logs in with
// Options.SMB, and the calls inside with Options.Login as on TCP: a certification
// authority looks at that seal, not at SMB's.
func DialPipe(ctx context.Context, host, name string, o Options, interfaces ...msrpc.SyntaxID) (*Conn, error) {
	o = o.withDefaults()
	if o.Target == "" {
		o.Target = host
	}
	address := net.JoinHostPort(host, strconv.Itoa(o.SMBPort))
	if o.SMB == nil {
		return nil, fail(address, HopLogin, errNoSMB)
	}
	by, err := o.SMB(o.Target)
	if err != nil {
		return nil, fail(address, HopLogin, err)
	}
	conn, err := o.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, fail(address, HopDial, err)
	}
	p := &pipe{conn: conn}
	if hop, err := p.open(ctx, o.Target, name, by); err != nil {
		p.Close()
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		return nil, fail(address, hop, err)
	}
	return connect(ctx, address, p, o, interfaces)
}

// pipe is an open pipe: one Write and one Read are one message. A Read with less
// room than the message loses it, so that Conn reads with room for any PDU.
type pipe struct {
	conn net.Conn // the whole SMB session, which is ours alone
	end  func()   // of whatever waits for the session
	file *smb2.File
}

// open logs in, and opens the pipe in the share of all pipes.
func (p *pipe) open(ctx context.Context, target, name string, by smb2.Initiator) (Hop, error) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	p.end = end
	defer context.AfterFunc(ctx, func() { p.Close() })()
	s, err := (&smb2.Dialer{Initiator: by}).DialConn(life, p.conn, target)
	if err != nil {
		return HopLogin, err
	}
	share, err := s.WithContext(life).Mount("IPC$")
	if err != nil {
		return HopBind, err
	}
	p.file, err = share.WithContext(life).OpenFile(name, os.O_RDWR, 0o666)
	return HopBind, err
}

func (p *pipe) Read(b []byte) (int, error) { return p.file.Read(b) }

// Write sends one message. After an error it is open whether it arrived, so that
// all of b counts as written.
func (p *pipe) Write(b []byte) (int, error) {
	_, err := p.file.Write(b)
	return len(b), err
}

// Close cuts the connection below, without waiting for anybody.
func (p *pipe) Close() error {
	p.end()
	return p.conn.Close()
}
