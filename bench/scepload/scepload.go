// Package scepload is SCEP devices in large numbers: it makes their keys and
// messages before a measurement, one key, one transaction and one name for each
// device, sends them to any server alike, and looks at the answers. During the
// measurement it reads only the status of an answer; afterwards a sample is
// opened and verified in full.
package scepload

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"sync"
	"time"

	"chancery/bench/load"
	"chancery/internal/scepclient"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/pkixmsg"
	"chancery/internal/wire/scepmsg"
)

// Device is one that enrols once at each server.
type Device struct {
	Name      string // its common name
	key       *rsa.PrivateKey
	transport *cms.Certificate // signs its messages
}

// Devices makes n of them, named with the prefix and a number.
func Devices(prefix string, n int) ([]*Device, error) {
	keys, err := Keys(n)
	if err != nil {
		return nil, err
	}
	devices := make([]*Device, n)
	return devices, each(n, func(i int) error {
		d := &Device{Name: fmt.Sprintf("%s-%06d", prefix, i), key: keys[i]}
		subject, err := subjectOf(d.Name)
		if err != nil {
			return err
		}
		der, err := subject.DER()
		if err != nil {
			return err
		}
		now := time.Now()
		d.transport, err = scepmsg.TransportCertificate(d.key, der, now.Add(-time.Hour), now.Add(7*24*time.Hour))
		devices[i] = d
		return err
	})
}

func subjectOf(name string) (pkixmsg.Name, error) { return pkixmsg.ParseDN("CN=" + name) }

// each runs f for 0 to n-1 on all cores and gives the first failure.
func each(n int, f func(i int) error) error {
	var workers sync.WaitGroup
	failed := make([]error, runtime.GOMAXPROCS(0))
	for w := range failed {
		workers.Go(func() {
			for i := w; i < n && failed[w] == nil; i += len(failed) {
				failed[w] = f(i)
			}
		})
	}
	workers.Wait()
	return errors.Join(failed...)
}

// Batch is messages for one server, made beforehand.
type Batch struct {
	server  *scepclient.Server
	path    func(i int) string // of the SCEP service, for device i
	devices []*Device
	sent    []*scepmsg.Sent
	spkis   [][]byte
}

// Prepare asks a running server for its certificates and makes a message of
// each device for it. challenge gives the challenge of a device.
func Prepare(address string, devices []*Device, challenge func(i int) string) (*Batch, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := scepclient.Client{URL: address, HTTP: http.DefaultClient, Now: time.Now}
	server, err := client.Ask(ctx)
	if err != nil {
		return nil, err
	}
	if !server.Caps.Post || !server.Caps.AES || !server.Caps.SHA256 {
		return nil, fmt.Errorf("the server at %s does not offer POST, AES and SHA-256, so it would be sent other messages than the others", address)
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	b := &Batch{server: server, path: func(int) string { return u.EscapedPath() }, devices: devices, sent: make([]*scepmsg.Sent, len(devices)), spkis: make([][]byte, len(devices))}
	return b, each(len(devices), func(i int) error { return b.make(i, challenge(i)) })
}

func (b *Batch) make(i int, challenge string) error {
	d := b.devices[i]
	name, err := subjectOf(d.Name)
	if err != nil {
		return err
	}
	der, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: name, ChallengePassword: challenge, Signer: d.key})
	if err != nil {
		return err
	}
	request := scepmsg.Request{Type: scepmsg.PKCSReq, Content: scepmsg.Content{CSR: der}, Key: d.key, Certificate: d.transport, RA: b.server.RA,
		Cipher: b.server.Caps.Cipher(), Digest: b.server.Caps.Digest(), SigningTime: time.Now()}
	if b.sent[i], err = request.Build(); err != nil {
		return err
	}
	csr, err := pkixmsg.ParseCSR(der)
	if err == nil {
		b.spkis[i] = csr.RawSPKI
	}
	return err
}

