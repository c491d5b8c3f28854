package caimport

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/enroll"
	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/store"
)

const (
	maxDER       = 64 << 10
	maxRequester = 300 // bytes
	// ahead is how far in the future an authority's clock may be.
	ahead = 48 * time.Hour
)

// item is one certificate of the records.
type item struct {
	ca.Listed
	leaf     *x509.Certificate
	issuer   *issuer
	serial   string
	print    string          // SHA-256 of DER, hex
	row      *ra.Certificate // of one that was not known, without what it belongs to
	expected bool            // a pass may wait for it
	said     *said           // whom it names; nil: nobody is looked up
	owner    owner
	problem  *ra.Error // why it is left out; nil: it is not
}

func skip(remedy, format string, args ...any) *ra.Error {
	return ra.Errorf(ra.Invalid, format, args...).WithRemedy("%s", remedy)
}

const strangeRecord = "Look at this row of the authority's own records."

// examine reads one certificate of the records. after is the number of the one
// before it. What cannot be right is left out with a reason.
func (w *taking) examine(l ca.Listed, after int64) *item {
	it := &item{Listed: l}
	it.Requester, it.Template = clean(l.Requester, maxRequester), clean(l.Template, maxTemplate)
	it.problem = it.wrong(w.run.StartedAt, after)
	if it.problem != nil {
		return it
	}
	leaf, err := x509.ParseCertificate(l.DER)
	if err != nil {
		it.problem = skip(strangeRecord, "The certificate cannot be read.").WithCause(err)
		return it
	}
	it.leaf, it.serial, it.print = leaf, enroll.Serial(leaf), authority.Hash(leaf.Raw)
	if it.issuer = w.issuerOf(leaf); it.issuer == nil {
		it.problem = skip("See what issued it; the certificates of the CA must be readable, former ones included.", "No certificate of this authority is its issuer.")
	}
	return it
}

// wrong says what of a record cannot be, besides the certificate itself.
func (it *item) wrong(now time.Time, after int64) *ra.Error {
	switch {
	case it.Number <= after:
		return skip(strangeRecord, "Its number does not follow the one before.")
	case len(it.DER) == 0:
		return skip("Look for the certificate where it was issued to; the authority lists it, and does not give it out.", "The authority does not give the certificate out.")
	case len(it.DER) > maxDER:
		return skip(strangeRecord, "The certificate is longer than 64 KiB.")
	case !slices.Contains([]ra.CertificateState{ra.Valid, ra.OnHold, ra.Revoked, ra.Expired}, it.State):
		return skip(strangeRecord, "Its state is none that is known.")
	case (it.State == ra.Revoked || it.State == ra.OnHold) && (it.RevokedAt.Before(time.Unix(86400, 0)) || it.RevokedAt.After(now.Add(ahead))):
		return skip("Look at the clock of the authority, and at this row of its records.", "It was revoked at no time that can be.")
	}
	if !slices.Contains(ra.Reasons, it.Reason) {
		it.Reason = ra.Unspecified // it is revoked all the same
	}
	return nil
}

// issuerOf gives who should have signed a certificate: by its name, and among
// several of the same name by the key that the certificate names, or its
// signature.
func (w *taking) issuerOf(leaf *x509.Certificate) *issuer {
	var same []*issuer
	for _, i := range w.issuers {
		if bytes.Equal(i.RawSubject, leaf.RawIssuer) {
			same = append(same, i)
		}
	}
	if len(same) < 2 {
		return append(same, nil)[0]
	}
	for _, i := range same {
		if len(leaf.AuthorityKeyId) > 0 && bytes.Equal(i.SubjectKeyId, leaf.AuthorityKeyId) {
			return i
		}
	}
	for _, i := range same {
		if signed(leaf, i.Certificate) {
			return i
		}
	}
	return nil
}

// signed reports whether an issuer's key signed a certificate. Signatures with
// SHA-1 count: a record of what was issued long ago is no less one.
func signed(leaf, by *x509.Certificate) bool {
	err := leaf.CheckSignatureFrom(by)
	var weak x509.InsecureAlgorithmError
	if err == nil || !errors.As(err, &weak) {
		return err == nil
	}
	digest := sha1.Sum(leaf.RawTBSCertificate)
	switch key := by.PublicKey.(type) {
	case *rsa.PublicKey:
		return leaf.SignatureAlgorithm == x509.SHA1WithRSA && rsa.VerifyPKCS1v15(key, crypto.SHA1, digest[:], leaf.Signature) == nil
	case *ecdsa.PublicKey:
		return leaf.SignatureAlgorithm == x509.ECDSAWithSHA1 && ecdsa.VerifyASN1(key, digest[:], leaf.Signature)
	}
	return false
}

// clean gives a text of the authority's as it can be stored and shown.
func clean(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, strings.TrimSpace(s))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}

// study reads a batch of records and looks up what they say, outside of the
// transaction that stores them: signatures take long to check.
func (w *taking) study(ctx context.Context, some []ca.Listed) ([]*item, error) {
	items := make([]*item, len(some))
	at := make([]int64, len(some))
	last := w.run.Position
	for i, l := range some {
		at[i] = last
		last = max(last, l.Number)
	}
	together(len(some), func(i int) { items[i] = w.examine(some[i], at[i]) })
	var fresh []*item
	err := w.DB.Read(ctx, func(tx *store.Tx) error {
		known, err := inventory(tx, items)
		if err != nil {
			return err
		}
		fresh = nil
		for _, it := range items {
			if it.problem != nil {
				continue
			}
			if k := known.of(it); k == nil {
				fresh = append(fresh, it)
			} else if it.said = nil; k.Ownerless() {
				it.said = saidBy(it)
			}
		}
		return w.awaited(tx, fresh)
	})
	if err != nil {
		return nil, err
	}
	now := w.Now()
	together(len(fresh), func(i int) { fresh[i].describe(now) })
	return items, w.DB.Read(ctx, func(tx *store.Tx) error { return w.match(tx, items) })
}

// awaited notes which certificates passes may wait for.
func (w *taking) awaited(tx *store.Tx, fresh []*item) error {
	leaves := make([]*x509.Certificate, len(fresh))
	for i, it := range fresh {
		leaves[i] = it.leaf
	}
	expected, err := pass.Expected(tx, leaves)
	for i, it := range fresh {
		it.expected = err == nil && expected[i]
	}
	return err
}

// describe makes the row of a certificate that is not known, once its signature
// has been checked.
func (it *item) describe(now time.Time) {
	if !signed(it.leaf, it.issuer.Certificate) {
		it.problem = skip("See what issued it; it is in the authority's records and not of its making.", "The signature of its issuer is wrong.")
		return
	}
	it.row = enroll.Row(it.leaf, it.issuer.Certificate, now)
	for _, text := range append([]string{it.row.Subject}, it.row.SANs...) {
		if strings.ContainsRune(text, 0) || !utf8.ValidString(text) {
			it.problem = skip(strangeRecord, "A name in the certificate cannot be stored.")
			it.row = nil
			return
		}
	}
	it.said = saidBy(it)
}

// together does something for every index, on all processors.
func together(n int, do func(i int)) {
	var wg sync.WaitGroup
	for p := range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := p; i < n; i += runtime.GOMAXPROCS(0) {
				do(i)
			}
		})
	}
	wg.Wait()
}
