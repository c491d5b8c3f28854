package api

import (
	"net/http"

	"chancery/internal/access"
)

// Whole serves h, which tells about the whole installation, to those who may
// see all of it: an API token, or a caller the listener trusts.
func (s *Server) Whole(h http.Handler) http.Handler {
	return s.guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		actor, err := s.actor(r.Context(), r.Header.Get("Authorization"), r.RemoteAddr)
		if err == nil {
			err = access.Check(actor, access.See, "")
		}
		if err != nil {
			s.fail(w, r, err)
			return
		}
		h.ServeHTTP(w, r)
	}))
}
