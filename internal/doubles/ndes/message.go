package ndes

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/smallstep/pkcs7"
	"github.com/smallstep/scep"
)

// SCEP messages by the library of smallstep. What it does that Windows does not:
//
//   - It knows no CertPoll, so the PKCS#7 part of it is used and the attributes
//     are read here.
//   - It encrypts to every certificate it finds, by a cipher that is one variable
//     for the whole process, and never in 3DES. Replies are encrypted in
//     envelope.go instead, to the signer alone.
//   - It panics on some broken padding and serial numbers; that is caught here.
//   - It takes no notice of what follows a message or does not lie inside the
//     value it belongs to, and can be kept busy with that; see wellFormed.
//   - It reads no certificate whose authority key identifier is critical, as
//     those Windows itself sends with a request are.
//   - Its signingTime is the machine's clock, and it wants that of a request to
//     lie in the validity of the signer's certificate.
//   - It tells nothing of an envelope. The cipher is read here, from DER only: the
//     reply to a request in BER is in 3DES.

var (
	oidMessageType    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 2}
	oidStatus         = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 3}
	oidFailInfo       = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 4}
	oidSenderNonce    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 5}
	oidRecipientNonce = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 6}
	oidTransaction    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 7}
	oidFailInfoText   = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 24, 1}
	oidDESCBC         = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 7}
)

// message is a request that could be read, and answered.
type message struct {
	kind        scep.MessageType
	transaction string
	nonce       []byte
	signer      *x509.Certificate
	digest      asn1.ObjectIdentifier
	cipher      asn1.ObjectIdentifier // nil where it is not to be known
	content     []byte                // EnvelopedData
	genuine     bool                  // the signature is the signer's
}

// parseMessage reads a pkiMessage. An error means that no reply is possible.
func parseMessage(b []byte) (m *message, err error) {
	defer func() {
		if p := recover(); p != nil {
			m, err = nil, fmt.Errorf("ndes: broken message: %v", p)
		}
	}()
	if err := wellFormed(b); err != nil {
		return nil, err
	}
	p7, err := pkcs7.Parse(b)
	if err != nil {
		return nil, err
	}
	m = &message{signer: p7.GetOnlySigner(), content: p7.Content}
	if m.signer == nil {
		return nil, errors.New("ndes: not one signer with its certificate")
	}
	seen := map[string]bool{}
	for _, a := range p7.Signers[0].AuthenticatedAttributes {
		if seen[a.Type.String()] {
			return nil, fmt.Errorf("ndes: two attributes %v", a.Type)
		}
		seen[a.Type.String()] = true
	}
	var contentType asn1.ObjectIdentifier
	for _, a := range []struct {
		oid asn1.ObjectIdentifier
		out any
	}{
		{pkcs7.OIDAttributeContentType, &contentType}, {oidMessageType, &m.kind},
		{oidTransaction, &m.transaction}, {oidSenderNonce, &m.nonce},
	} {
		if err := p7.UnmarshalSignedAttribute(a.oid, a.out); err != nil {
			return nil, fmt.Errorf("ndes: attribute %v: %w", a.oid, err)
		}
	}
	if !contentType.Equal(pkcs7.OIDData) || m.transaction == "" || len(m.nonce) == 0 {
		return nil, errors.New("ndes: an attribute is empty or wrong")
	}
	m.digest = p7.Signers[0].DigestAlgorithm.Algorithm
	m.genuine = p7.Verify() == nil
	m.cipher = envelopeCipher(m.content)
	return m, nil
}

// decrypt opens the envelope with the key of the encryption RA.
func (m *message) decrypt(ra identity) (content []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			content, err = nil, fmt.Errorf("ndes: broken envelope: %v", p)
		}
	}()
	if err := wellFormed(m.content); err != nil {
		return nil, err
	}
	p7, err := pkcs7.Parse(m.content)
	if err != nil {
		return nil, err
	}
	return p7.Decrypt(ra.cert, ra.key)
}

// reply is a CertRep.
type reply struct {
	status   scep.PKIStatus
	failInfo scep.FailInfo
	text     string // failInfoText
	cert     *x509.Certificate
}

// build signs a reply to m.
func (s *Server) build(m *message, r reply, signer identity) ([]byte, error) {
	var content []byte // stays empty, but there, where there is no certificate
	if r.cert != nil {
		certs, err := scep.DegenerateCertificates([]*x509.Certificate{r.cert})
		if err != nil {
			return nil, err
		}
		if content, err = seal(certs, m.signer, m.cipher); err != nil {
			return nil, err
		}
	}
	nonce := make([]byte, 16)
	rand.Read(nonce)
	attributes := []pkcs7.Attribute{
		{Type: oidTransaction, Value: m.transaction}, {Type: oidMessageType, Value: scep.CertRep}, {Type: oidStatus, Value: r.status},
		{Type: oidSenderNonce, Value: nonce}, {Type: oidRecipientNonce, Value: m.nonce},
	}
	if r.status == scep.FAILURE {
		attributes = append(attributes, pkcs7.Attribute{Type: oidFailInfo, Value: r.failInfo})
		if r.text != "" && s.cfg.FailInfoText {
			attributes = append(attributes, pkcs7.Attribute{Type: oidFailInfoText,
				Value: asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(r.text)}})
		}
	}
	sd, err := pkcs7.NewSignedData(content)
	if err != nil {
		return nil, err
	}
	sd.SetDigestAlgorithm(m.digest) // a digest we cannot make was no genuine signature
	if err := sd.AddSigner(signer.cert, signer.key, pkcs7.SignerInfoConfig{ExtraSignedAttributes: attributes}); err != nil {
		sd.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA1)
		if err := sd.AddSigner(signer.cert, signer.key, pkcs7.SignerInfoConfig{ExtraSignedAttributes: attributes}); err != nil {
			return nil, err
		}
	}
	// Windows names the key's algorithm, not the signature's.
	sd.GetSignedData().SignerInfos[0].DigestEncryptionAlgorithm.Algorithm = pkcs7.OIDEncryptionAlgorithmRSA
	return sd.Finish()
}
