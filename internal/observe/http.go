package observe

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// HTTP measures what h answers. The route is the pattern that matched, so
// that no path a client made up becomes a label.
func (o *Observer) HTTP(listener string, h http.Handler) http.Handler {
	if o == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		seen := &statusWriter{ResponseWriter: w, code: http.StatusOK}
		defer func() {
			route := route(r.Pattern)
			o.m.http.WithLabelValues(listener, route, strconv.Itoa(seen.code/100)+"xx").Inc()
			o.m.httpSeconds.WithLabelValues(listener, route).Observe(time.Since(began).Seconds())
		}()
		h.ServeHTTP(seen, r)
	})
}

// route is a pattern without its method; "other" when nothing matched.
func route(pattern string) string {
	if pattern == "" {
		return "other"
	}
	if _, path, ok := strings.Cut(pattern, " "); ok {
		return path
	}
	return pattern
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	code  int
	wrote bool
}

// WriteHeader notes the first final status.
func (w *statusWriter) WriteHeader(code int) {
	if !w.wrote && code >= http.StatusOK {
		w.code, w.wrote = code, true
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write answers 200 when no status was given.
func (w *statusWriter) Write(b []byte) (int, error) {
	w.wrote = true
	return w.ResponseWriter.Write(b)
}

// Unwrap gives http.ResponseController the writer below.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
