package observe

import (
	"context"
	"net/url"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"chancery/internal/ra"
)

// newTracer makes what spans come from, and what sends those that are left.
func newTracer(ctx context.Context, o Options) (trace.Tracer, func(context.Context) error, error) {
	const name = "chancery"
	if o.TraceURL == "" {
		return noop.NewTracerProvider().Tracer(name), nil, nil
	}
	invalid := func(err error) error {
		return ra.Errorf(ra.Invalid, "Spans cannot be sent to the trace address.").WithField("trace_url").
			WithRemedy("Use the address of an OTLP receiver over HTTP, such as http://127.0.0.1:4318.").WithCause(err)
	}
	u, err := url.Parse(o.TraceURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, nil, invalid(err)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces" // OTLP specification, "OTLP/HTTP Request"
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.String()))
	if err != nil {
		return nil, nil, invalid(err)
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(resource.NewSchemaless(
		attribute.String("service.name", "chancery"), attribute.String("service.version", o.Version), attribute.String("service.instance.id", o.Node))))
	return provider.Tracer(name), provider.Shutdown, nil
}

// Span is one timed step. The zero value is valid and does nothing.
type Span struct{ span trace.Span }

// Start begins a step below the one ctx carries. pairs are names and values of
// what identifies it; no subjects, challenges or messages.
func (o *Observer) Start(ctx context.Context, name string, pairs ...string) (context.Context, Span) {
	if o == nil || o.end == nil {
		return ctx, Span{}
	}
	ctx, span := o.tracer.Start(ctx, name, trace.WithAttributes(attributes(pairs)...))
	return ctx, Span{span}
}

// Note adds what became known during the step.
func (s Span) Note(pairs ...string) {
	if s.span != nil {
		s.span.SetAttributes(attributes(pairs)...)
	}
}

// End ends the step. Of an error only its kind is told: its text may quote
// what arrived.
func (s Span) End(err error) {
	if s.span == nil {
		return
	}
	if err != nil {
		kind := string(ra.KindOf(err))
		s.span.SetStatus(codes.Error, kind)
		s.span.SetAttributes(attribute.String("chancery.error.kind", kind))
	}
	s.span.End()
}

func attributes(pairs []string) []attribute.KeyValue {
	out := make([]attribute.KeyValue, 0, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			out = append(out, attribute.String("chancery."+pairs[i], pairs[i+1]))
		}
	}
	return out
}
