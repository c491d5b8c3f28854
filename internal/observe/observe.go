// Package observe lets the server be watched: numbers for Prometheus, spans
// for OpenTelemetry.
//
// What happens is told to an Observer by those it happens to: the doors, the
// capabilities, the job queue. Each tells in its own words (SCEP, Enrolled,
// Called, ...) and knows neither of the two libraries. What is, such as how
// many certificates there are or when a CRL ends, nobody tells: the Observer
// asks for a State when somebody looks, at most every few seconds.
//
// Every metric is described once (metric.go); docs/metrics.md is written from
// that table. Labels hold names an administrator chose and words of this
// program, never what a client sent, so their number is bounded and they give
// away no secret. The same goes for spans: identifiers and outcomes, no
// subjects, challenges or messages.
//
// A nil *Observer is a valid one that does nothing, so that a part used alone,
// in a test or by the command line, needs none.
package observe

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/trace"
)

// Observer gathers what is told. It is safe for concurrent use.
type Observer struct {
	registry *prometheus.Registry
	m        metrics
	tracer   trace.Tracer
	end      func(context.Context) error
}

// Options say what a new Observer belongs to.
type Options struct {
	Version string
	Log     *slog.Logger
	// State is asked when metrics are read; nil: only what happens is told.
	State func(context.Context) (State, error)
	Now   func() time.Time // of the State's age
	// TraceURL is where spans are sent by OTLP over HTTP, such as
	// http://127.0.0.1:4318; empty: nowhere.
	TraceURL string
	// Node is this server's name among several.
	Node string
}

// New makes an Observer. A TraceURL that cannot be used is Invalid.
func New(ctx context.Context, o Options) (*Observer, error) {
	x := &Observer{registry: prometheus.NewRegistry()}
	x.m = newMetrics(x.registry)
	x.m.info.WithLabelValues(o.Version).Set(1)
	x.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if o.State != nil {
		x.registry.MustRegister(&stateCollector{ask: o.State, now: o.Now, log: o.Log})
	}
	var err error
	x.tracer, x.end, err = newTracer(ctx, o)
	return x, err
}

// Register adds a collector of somebody else's numbers, such as those of a
// connection pool.
func (o *Observer) Register(c prometheus.Collector) {
	if o != nil {
		o.registry.MustRegister(c)
	}
}

// Handler serves the metrics in the text format of Prometheus. It guards
// nothing: whoever mounts it decides who may read.
func (o *Observer) Handler() http.Handler {
	return promhttp.HandlerFor(o.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 30 * time.Second})
}

// Close sends the spans that still wait, within the context.
func (o *Observer) Close(ctx context.Context) error {
	if o == nil || o.end == nil {
		return nil
	}
	return o.end(ctx)
}
