package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
)

// unread is a body that nobody may look at.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read before the caller was known")
	return 0, http.ErrBodyReadAfterClose
}

// TestEveryRouteNeedsACredential: without a token, and with everything else that
// opens some door here, every operation is refused before anything of the
// request is read.
func TestEveryRouteNeedsACredential(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.populate("acme")
		now := time.Now()
		w.server.Now = func() time.Time { return now }
		var c resource.Challenge
		w.do(http.StatusCreated, post, "/challenges", map[string]any{"endpoint_id": s.Endpoint, "device_id": s.Device}, &c)
		var link resource.Link
		w.do(http.StatusCreated, post, "/admins/"+s.Admin+"/link", map[string]any{}, &link)
		var ended resource.Token
		w.do(http.StatusCreated, post, "/tokens", map[string]any{"name": "gone", "grants": []any{map[string]any{"role": "owner"}}}, &ended)
		w.do(http.StatusNoContent, remove, "/tokens/"+ended.ID, nil, nil)
		before := w.dump(s)
		handler := w.server.Handler()
		for _, r := range w.server.routes() {
			for name, header := range map[string]http.Header{
				"nothing":         {},
				"a cookie":        {"Cookie": {"chancery=" + w.owner + "; __Host-chancery=" + w.owner}},
				"basic":           {"Authorization": {"Basic " + w.owner}},
				"a challenge":     {"Authorization": {"Bearer " + c.Challenge}},
				"a link":          {"Authorization": {"Bearer " + link.Link[strings.LastIndex(link.Link, "=")+1:]}},
				"a revoked token": {"Authorization": {"Bearer " + ended.Token}},
				"a token's ID":    {"Authorization": {"Bearer " + s.Token}},
				"no bearer":       {"Authorization": {"Bearer "}},
				"another header":  {"X-Authorization": {"Bearer " + w.owner}, "X-Remote-User": {"admin"}, "X-Client-Cert": {"x"}, "X-Ssl-Client-Verify": {"SUCCESS"}},
			} {
				now = now.Add(time.Minute) // wrong tokens are counted
				request := httptest.NewRequest(r.Method, prefix+strings.Replace(r.Path, "{id}", "x", 1), unread{t})
				request.Header = header
				request.Header.Set("Content-Type", "application/json")
				answer := httptest.NewRecorder()
				handler.ServeHTTP(answer, request)
				if answer.Code != http.StatusUnauthorized || !strings.Contains(answer.Body.String(), `"kind":"`+string(ra.Unsigned)+`"`) {
					t.Errorf("%s with %s: %d %s", r.ID, name, answer.Code, answer.Body)
				}
			}
		}
		if after := w.dump(s); after != before {
			t.Error("something changed")
		}
	})
}
