package store_test

import (
	"testing"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// TestCertificateIdentity: issuer key and serial number are one certificate,
// whoever stores it a second time and as whose; either alone is not.
func TestCertificateIdentity(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		first := w.newCertificate(c.Now())
		write(t, db, func(tx *store.Tx) error { return tx.CreateCertificate(first) })
		again := func(change func(*ra.Certificate)) func(tx *store.Tx) error {
			n := w.newCertificate(c.Now())
			n.Serial = first.Serial
			change(n)
			return func(tx *store.Tx) error { return tx.CreateCertificate(n) }
		}
		refused(t, db, "the same certificate", ra.Conflict, again(func(*ra.Certificate) {}))
		refused(t, db, "the same, as somebody else's", ra.Conflict, again(func(n *ra.Certificate) { n.GroupID, n.DeviceID, n.Subject = w.org.ID, "", "CN=other" }))
		write(t, db, again(func(n *ra.Certificate) { n.Serial += "0" }))
		write(t, db, again(func(n *ra.Certificate) { n.IssuerHash = "another issuer" }))
	})
}
