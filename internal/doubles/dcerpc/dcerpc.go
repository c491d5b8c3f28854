// Package dcerpc is a DCE/RPC v5 server over connections (C706, MS-RPCE) for the
// doubles of Windows services. It binds interfaces, logs clients on with NTLMv2
// or Kerberos, bare or in SPNEGO, puts fragments together, opens and seals PDUs
// and hands a double the bare parameters of a call. It is written from the
// published protocols alone and shares no code with our client of them.
//
// One connection is one story, told in conn.go: a bind says which interfaces
// are wanted and begins a logon (bind.go), auth3 or alter_context ends it
// (security.go; ntlm.go, kerberos.go, spnego.go), requests come in fragments
// which are opened one by one (assemble.go), and a reply goes out the same way
// (reply.go). pdu.go and ndr.go are the bytes. A pipe that another program has
// accepted may be served instead of a TCP connection (pipe.go).
//
// It refuses what Windows refuses: a token with the wrong sequence number, a
// fragment that is no multiple of 8, an interface below its authentication
// level, parameters that are not NDR.
package dcerpc

import (
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

// DefaultFrag is the usual size of the largest PDU, in octets.
const DefaultFrag = 5840

// MinFrag is the smallest size of a PDU a Server can be told to use: any less
// does not hold the token of Kerberos.
const MinFrag = 256

// Authentication levels (MS-RPCE 2.2.1.1.8).
const (
	LevelNone      = 1
	LevelConnect   = 2
	LevelIntegrity = 5
	LevelPrivacy   = 6
)

// Status codes of fault PDUs.
const (
	FaultDenied    = 0x00000005 // access denied
	FaultBadStub   = 0x000006F7 // RPC_X_BAD_STUB_DATA
	FaultSecurity  = 0x00000721 // RPC_S_SEC_PKG_ERROR
	FaultOpnum     = 0x1C010002 // nca_op_rng_error
	FaultInterface = 0x1C010003 // nca_unk_if
	FaultProtocol  = 0x1C01000B // nca_proto_error
)

// Limits of one connection.
const (
	maxCall     = 1 << 20 // octets of all fragments of a request together
	maxContexts = 64      // interfaces, and logons
	maxOffers   = 16      // presentation contexts in one PDU
	minRecvFrag = 64      // what a client has to be able to take
)

// Interface is what a Server offers.
type Interface struct {
	ID      UUID
	Version uint32 // minor<<16 | major
	Level   byte   // the least authentication level of a call; zero: any
	// Serve answers a call. It may be called concurrently, and with any opnum.
	Serve func(*Call) Reply
}

// Call is a request as a client meant it.
type Call struct {
	Interface *Interface
	Opnum     uint16
	Object    *UUID // nil without
	Stub      []byte
	Level     byte    // authentication level
	Caller    *Caller // nil without a logon
}

// Reply is the answer to a Call: a stub, or a fault when that is not zero.
type Reply struct {
	Stub  []byte
	Fault uint32
	Act   Act
}

// Act is something wrong to do with a reply.
type Act int

// The acts.
const (
	Answer      Act = iota // nothing wrong
	Cut                    // end the connection instead
	Hang                   // say nothing until the client ends the connection
	Half                   // end the connection in the middle of the last PDU
	WrongCallID            // answer another call
)

// Caller is who has logged on, and how.
type Caller struct {
	User    string // as Logon's functions name the account
	Kind    byte   // 0x09 SPNEGO, 0x0A NTLM, 0x10 Kerberos
	Level   byte
	MIC     bool   // NTLM: the three messages were protected by a code
	ListMIC bool   // SPNEGO: the list of mechanisms was protected by a code
	SPN     string // the service the client meant to reach; "" when it did not say
	Header  bool   // the headers of PDUs are signed, too
}

// Logon is who may log on and how. Kerberos compares times with the machine's
// clock.
type Logon struct {
	Domain    string // NetBIOS name
	DNSDomain string
	Computer  string // NetBIOS name
	// Account finds whom NTLM names, and the password; user and domain are as the
	// client sent them. No password, no logon.
	Account func(user, domain string) (name, password string, ok bool)
	Keytab  []byte // of the host; nil: no Kerberos
	// Principal finds whom Kerberos names.
	Principal      func(name, realm string) (account string, ok bool)
	RequireMIC     bool // NTLM without a message integrity code is refused
	RequireListMIC bool // SPNEGO without a mechListMIC is refused
	Now            func() time.Time
	// Seen is told of every logon that succeeded; nil: nobody is.
	Seen func(Caller)
}

// Server serves interfaces. Its fields may not be changed once it serves.
type Server struct {
	Interfaces      []Interface
	Logon           Logon
	MaxFrag         int // DefaultFrag when zero; never less than MinFrag
	NoHeaderSigning bool

	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
	group  uint32
	wait   sync.WaitGroup
}

// Serve takes connections from l until it is closed or the server is.
func (s *Server) Serve(l net.Listener) error {
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
			s.ServeConn(c, l.Addr())
		}()
	}
}

// enter makes a connection known, unless the server is closed.
func (s *Server) enter(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.open == nil {
		s.open = map[net.Conn]bool{}
	}
	s.open[c] = true
	s.wait.Add(1)
	return true
}

func (s *Server) leave(c net.Conn) {
	c.Close()
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	s.wait.Done()
}

// Close ends all connections and waits until nothing is served any more. The
// listeners are not closed.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	var errs []error
	for c := range s.open {
		errs = append(errs, c.Close())
	}
	s.mu.Unlock()
	s.wait.Wait()
	return errors.Join(errs...)
}

// nextGroup makes an association group.
func (s *Server) nextGroup() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.group++
	return 0x1000 + s.group
}

func (s *Server) maxFrag() int {
	if s.MaxFrag == 0 {
		return DefaultFrag
	}
	return max(s.MaxFrag, MinFrag)
}

// find gives the interface of a syntax. A client may want an older minor
// version than ours.
func (s *Server) find(id UUID, version uint32) *Interface {
	i := slices.IndexFunc(s.Interfaces, func(f Interface) bool {
		return f.ID == id && f.Version&0xffff == version&0xffff && f.Version>>16 >= version>>16
	})
	if i < 0 {
		return nil
	}
	return &s.Interfaces[i]
}
