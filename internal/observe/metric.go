package observe

import (
	"github.com/prometheus/client_golang/prometheus"
)

// describe is one metric: what it is called, what it counts by, and what it
// tells. The page docs/metrics.md is written from these.
type describe struct {
	name    string
	kind    string // "counter", "gauge" or "histogram"
	labels  []string
	help    string
	buckets []float64 // of a histogram
}

// Spans of time in seconds, for the buckets of histograms.
const (
	hour = 3600.0
	day  = 24 * hour
)

var (
	quick = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	slow  = []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
)

// What happens. The order is that of the page.
var (
	infoMetric = describe{"chancery_build_info", "gauge", []string{"version"}, "Always 1; the label names the running version.", nil}

	scepMessages = describe{"chancery_scep_messages_total", "counter", []string{"type", "result", "fail_info"},
		"SCEP messages by messageType, pkiStatus (success, pending, failure, or refused when no message could be answered) and failInfo.", nil}
	scepSeconds = describe{"chancery_scep_duration_seconds", "histogram", []string{"type"}, "Time from the first byte of a SCEP message to the last of its answer.", quick}

	proxied = describe{"chancery_scep_proxy_messages_total", "counter", []string{"authority", "operation", "result"},
		"Requests to the SCEP proxy by authority (empty before it is known), operation and result: success, pending, failure (pkiStatus), passed, repeated (the stored answer), error, or the reason of a refusal.", nil}
	proxySeconds = describe{"chancery_scep_proxy_duration_seconds", "histogram", []string{"authority", "operation"}, "Time to answer a request to the SCEP proxy, the server behind it included.", quick}

	enrollments = describe{"chancery_enrollments_total", "counter", []string{"door", "result"},
		"Certificate requests by the door they came through and what became of them when they were acted on: issued, pending, postponed, failed, refused.", nil}
	enrollSeconds = describe{"chancery_enrollment_duration_seconds", "histogram", []string{"door"}, "Time from asking to the recorded certificate, of requests answered while the asker waited.", quick}
	renewalSlack  = describe{"chancery_renewal_slack_seconds", "histogram", nil,
		"How long the replaced certificate was still valid when its successor was recorded. Small values are warnings.",
		[]float64{0, hour, 6 * hour, day, 3 * day, 7 * day, 14 * day, 30 * day, 60 * day, 90 * day}}

	calls       = describe{"chancery_authority_calls_total", "counter", []string{"authority", "result"}, "Calls to authorities by how they ended: ok, or the kind of error.", nil}
	callSeconds = describe{"chancery_authority_latency_seconds", "histogram", []string{"authority"}, "Time an authority took to answer.", slow}
	callWait    = describe{"chancery_authority_wait_seconds", "histogram", []string{"authority"}, "Time work waited for the rate and concurrency limits of an authority.", slow}
	inFlight    = describe{"chancery_authority_inflight", "gauge", []string{"authority"}, "Calls to an authority that are open now, from this node.", nil}

	revocations = describe{"chancery_revocations_total", "counter", []string{"authority", "reason"}, "Certificates revoked, put on hold or released one at a time, by reason. Those of a revocation of many, and of a device that left, are in the audit log.", nil}
	crlSeconds  = describe{"chancery_crl_duration_seconds", "histogram", []string{"authority"}, "Time to gather, sign and store a CRL.", slow}
	ocspAnswers = describe{"chancery_ocsp_responses_total", "counter", []string{"status"}, "OCSP answers by certificate status (good, revoked, unknown), or by error status.", nil}

	httpRequests = describe{"chancery_http_requests_total", "counter", []string{"listener", "route", "code"}, "HTTP requests by listener, route pattern and status class.", nil}
	httpSeconds  = describe{"chancery_http_request_duration_seconds", "histogram", []string{"listener", "route"}, "Time to answer an HTTP request.", quick}

	jobRuns    = describe{"chancery_job_runs_total", "counter", []string{"kind", "result"}, "Background jobs run on this node, by kind and outcome: done, again, failed.", nil}
	jobSeconds = describe{"chancery_job_duration_seconds", "histogram", []string{"kind"}, "Time a background job took.", slow}

	signins = describe{"chancery_signins_total", "counter", []string{"method", "result"}, "Attempts to sign in.", nil}
)

// happening lists the metrics above, for the page.
var happening = []describe{infoMetric, scepMessages, scepSeconds, proxied, proxySeconds, enrollments, enrollSeconds, renewalSlack, calls, callSeconds, callWait, inFlight,
	revocations, crlSeconds, ocspAnswers, httpRequests, httpSeconds, jobRuns, jobSeconds, signins}

// metrics are the instruments behind the descriptions.
type metrics struct {
	info, inFlight                                                                                       *prometheus.GaugeVec
	scep, proxied, enrollments, calls, revocations, ocsp, http, jobs, signins                            *prometheus.CounterVec
	proxySeconds, scepSeconds, enrollSeconds, slack, callSeconds, callWait, crl, httpSeconds, jobSeconds *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) metrics {
	counter := func(d describe) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.name, Help: d.help}, d.labels)
		r.MustRegister(v)
		return v
	}
	gauge := func(d describe) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: d.name, Help: d.help}, d.labels)
		r.MustRegister(v)
		return v
	}
	histogram := func(d describe) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: d.name, Help: d.help, Buckets: d.buckets}, d.labels)
		r.MustRegister(v)
		return v
	}
	return metrics{
		info: gauge(infoMetric), inFlight: gauge(inFlight),
		scep: counter(scepMessages), proxied: counter(proxied), proxySeconds: histogram(proxySeconds), enrollments: counter(enrollments), calls: counter(calls), revocations: counter(revocations),
		ocsp: counter(ocspAnswers), http: counter(httpRequests), jobs: counter(jobRuns), signins: counter(signins),
		scepSeconds: histogram(scepSeconds), enrollSeconds: histogram(enrollSeconds), slack: histogram(renewalSlack), callSeconds: histogram(callSeconds),
		callWait: histogram(callWait), crl: histogram(crlSeconds), httpSeconds: histogram(httpSeconds), jobSeconds: histogram(jobSeconds),
	}
}
