package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"sync"
	"time"

	"chancery/internal/ra"
)

// listenerCert is the TLS certificate of the listener for people. It is read
// anew when its files change, so renewing it needs no restart. One that is
// expired is served all the same, and one that cannot be read is replaced by a
// self-signed one: the console must be reachable exactly when something is to
// be mended. It is safe for concurrent use.
type listenerCert struct {
	path, keyPath string
	host          string // of the self-signed one
	now           func() time.Time
	log           *slog.Logger

	mu      sync.Mutex
	cert    *tls.Certificate
	stamp   string    // of the files when they were read last
	looked  time.Time // at the files
	own     bool      // cert is self-signed
	problem *ra.Error // why the files are not used; nil when they are
}

// lookAgain is how long the files count as unchanged.
const lookAgain = 2 * time.Second

// repairLife is how long a self-signed certificate lasts.
const repairLife = 7 * 24 * time.Hour

func newListenerCert(c Config, log *slog.Logger) (*listenerCert, error) {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, err
	}
	l := &listenerCert{path: c.Certificate, keyPath: c.Key, host: host, now: c.Now, log: log}
	_, err = l.get(nil)
	return l, err
}

// get is tls.Config.GetCertificate.
func (l *listenerCert) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cert == nil || time.Since(l.looked) > lookAgain {
		l.looked = time.Now()
		if stamp := l.filesStamp(); l.cert == nil || stamp != l.stamp {
			l.stamp = stamp
			l.read()
		}
	}
	if l.cert == nil || l.own && !l.cert.Leaf.NotAfter.After(l.now()) {
		cert, err := selfSigned(l.host, l.now())
		if err != nil {
			return nil, err
		}
		l.cert, l.own = cert, true
	}
	return l.cert, nil
}

func (l *listenerCert) filesStamp() (stamp string) {
	for _, path := range []string{l.path, l.keyPath} {
		if info, err := os.Stat(path); err == nil {
			stamp += fmt.Sprint(info.ModTime().UnixNano(), info.Size(), " ")
		}
	}
	return stamp
}

// read loads the files. What was served before stays when they cannot be used.
func (l *listenerCert) read() {
	cert, err := tls.LoadX509KeyPair(l.path, l.keyPath)
	if err != nil {
		l.problem = ra.Errorf(ra.Invalid, "The TLS certificate in %s cannot be used with the key in %s.", l.path, l.keyPath).WithField("tls_certificate").
			WithRemedy("Put a PEM certificate chain and its key there, readable for this account; the server takes them up by itself.").WithCause(err)
		l.log.Error("the console is served with a certificate nobody knows", "problem", l.problem.Message, "remedy", l.problem.Remedy, "error", err)
		return
	}
	l.cert, l.own, l.problem = &cert, false, nil
	if !cert.Leaf.NotAfter.After(l.now()) {
		l.log.Error("the TLS certificate has expired and is served all the same", "file", l.path, "ended", cert.Leaf.NotAfter, "remedy", renewFiles)
	}
}

const renewFiles = "Put a new certificate and its key into the files that tls_certificate and tls_key name; the server takes them up by itself."

// ended says what is wrong with the certificate, or gives an empty name.
func (l *listenerCert) ended() (expired, bool) {
	if _, err := l.get(nil); err != nil {
		return expired{Name: "TLS certificate", State: failed, Message: "There is none.", Remedy: renewFiles}, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.problem != nil:
		return expired{Name: "TLS certificate", State: failed, Message: l.problem.Message + " Browsers are shown another one until then.", Remedy: l.problem.Remedy}, true
	case !l.cert.Leaf.NotAfter.After(l.now()):
		return expired{Name: "TLS certificate", Message: fmt.Sprintf("The one in %s ended on %s.", l.path, day(l.cert.Leaf.NotAfter)), Remedy: renewFiles}, true
	}
	return expired{}, false
}

func selfSigned(host string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "Chancery, to be repaired"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(repairLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, DNSNames: []string{"localhost"}}
	if ip := net.ParseIP(host); ip != nil {
		t.IPAddresses = []net.IP{ip}
	} else if host != "" {
		t.DNSNames = append(t.DNSNames, host)
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	leaf, parseErr := x509.ParseCertificate(der)
	if err := errors.Join(err, parseErr); err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

func day(t time.Time) string { return t.UTC().Format(time.DateTime) + " UTC" }
