package ndes

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"net/http"
	"slices"
	"strings"

	"github.com/smallstep/pkcs7"
	"github.com/smallstep/scep"
	scepx509 "github.com/smallstep/scep/x509util"
)

func (s *Server) caCert() answer {
	body, err := scep.DegenerateCertificates(s.ca.chain())
	if err != nil {
		return errorPage(http.StatusInternalServerError, err.Error())
	}
	return answer{status: http.StatusOK, media: "application/x-x509-ca-ra-cert", body: body}
}

// pkiOperation answers a SCEP message. What cannot be read at all, or answered,
// gets IIS's page for 500, as there is nobody to sign a reply to.
func (s *Server) pkiOperation(b []byte, act Act) answer {
	m, err := parseMessage(b)
	if err != nil {
		return errorPage(http.StatusInternalServerError, "")
	}
	signer := s.ca.signing
	if act.do == ExpiredSigner.do {
		signer = s.ca.late
	}
	body, err := s.build(m, s.decide(m), signer)
	if err != nil {
		return errorPage(http.StatusInternalServerError, "")
	}
	return answer{status: http.StatusOK, media: "application/x-pki-message", body: body}
}

// decide is the order in which a request is looked at.
func (s *Server) decide(m *message) reply {
	if !m.genuine {
		return s.refuse(m, scep.BadMessageCheck, 0, "the signature is not the signer's")
	}
	if !s.speaks(m) {
		return s.refuse(m, scep.BadAlg, 0, "a cipher or digest that is not spoken here")
	}
	switch m.kind {
	case scep.PKCSReq, scep.RenewalReq, scep.CertPoll:
	default:
		return s.refuse(m, scep.BadRequest, 0, "no such messageType here")
	}
	content, err := m.decrypt(s.ca.encryption)
	if err != nil {
		return s.refuse(m, scep.BadMessageCheck, 0, "the envelope does not open with the key of the encryption RA")
	}
	if m.kind == scep.CertPoll {
		return s.poll(m, content)
	}
	return s.enrol(m, content)
}

// speaks tells whether a request is in algorithms that are spoken here: DES and
// MD5 never are, and where OnlyCaps is set only what GetCACaps names.
func (s *Server) speaks(m *message) bool {
	if m.cipher.Equal(oidDESCBC) {
		return false
	}
	if !s.cfg.OnlyCaps {
		return true
	}
	has := func(words ...string) bool {
		return slices.ContainsFunc(s.cfg.Caps, func(c string) bool {
			return slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(c, w) })
		})
	}
	ciphers := map[string]bool{
		pkcs7.OIDEncryptionAlgorithmAES128CBC.String():  has("AES", "SCEPStandard"),
		pkcs7.OIDEncryptionAlgorithmAES256CBC.String():  has("AES", "SCEPStandard"),
		pkcs7.OIDEncryptionAlgorithmDESEDE3CBC.String(): has("DES3"),
	}
	digests := map[string]bool{
		pkcs7.OIDDigestAlgorithmSHA1.String():   has("SHA-1"),
		pkcs7.OIDDigestAlgorithmSHA256.String(): has("SHA-256", "SCEPStandard"),
		pkcs7.OIDDigestAlgorithmSHA512.String(): has("SHA-512"),
	}
	return ciphers[m.cipher.String()] && digests[m.digest.String()]
}

