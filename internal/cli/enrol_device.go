package cli

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"chancery/internal/ra"
	"chancery/internal/scepclient"
	"chancery/internal/secret"
	"chancery/internal/wire/pkixmsg"
)

// enrolAsDevice is the device's side of an enrolment: a key of its own, a
// request with the challenge in it, and SCEP. The key is on disk before anything
// is asked, and running it again with the same key is the same request.
func (p *Program) enrolAsDevice() *cobra.Command {
	var challenge, subject, key, certificate, keyType, url string
	c := p.verb("enrol ENDPOINT", "Enrol over SCEP, as a device does", "  chancery challenge create --endpoint devices --device laptop\n  chancery endpoint enrol devices --challenge-file challenge.txt --key laptop.key --cert laptop.pem", cobra.ExactArgs(1), func(s *session, args []string) error {
		if key == "" || certificate == "" || challenge == "" {
			return wrongCall("Where key and certificate go, or the challenge, is missing.", "Give --key, --cert and --challenge-file.")
		}
		if url == "" {
			id, err := s.endpointID(args[0])
			if err != nil {
				return err
			}
			e, err := s.c.Endpoint(s.ctx, id)
			if err != nil {
				return err
			}
			url = s.c.Base + "/scep/" + e.Name
		}
		text, err := s.secretFile(challenge, "challenge")
		if err != nil {
			return err
		}
		signer, err := keyIn(key, keyType)
		if err != nil {
			return err
		}
		csr, err := deviceRequest(signer, subject, text)
		if err != nil {
			return err
		}
		cert, err := s.askSCEP(url, scepclient.Order{CSR: csr, Key: signer})
		if err != nil {
			return err
		}
		if err := writeNew(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o644); err != nil {
			return err
		}
		fmt.Fprintf(s.Stdout, "The certificate %s is in %s, its key in %s.\n", pkixSerial(cert), certificate, key)
		return nil
	})
	f := c.Flags()
	f.StringVar(&challenge, "challenge-file", "", `file with the challenge, "-" for standard input`)
	f.StringVar(&subject, "subject", "", "subject to ask for; left out, the template decides alone")
	f.StringVar(&key, "key", "", "PEM file for the private key; made when it is not there")
	f.StringVar(&certificate, "cert", "", "PEM file for the certificate, which must not exist")
	f.StringVar(&keyType, "key-type", string(pkixmsg.RSA2048), "type of a key that is made")
	f.StringVar(&url, "scep-url", "", "SCEP address; the endpoint's own when left out")
	return c
}

// keyIn reads the key of a file, or makes one and writes the file.
func keyIn(path, keyType string) (crypto.Signer, error) {
	if _, err := os.Stat(path); err == nil {
		return readKey(path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, wrongKey(path, "cannot be read", err)
	}
	t, err := pkixmsg.ParseKeyType(keyType)
	if err != nil {
		return nil, forPeople("key-type", err)
	}
	key, err := pkixmsg.GenerateKey(t)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writeNew(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

func deviceRequest(key crypto.Signer, subject string, challenge secret.Text) ([]byte, error) {
	name, err := pkixmsg.ParseDN(subject)
	if err != nil {
		return nil, forPeople("subject", err)
	}
	csr, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: name, ChallengePassword: challenge.Reveal(), Signer: key})
	if err != nil {
		return nil, forPeople("subject", err)
	}
	return csr, nil
}

// forPeople makes the refusal of a text that was typed an error about its flag.
func forPeople(field string, err error) error {
	var e *pkixmsg.Error
	if errors.As(err, &e) {
		return ra.Errorf(ra.Invalid, "%s", e.Message).WithField(field).WithRemedy("%s", e.Remedy)
	}
	return err
}
