package embedded

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

// soon is how long before its end an issuing certificate deserves a warning.
const soon = 90 * 24 * time.Hour

// Check looks at what issuing depends on: certificate, key, validity, chain, the
// addresses in certificates, and a certificate planned in full but not signed.
func (c *Connector) Check(ctx context.Context, report func(ca.Step)) {
	failed := false
	for _, s := range []struct {
		name string
		run  func(context.Context) ca.Step
	}{
		{"Issuing certificate", c.checkCertificate},
		{"Issuing key", c.checkKey},
		{"Validity", c.checkValidity},
		{"Chain", c.checkChain},
		{"Trial certificate", c.checkTrial},
		{"Addresses in certificates", c.checkAddresses},
	} {
		step := ca.Step{State: ca.StepSkipped}
		if !failed {
			began := c.env.Now()
			step = s.run(ctx)
			step.Took = c.env.Now().Sub(began)
		}
		step.Name = s.name
		failed = failed || step.State == ca.StepFailed
		report(step)
	}
}

// broken makes a step of an error.
func broken(err error) ca.Step {
	e := ra.AsError(err)
	return ca.Step{State: ca.StepFailed, Detail: e.Message, Remedy: e.Remedy}
}

func (c *Connector) checkCertificate(context.Context) ca.Step {
	i, err := c.issuing()
	if err != nil {
		return broken(err)
	}
	return ca.Step{State: ca.StepOK, Detail: i.cert.Subject.String()}
}

// checkKey signs something that is no certificate and verifies it.
func (c *Connector) checkKey(context.Context) ca.Step {
	probe := bytes.Repeat([]byte{' '}, 64)
	digest := c.current.digest.New()
	digest.Write(probe)
	signature, err := c.current.key.Sign(rand.Reader, digest.Sum(nil), c.current.digest)
	if err == nil {
		err = c.current.cert.CheckSignature(c.current.name, probe, signature)
	}
	var e *ra.Error
	if errors.As(err, &e) {
		return broken(e)
	}
	if err != nil {
		return ca.Step{State: ca.StepFailed, Detail: "The issuing key does not sign for its certificate.",
			Remedy: "Check that the key store is there and unlocked."}
	}
	return ca.Step{State: ca.StepOK, Detail: string(pkixmsg.DescribeKey(c.current.key.Public()).Type)}
}

func (c *Connector) checkValidity(context.Context) ca.Step {
	if _, err := c.window(c.current, ca.Request{Order: ca.Order{Validity: time.Hour + c.backdate}}); err != nil {
		return broken(err)
	}
	end := c.current.cert.NotAfter
	if left := end.Sub(c.env.Now()); left < soon {
		return ca.Step{State: ca.StepWarning, Detail: fmt.Sprintf("It ends in %d days, on %s.", int(left.Hours()/24), end.Format(time.DateOnly)),
			Remedy: "Renew the issuing certificate now: no certificate can outlive it."}
	}
	return ca.Step{State: ca.StepOK, Detail: "until " + end.Format(time.DateOnly)}
}

// checkChain walks up: every signature, every validity.
func (c *Connector) checkChain(context.Context) ca.Step {
	now := c.env.Now()
	chain := c.current.chain
	for k, cert := range chain[1:] {
		if err := chain[k].CheckSignatureFrom(cert); err != nil {
			return ca.Step{State: ca.StepFailed, Detail: "A certificate of the chain is not signed by the one above it.",
				Remedy: "Install the complete chain of the superior CA again."}
		}
		if now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
			return ca.Step{State: ca.StepFailed, Detail: fmt.Sprintf("%s is not valid now; it ends on %s.", cert.Subject, cert.NotAfter.Format(time.DateOnly)),
				Remedy: "Renew the superior CA, then request and install a new issuing certificate."}
		}
	}
	return ca.Step{State: ca.StepOK, Detail: fmt.Sprintf("%d certificates up to %s", len(chain), rootName(chain))}
}

func rootName(chain []*x509.Certificate) string { return chain[len(chain)-1].Subject.String() }

// checkTrial plans a certificate: random numbers, encoding and every rule, but
// no journal and no signature.
func (c *Connector) checkTrial(context.Context) ca.Step {
	r, err := trial()
	if err == nil {
		_, err = c.plan(r)
	}
	if err != nil {
		return broken(err)
	}
	return ca.Step{State: ca.StepOK, Detail: "built and checked, not signed"}
}

func trial() (ca.Request, error) {
	key, err := pkixmsg.GenerateKey(pkixmsg.P256)
	if err != nil {
		return ca.Request{}, err
	}
	name := pkixmsg.Name{{{OID: pkixmsg.OIDCommonName, Value: "trial"}}}
	csr, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: name, Signer: key})
	if err != nil {
		return ca.Request{}, err
	}
	return ca.NewRequest(ca.Order{ID: "trial", CSR: csr, Subject: name, KeyUsage: x509.KeyUsageDigitalSignature,
		EKUs: []string{"1.3.6.1.5.5.7.3.2"}, Validity: 24 * time.Hour * 4})
}

func (c *Connector) checkAddresses(context.Context) ca.Step {
	if c.baseURL == "" {
		return ca.Step{State: ca.StepWarning, Detail: "Certificates will not say where to ask for their revocation.",
			Remedy: "Set the server's public address, or the address for relying parties of this authority."}
	}
	return ca.Step{State: ca.StepOK, Detail: c.baseURL}
}
