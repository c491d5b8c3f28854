package api

import (
	"net/http"
	"strings"
	"testing"

	"chancery/internal/api/resource"
)

// TestLists: the lists that are signed here, and nothing of authorities that publish
// theirs themselves.
func TestLists(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.populate("acme")
		var all resource.Lists
		w.do(http.StatusOK, get, "/authorities/"+s.Authority+"/lists", nil, &all)
		if len(all.Issuers) != 2 || !strings.HasPrefix(all.Issuers[0].OCSP, "http://pki.example.test/") || !strings.HasSuffix(all.Issuers[0].Certificate, all.Issuers[0].IssuerHash[:16]+".cer") || len(all.Issuers[0].Lists) == 0 {
			t.Fatalf("%+v", all)
		}
		if l := all.Issuers[0].Lists[0]; l.Part != 1 || l.Parts != 1 || !l.Named || l.State == "" || !strings.HasSuffix(l.Address, all.Issuers[0].IssuerHash[:16]+".crl") || (l.Number > 0) == l.NextUpdate.IsZero() {
			t.Errorf("%+v", l)
		}
		w.do(http.StatusNotFound, get, "/authorities/"+s.Guarded+"/lists", nil, nil)
	})
}
