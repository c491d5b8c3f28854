package krb5login

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// bridge leads the Kerberos library to the KDCs by our Dial. The library connects
// to an address and nothing else can be put in between, so it is given one of this
// machine, open for as long as a login takes, where each message (RFC 4120 §7.2.2:
// four octets of length, then the message) is passed on to the first KDC that
// answers. The library reads any length a KDC claims; the bridge does not.
type bridge struct {
	listener net.Listener
	dial     Dial
	kdcs     []string
	ctx      context.Context
	cancel   context.CancelFunc
	wait     sync.WaitGroup

	mu   sync.Mutex
	last error // of the way to the KDCs, while none has answered
}

// Sizes of messages to and from a KDC, in bytes: a ticket with a large group list
// is 64 KiB at most.
const (
	maxKDCRequest = 128 << 10
	maxKDCAnswer  = 256 << 10
)

// kdcWithin bounds one question to all KDCs, of which each has its share, but at
// least a second. The library gives up after five seconds.
const kdcWithin = 4 * time.Second

func newBridge(ctx context.Context, dial Dial, kdcs []string) (*bridge, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &bridge{listener: l, dial: dial, kdcs: kdcs}
	b.ctx, b.cancel = context.WithCancel(ctx)
	context.AfterFunc(b.ctx, func() { _ = l.Close() })
	b.wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.wait.Go(func() { b.carry(c) })
		}
	})
	return b, nil
}

func (b *bridge) address() string { return b.listener.Addr().String() }

// close ends the bridge and waits for what is under way.
func (b *bridge) close() {
	b.cancel()
	b.wait.Wait()
}

// failure is why the last question found no KDC; nil when it did.
func (b *bridge) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// carry takes one message to a KDC and its answer back.
func (b *bridge) carry(c net.Conn) {
	defer c.Close()
	stop := context.AfterFunc(b.ctx, func() { _ = c.Close() })
	defer stop()
	_ = c.SetDeadline(time.Now().Add(2 * kdcWithin))
	question, err := readFrame(c, maxKDCRequest)
	if err != nil {
		return
	}
	err = errors.New("no KDC")
	for _, address := range b.kdcs {
		var answer []byte
		if answer, err = b.ask(address, question); err == nil {
			_, _ = c.Write(answer)
			break
		}
	}
	b.mu.Lock()
	b.last = err
	b.mu.Unlock()
}

// ask puts one question to one KDC. Frames come and go with their length.
func (b *bridge) ask(address string, question []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(b.ctx, max(kdcWithin/time.Duration(len(b.kdcs)), time.Second))
	defer cancel()
	c, err := b.dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if _, err := c.Write(question); err != nil {
		return nil, err
	}
	return readFrame(c, maxKDCAnswer)
}

func readFrame(r io.Reader, limit uint32) ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head)
	if n == 0 || n > limit {
		return nil, errors.New("a message of that length is none")
	}
	frame := append(head, make([]byte, n)...)
	_, err := io.ReadFull(r, frame[4:])
	return frame, err
}
