package chaos

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"

	"golang.org/x/crypto/ocsp"

	"chancery/internal/ra"
)

// crlNumbers remembers the highest number seen of each CRL.
type crlNumbers struct {
	mu   sync.Mutex
	seen map[string]int64
}

// look asks as a relying party, right after a client was told: OCSP and CRL say
// what the client was told. A certificate of the authority outside names
// neither.
func (w *World) look(ctx context.Context, d *device, h *holding) {
	if len(h.cert.OCSPServer) == 0 {
		return
	}
	want := h.state == ra.Revoked || h.state == ra.OnHold
	d.until(ctx, func() error {
		revoked, err := w.ocsp(ctx, d.web, h.cert)
		if err == nil && revoked != want {
			w.flaw("revocation", "OCSP says revoked=%v of serial %x, which the client was told is %s", revoked, h.cert.SerialNumber, h.state)
		}
		return err
	})
	d.until(ctx, func() error {
		listed, err := w.crl(ctx, d.web, h.cert)
		if err == nil && listed != want {
			w.flaw("revocation", "the CRL lists=%v serial %x, which the client was told is %s", listed, h.cert.SerialNumber, h.state)
		}
		return err
	})
}

var errUnavailable = errors.New("not served now")

// fetch gets or posts to the path of an address that a certificate names.
func fetch(ctx context.Context, web *http.Client, address string, body []byte) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(ctx, method, publicURL+u.Path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := web.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%w: HTTP %d at %s", errUnavailable, response.StatusCode, u.Path)
	}
	return b, err
}

// issuerOf fetches the certificate of the issuer from where c says it is.
func (w *World) issuerOf(ctx context.Context, web *http.Client, c *x509.Certificate) (*x509.Certificate, error) {
	der, err := fetch(ctx, web, c.IssuingCertificateURL[0], nil)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func (w *World) ocsp(ctx context.Context, web *http.Client, c *x509.Certificate) (revoked bool, err error) {
	issuer, err := w.issuerOf(ctx, web, c)
	if err != nil {
		return false, err
	}
	question, err := ocsp.CreateRequest(c, issuer, nil)
	if err != nil {
		return false, err
	}
	b, err := fetch(ctx, web, c.OCSPServer[0], question)
	if err != nil {
		return false, err
	}
	answer, err := ocsp.ParseResponseForCert(b, c, issuer)
	if err != nil {
		return false, err
	}
	if answer.Status == ocsp.Unknown {
		w.flaw("lost", "OCSP does not know serial %x", c.SerialNumber)
	}
	return answer.Status == ocsp.Revoked, nil
}

// crl fetches the list that c names and looks for it there. Its number never
// goes back: whoever asks later gets no older one.
func (w *World) crl(ctx context.Context, web *http.Client, c *x509.Certificate) (listed bool, err error) {
	address := c.CRLDistributionPoints[0]
	w.crls.mu.Lock()
	before := w.crls.seen[address]
	w.crls.mu.Unlock()
	b, err := fetch(ctx, web, address, nil)
	if err != nil {
		return false, err
	}
	list, err := x509.ParseRevocationList(b)
	if err != nil {
		return false, err
	}
	number := list.Number.Int64()
	if number < before {
		w.flaw("crl", "the number of %s went from %d back to %d", address, before, number)
	}
	w.crls.mu.Lock()
	w.crls.seen[address] = max(w.crls.seen[address], number)
	w.crls.mu.Unlock()
	for _, e := range list.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(c.SerialNumber) == 0 {
			return true, nil
		}
	}
	return false, nil
}
