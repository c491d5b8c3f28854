package api

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"chancery/internal/api/resource"
	"chancery/internal/authority"
	caall "chancery/internal/ca/all"
	"chancery/internal/ra"
)

// TestLongCall: what takes long, such as an export, is not cut off by the
// patience the server has for ordinary calls.
func TestLongCall(t *testing.T) {
	w := sqlite(t)
	const patience = 100 * time.Millisecond
	mux := http.NewServeMux()
	slow := handle(func(_ *Server, ctx context.Context, _ ra.Actor, in *body[resource.Decision]) (*body[resource.Decision], error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(3 * patience):
			return &body[resource.Decision]{in.Body}, nil
		}
	})
	slow(w.server, humago.New(mux, huma.DefaultConfig("x", "1")), route{ID: "slow", Method: post, Path: "/slow", Long: true}.operation())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := &http.Server{Handler: mux, ReadTimeout: patience, WriteTimeout: patience}
	go server.Serve(l)
	defer server.Close()
	w.url = "http://" + l.Addr().String()
	code, b, _ := w.send(w.owner, post, prefix+"/slow", map[string]any{"comment": "done"})
	if code != http.StatusOK || !strings.Contains(string(b), "done") {
		t.Errorf("%d %s", code, b)
	}
}

func BenchmarkHandler(b *testing.B) {
	s := &Server{Version: "x", Authorities: &authority.Service{Kinds: caall.Kinds()}}
	for b.Loop() {
		s.Handler()
	}
}