// Through gives the batch as it is sent through something that has an address
// for each device: path gives that of device i.
func (b *Batch) Through(path func(i int) string) *Batch {
	c := *b
	c.path = path
	return &c
}

// Each calls f with every message, on all cores.
func (b *Batch) Each(f func(message []byte) error) error {
	return each(len(b.sent), func(i int) error { return f(b.sent[i].Message) })
}

// Message is that of device i.
func (b *Batch) Message(i int) []byte { return b.sent[i].Message }

// Sender sends messages of a batch to a server on host and keeps a sample of
// the answers.
type Sender struct {
	batch    *Batch
	first    int
	every    int
	requests [][]byte
	mu       sync.Mutex
	kept     map[int][]byte
}

// Sender readies the messages from first on, n of them; every so many-th answer
// is kept for Verify.
func (b *Batch) Sender(host string, first, n, every int) *Sender {
	s := &Sender{batch: b, first: first, every: every, requests: make([][]byte, n), kept: map[int][]byte{}}
	for i := range s.requests {
		s.requests[i] = load.Request(http.MethodPost, host, b.path(first+i)+"?operation=PKIOperation", b.sent[first+i].Message, "Content-Type", scepmsg.MediaMessage)
	}
	return s
}

// Call is one enrolment, for a load.Plan.
func (s *Sender) Call(c *load.Conn, i int) error {
	status, body, err := c.Do(s.requests[i])
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("HTTP %d: %.100q", status, body)
	}
	if !succeeded(body) {
		return errors.New("the answer is no SUCCESS")
	}
	if i%s.every == 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.kept[s.first+i] = bytes.Clone(body)
	}
	return nil
}

// statusAttribute is the OID of pkiStatus and the beginning of a set with one
// string of one character; the string's tag lies between the two.
var statusAttribute = []byte{0x06, 0x0a, 0x60, 0x86, 0x48, 0x01, 0x86, 0xf8, 0x45, 0x01, 0x09, 0x03, 0x31, 0x03}

// succeeded finds the status in an answer without parsing it: 0 is SUCCESS (RFC
// 8894 §3.2.1.3).
func succeeded(answer []byte) bool {
	at := bytes.LastIndex(answer, statusAttribute)
	if at < 0 {
		return false
	}
	rest := answer[at+len(statusAttribute):]
	return len(rest) >= 3 && rest[1] == 1 && rest[2] == '0'
}

// Verify opens the sample as a device would, and checks each certificate: for
// the key and the name of the device, signed by one of the server's CAs. It
// gives how many it verified.
func (s *Sender) Verify() (int, error) {
	signers := scepmsg.ReplySigners(s.batch.server.Certificates)
	for i, body := range s.kept {
		if err := s.verify(i, body, signers); err != nil {
			return 0, fmt.Errorf("answer to %s: %w", s.batch.devices[i].Name, err)
		}
	}
	return len(s.kept), nil
}

func (s *Sender) verify(i int, body []byte, signers []*cms.Certificate) error {
	d, sent := s.batch.devices[i], s.batch.sent[i]
	// One of the peers answers with DES and SHA-1 whatever it is asked with.
	reply, err := scepmsg.ParseReply(body, scepmsg.Expect{Floor: scepmsg.Legacy, Signers: signers, TransactionID: sent.TransactionID,
		SenderNonce: sent.SenderNonce, Certificate: d.transport, Key: d.key, RawSPKI: s.batch.spkis[i]})
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(reply.Certificates[0].Raw)
	if err != nil {
		return err
	}
	if leaf.Subject.CommonName != d.Name {
		return fmt.Errorf("it is for %q", leaf.Subject.CommonName)
	}
	for _, c := range s.batch.server.Certificates {
		issuer, err := x509.ParseCertificate(c.Raw)
		if err == nil && leaf.CheckSignatureFrom(issuer) == nil {
			return nil
		}
	}
	return errors.New("it is signed by none of the server's CAs")
}