// enrol handles PKCSReq and RenewalReq.
func (s *Server) enrol(m *message, der []byte) reply {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil || csr.CheckSignature() != nil {
		return s.refuse(m, scep.BadRequest, 0, "the PKCS#10 is broken or not signed by its key")
	}
	challenge, err := scepx509.ParseChallengePassword(der)
	if err != nil {
		return s.refuse(m, scep.BadRequest, 0, "the challengePassword cannot be read")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.known(m.transaction); e != nil && (e.cert == nil || e.template.Pending || s.cfg.CacheIssued) && e.same(der, m.signer) {
		return s.state(m, e)
	}
	e := &entry{csr: csr, digest: sha256.Sum256(der), signer: m.signer.RawSubjectPublicKeyInfo, template: s.template(csr), since: s.cfg.Now()}
	if reason := s.authorise(m, csr, challenge, e); reason != "" {
		return s.refuseLocked(m, scep.BadRequest, 0, reason)
	}
	if code := e.template.check(csr); code != 0 {
		return s.refuseLocked(m, scep.BadRequest, code, hresultText(code))
	}
	if e.template.Pending {
		s.ledger.entries[m.transaction] = e
		return reply{status: scep.PENDING}
	}
	if err := s.issue(m.transaction, e); err != nil {
		return s.refuseLocked(m, scep.BadRequest, badSubject, err.Error())
	}
	s.ledger.entries[m.transaction] = e
	return s.state(m, e)
}

// authorise says why a request may not be made, or nothing. A request signed by
// a certificate of ours is a renewal and its challenge is not looked at; any
// other needs one, and a good one is used up whatever becomes of the request.
func (s *Server) authorise(m *message, csr *x509.CertificateRequest, challenge string, e *entry) string {
	switch now := s.cfg.Now(); {
	case s.ca.ours(m.signer):
		e.renewal = true
		switch {
		case now.Before(m.signer.NotBefore) || now.After(m.signer.NotAfter):
			return "the certificate to renew has expired"
		case !bytes.Equal(m.signer.RawSubject, csr.RawSubject):
			return "the certificate to renew has another subject"
		}
		return ""
	case m.kind == scep.RenewalReq || !selfSigned(m.signer):
		return "the signer's certificate is neither of this CA nor self-signed"
	}
	if s.cfg.NoPassword {
		return ""
	}
	if challenge == "" || !s.redeem(challenge) {
		return "the challenge password is missing, unknown, used or expired"
	}
	e.challenge = challenge
	return ""
}

// selfSigned is about the transport certificate of a first request, which may be
// of version 1 and no CA.
func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// template is chosen by the keyUsage of the request.
func (s *Server) template(csr *x509.CertificateRequest) Template {
	const signs, encrypts = 0x80 | 0x40, 0x20 | 0x10 | 0x08
	for _, e := range csr.Extensions {
		var bits asn1.BitString
		if !e.Id.Equal(oidKeyUsage) {
			continue
		}
		if _, err := asn1.Unmarshal(e.Value, &bits); err != nil || len(bits.Bytes) == 0 {
			break
		}
		switch first := bits.Bytes[0]; {
		case first&signs != 0 && first&encrypts == 0:
			return s.cfg.Signature
		case first&signs == 0 && first&encrypts != 0:
			return s.cfg.Encryption
		}
	}
	return s.cfg.General
}

// check gives the HRESULT a template denies a request with; zero: it does not.
func (t Template) check(csr *x509.CertificateRequest) uint32 {
	if t.Deny != 0 {
		return t.Deny
	}
	if key, ok := csr.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < t.KeyBits {
		return keyTooShort
	}
	if t.Subject == "" && len(csr.Subject.Names) == 0 {
		return badSubject
	}
	return 0
}

// poll handles CertPoll: the transaction, the key and the subject have to be
// those of a request that is known, and the issuer has to be ours.
func (s *Server) poll(m *message, content []byte) reply {
	var names struct{ Issuer, Subject asn1.RawValue }
	if rest, err := asn1.Unmarshal(content, &names); err != nil || len(rest) > 0 {
		return s.refuse(m, scep.BadRequest, 0, "the IssuerAndSubject is broken")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.known(m.transaction)
	if e == nil || !bytes.Equal(names.Issuer.FullBytes, s.ca.issuer.cert.RawSubject) || !bytes.Equal(e.signer, m.signer.RawSubjectPublicKeyInfo) || !bytes.Equal(e.csr.RawSubject, names.Subject.FullBytes) {
		return s.refuseLocked(m, scep.BadCertID, 0, "no such request is pending")
	}
	return s.state(m, e)
}

// state answers with what has become of a request. The caller holds the lock.
func (s *Server) state(m *message, e *entry) reply {
	switch {
	case e.cert != nil:
		return reply{status: scep.SUCCESS, cert: e.cert}
	case e.denied != 0:
		return s.refuseLocked(m, scep.BadRequest, e.denied, hresultText(e.denied))
	}
	return reply{status: scep.PENDING}
}

func (s *Server) refuse(m *message, info scep.FailInfo, code uint32, reason string) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refuseLocked(m, info, code, reason)
}

func (s *Server) refuseLocked(m *message, info scep.FailInfo, code uint32, reason string) reply {
	s.ledger.refused = append(s.ledger.refused, Refused{m.transaction, string(info), code, reason, s.cfg.Now()})
	return reply{status: scep.FAILURE, failInfo: info, text: reason}
}
