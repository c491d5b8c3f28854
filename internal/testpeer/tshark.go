package testpeer

import (
	"context"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// tsharkTimeout bounds a dissection; tshark takes a second to start.
const tsharkTimeout = 2 * time.Minute

// Recorder keeps what connections carry, for Dissect. The zero value is ready; it
// is safe for concurrent use.
type Recorder struct {
	mu      sync.Mutex
	clients uint16
	frames  []byte
}

// Dial gives a dial whose connections are recorded, as if they were TCP over IPv4
// to the port in the address, each from a port of its own from 40001 on.
func (r *Recorder) Dial(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		_, text, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		port, err := net.LookupPort("tcp", text)
		if err != nil {
			return nil, err
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.clients++
		return &recorded{Conn: conn, r: r, client: 40000 + r.clients, server: uint16(port)}, nil
	}
}

// recorded is one connection; out and in count its octets.
type recorded struct {
	net.Conn
	r              *Recorder
	client, server uint16
	out, in        uint32
}

func (c *recorded) Write(b []byte) (int, error) {
	c.r.mu.Lock() // before an answer to it can be recorded
	defer c.r.mu.Unlock()
	n, err := c.Conn.Write(b)
	c.r.frame(c.client, c.server, &c.out, c.in, b[:n])
	return n, err
}

func (c *recorded) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.r.frame(c.server, c.client, &c.in, c.out, b[:n])
	return n, err
}

// frame adds octets as segments of TCP, each in a packet of IPv4, to what will be
// a file of libpcap's format.
func (r *Recorder) frame(from, to uint16, sent *uint32, seen uint32, b []byte) {
	const most = 1 << 15
	for len(b) > 0 {
		part := b[:min(len(b), most)]
		b = b[len(part):]
		now, size := time.Now(), uint32(40+len(part))
		for _, v := range []uint32{uint32(now.Unix()), uint32(now.Nanosecond() / 1000), size, size} {
			r.frames = binary.LittleEndian.AppendUint32(r.frames, v)
		}
		r.frames = append(r.frames, 0x45, 0, byte(size>>8), byte(size), 0, 0, 0x40, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1)
		r.frames = binary.BigEndian.AppendUint16(r.frames, from)
		r.frames = binary.BigEndian.AppendUint16(r.frames, to)
		r.frames = binary.BigEndian.AppendUint32(r.frames, *sent+1)
		r.frames = binary.BigEndian.AppendUint32(r.frames, seen+1)
		r.frames = append(r.frames, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0)
		r.frames = append(r.frames, part...)
		*sent += uint32(len(part))
	}
}

// Dissect gives what tshark has to say in detail of all that was recorded, with
// options such as "-d", "tcp.port==4711,dcerpc"; or "-K", a keytab, "-o" and
// "kerberos.decrypt:TRUE" for what is sealed by Kerberos; or "-o" and
// "ntlmssp.nt_password:…" for what is by NTLM.
func (r *Recorder) Dissect(t testing.TB, options ...string) string {
	t.Helper()
	r.mu.Lock()
	file := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	file = append(file, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	file = binary.LittleEndian.AppendUint32(file, 1<<18)
	file = binary.LittleEndian.AppendUint32(file, 101) // packets of IP
	file = append(file, r.frames...)
	r.mu.Unlock()
	dir := t.TempDir()
	name := filepath.Join(dir, "recorded.pcap")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := command{path: program(t, "tshark"), args: append([]string{"-n", "-2", "-V", "-r", name}, options...), dir: dir, timeout: tsharkTimeout}
	out, errs, err := cmd.run()
	if err != nil {
		t.Fatal(withOutput(err, string(errs)))
	}
	return string(out)
}
