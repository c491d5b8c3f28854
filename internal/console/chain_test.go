package console

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// TestChainCounts: an answer of a superior CA that holds certificates without
// end is refused by their number, before they are compared with anything.
func TestChainCounts(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	made := b.done("/authorities/new?kind=embedded", url.Values{"name": {"Sub"}, "group_id": {w.ids["groups"]}, "settings.setup": {"subordinate"}, "settings.key_type": {"p-256"}})
	sub := regexp.MustCompile(`^/authorities/[a-z0-9_]+`).FindString(made.to)
	b.post(sub+"/csr", url.Values{}).want(t, http.StatusOK, "CERTIFICATE REQUEST")
	one, _, _ := strings.Cut(b.get("/authorities/"+w.ids["authorities"]+"/chain.pem").body, "-----END CERTIFICATE-----\n")
	one += "-----END CERTIFICATE-----\n"
	for n, many := range map[int]bool{1: false, maxChain: false, maxChain + 1: true, 1000: true} {
		a := b.post(sub+"/install", url.Values{"chain": {strings.Repeat(one, n)}})
		if got := strings.Contains(a.body, "more than 10 certificates"); a.status != http.StatusUnprocessableEntity || got != many {
			t.Errorf("%d certificates: status %d\n%s", n, a.status, visible(a.body))
		}
	}
}
