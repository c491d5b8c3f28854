package embedded

import (
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"chancery/internal/ca"
	"chancery/internal/wire/pkixmsg"
)

// The tags of a GeneralName that is a URI, and of the first member of what
// wraps names in distribution points.
var (
	tagURI  = cbasn1.Tag(6).ContextSpecific()
	tagName = cbasn1.Tag(0).ContextSpecific().Constructed()
)

// file is the address of an issuer's files without the end.
func (i *issuer) file(base string) string { return base + "/pki/" + i.hash[:16] }

// crlPoint is where the list of a shard is found.
func (i *issuer) crlPoint(base string, s ca.Shard) string {
	if s.Name() == "" {
		return i.file(base) + ".crl"
	}
	return i.file(base) + "-" + s.Name() + ".crl"
}

// pointers are where relying parties find the CRL (RFC 5280 §4.2.1.13), the
// issuing certificate and, unless left out, the OCSP responder (§4.2.2.1).
func (i *issuer) pointers(base string, s ca.Shard, ocsp bool) []pkixmsg.Extension {
	var points, access cryptobyte.Builder
	points.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { addPoint(b, []string{i.crlPoint(base, s)}) })
	})
	access.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if ocsp {
			addAccess(b, 1, base+"/ocsp")
		}
		addAccess(b, 2, i.file(base)+".cer")
	})
	return []pkixmsg.Extension{
		{OID: oidCRLPoints, Value: points.BytesOrPanic()},
		{OID: oidAuthorityInfo, Value: access.BytesOrPanic()},
	}
}

// addPoint adds a DistributionPointName with its full names in the place both
// extensions have for it.
func addPoint(b *cryptobyte.Builder, urls []string) {
	b.AddASN1(tagName, func(b *cryptobyte.Builder) {
		b.AddASN1(tagName, func(b *cryptobyte.Builder) {
			for _, url := range urls {
				b.AddASN1(tagURI, func(b *cryptobyte.Builder) { b.AddBytes([]byte(url)) })
			}
		})
	})
}

func addAccess(b *cryptobyte.Builder, method int, url string) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, method})
		b.AddASN1(tagURI, func(b *cryptobyte.Builder) { b.AddBytes([]byte(url)) })
	})
}

// issuingPoint is the value of the issuing distribution point of a list that
// certificates name by these addresses (RFC 5280 §5.2.5).
func issuingPoint(urls []string) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { addPoint(b, urls) })
	return b.BytesOrPanic()
}
