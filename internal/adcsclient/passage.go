package adcsclient

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"

	"chancery/internal/ra"
	"chancery/internal/rpc"
	"chancery/internal/wire/adcsmsg"
	"chancery/internal/wire/msrpc"
)

// passage is ICertPassage as a Caller. Its connection is made when it is needed,
// and again after it broke.
type passage struct {
	o    Options
	pipe bool

	mu   sync.Mutex
	conn *rpc.Conn
}

// Call calls the one method there is.
func (p *passage) Call(ctx context.Context, _ msrpc.UUID, opnum uint16, stub []byte) ([]byte, error) {
	conn, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	out, err := conn.Call(ctx, adcsmsg.CertPassage, nil, opnum, stub)
	if err != nil {
		p.drop(conn)
	}
	return out, err
}

func (p *passage) connect(ctx context.Context) (*rpc.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil {
		return p.conn, nil
	}
	var err error
	if p.pipe {
		p.conn, err = rpc.DialPipe(ctx, p.o.Host, adcsmsg.PassagePipe, p.o.RPC, adcsmsg.CertPassage)
		return p.conn, err
	}
	port, err := Port(ctx, p.o)
	if err != nil {
		return nil, err
	}
	p.conn, err = rpc.Dial(ctx, net.JoinHostPort(p.o.Host, strconv.Itoa(port)), p.o.RPC, adcsmsg.CertPassage)
	return p.conn, err
}

// Port asks the host's endpoint mapper where ICertPassage is. A host on which the
// CA's service does not run is Unreachable: it may be started again.
func Port(ctx context.Context, o Options) (int, error) {
	port, err := rpc.Map(ctx, o.Host, o.RPC, adcsmsg.CertPassage)
	var (
		network *rpc.Error
		fault   *rpc.Fault
	)
	if ra.KindOf(err) == ra.RefusedByCA && errors.As(err, &network) && network.Hop == rpc.HopDial && !errors.As(err, &fault) {
		return 0, inWords(msrpc.StatusNotRegistered, err)
	}
	return port, err
}

// drop forgets a connection on which a call failed.
func (p *passage) drop(conn *rpc.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == conn {
		p.conn = nil
	}
	conn.Close()
}

// Close closes the connection.
func (p *passage) Close(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil {
		return nil
	}
	conn := p.conn
	p.conn = nil
	return conn.Close()
}
