package ldapdir

import (
	"testing"

	"github.com/go-ldap/ldap/v3"

	"chancery/internal/ra"
)

func TestLargeValue(t *testing.T) {
	_, err := newEntry(&ldap.Entry{DN: "CN=a", Attributes: []*ldap.EntryAttribute{{Name: "thumbnailPhoto", ByteValues: [][]byte{make([]byte, maxValue+1)}}}})
	if ra.KindOf(err) != ra.TooLarge {
		t.Errorf("a value of more than the limit: %v", err)
	}
	e, err := newEntry(&ldap.Entry{DN: "CN=a", Attributes: []*ldap.EntryAttribute{{Name: "userCertificate;binary", ByteValues: [][]byte{{1}, {2}}}}})
	if err != nil || len(e.All("usercertificate")) != 2 {
		t.Errorf("an attribute with an option: %v, %v", e, err)
	}
}
