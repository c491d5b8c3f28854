package app

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// zone is what a test's DNS knows: addresses of hosts, and where services are.
type zone struct {
	hosts    map[string]string // without the last dot
	services map[string]server // such as _kerberos._tcp.corp.example
}

// server is where a service is.
type server struct {
	host string
	port uint16
}

// resolves has the names of the zone, and no others, known to this process until
// the test ends.
func (z *zone) resolves(t *testing.T) {
	before := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = before })
	z.use()
}

// use has them known for good.
func (z *zone) use() {
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go z.serve(theirs)
		return ours, nil
	}}
}

// serve answers questions as a name server does over TCP, with a length before
// each message.
func (z *zone) serve(c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return // it has asked enough
		}
		question := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, question); err != nil {
			return
		}
		answer := z.answer(question)
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil || len(answer) == 0 {
			return
		}
	}
}

func (z *zone) answer(question []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	address, host := z.hosts[name]
	at, service := z.services[name]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	if !host && !service {
		m.RCode = dnsmessage.RCodeNameError
	}
	header := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}
	switch {
	case host && q.Type == dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: netip.MustParseAddr(address).As4()}}}
	case service && q.Type == dnsmessage.TypeSRV:
		m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.SRVResource{Port: at.port, Target: dnsmessage.MustNewName(at.host + ".")}}}
	}
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	return out
}
