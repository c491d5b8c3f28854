package api

import (
	"net/http"
	"strings"
	"testing"

	"chancery/internal/api/resource"
)

// TestPEMCounts: an answer of a superior CA that holds certificates without end
// is refused by their number, before they are compared with anything.
func TestPEMCounts(t *testing.T) {
	w := sqlite(t)
	s := w.populate("acme")
	var chain resource.Chain
	w.do(http.StatusOK, get, "/authorities/"+s.Authority+"/chain", nil, &chain)
	one, _, _ := strings.Cut(chain.PEM, "-----END CERTIFICATE-----\n")
	one += "-----END CERTIFICATE-----\n"
	var sub resource.Authority
	w.do(http.StatusCreated, post, "/authorities", map[string]any{"kind": "embedded", "name": "Sub", "group_id": s.Group, "settings": map[string]any{"setup": "subordinate"}}, &sub)
	w.do(http.StatusOK, post, "/authorities/"+sub.ID+"/csr", nil, nil)
	for n, many := range map[int]bool{1: false, maxChain: false, maxChain + 1: true, 1000: true} {
		p := w.refused(w.owner, http.StatusUnprocessableEntity, post, prefix+"/authorities/"+sub.ID+"/certificate", map[string]any{"pem": strings.Repeat(one, n)})
		if got := strings.Contains(p.Message, "too many"); got != many {
			t.Errorf("%d certificates: %+v", n, p)
		}
	}
}
