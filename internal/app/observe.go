package app

import (
	"context"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/collectors"

	"chancery/internal/observe"
)

// observe makes what the server is watched by.
func (a *App) observe(ctx context.Context) (err error) {
	a.Observer, err = observe.New(ctx, observe.Options{Version: Version, Log: a.Log, State: a.state, Now: a.Config.Now,
		TraceURL: a.Config.TraceURL, Node: node(a.Config)})
	if err != nil {
		return err
	}
	a.Observer.Register(collectors.NewDBStatsCollector(a.DB.Pool(), "write"))
	return nil
}

// serveMetrics opens the metrics' own address, when there is one. It asks
// nobody for a token: choosing the address is choosing who reads.
func (a *App) serveMetrics() error {
	if a.Config.MetricsListen == "" {
		return nil
	}
	l, err := openAddress("metrics_listen", &a.Config.MetricsListen)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", a.Observer.Handler())
	a.listeners = append(a.listeners, l)
	a.run(l, mux, nil)
	return nil
}
