package observe

import (
	"time"

	"chancery/internal/ra"
)

// SCEP tells of one answered SCEP message. kind is the name of the messageType
// or empty, failInfo the name of the failInfo or empty.
func (o *Observer) SCEP(kind, result, failInfo string, took time.Duration) {
	if o == nil {
		return
	}
	o.m.scep.WithLabelValues(kind, result, failInfo).Inc()
	o.m.scepSeconds.WithLabelValues(kind).Observe(took.Seconds())
}

// SCEPProxied tells of one answered request to the SCEP proxy. authority is the
// name of the one behind it, or empty while that is not known.
func (o *Observer) SCEPProxied(authority, operation, result string, took time.Duration) {
	if o == nil {
		return
	}
	o.m.proxied.WithLabelValues(authority, operation, result).Inc()
	o.m.proxySeconds.WithLabelValues(authority, operation).Observe(took.Seconds())
}

// Enrolled tells what became of a certificate request that was acted on.
// waited is how long its asker waited; 0 when nobody did.
func (o *Observer) Enrolled(door, result string, waited time.Duration) {
	if o == nil {
		return
	}
	o.m.enrollments.WithLabelValues(door, result).Inc()
	if waited > 0 {
		o.m.enrollSeconds.WithLabelValues(door).Observe(waited.Seconds())
	}
}

// Renewed tells how long a replaced certificate was still valid; less than
// nothing when it was not.
func (o *Observer) Renewed(slack time.Duration) {
	if o == nil {
		return
	}
	o.m.slack.WithLabelValues().Observe(slack.Seconds())
}

// Calling tells that work waited for an authority's limits and that its call
// begins now; the returned function tells how it ended.
func (o *Observer) Calling(authority string, waited time.Duration) func(err error) {
	if o == nil {
		return func(error) {}
	}
	o.m.callWait.WithLabelValues(authority).Observe(waited.Seconds())
	open := o.m.inFlight.WithLabelValues(authority)
	open.Inc()
	began := time.Now()
	return func(err error) {
		open.Dec()
		o.m.callSeconds.WithLabelValues(authority).Observe(time.Since(began).Seconds())
		result := "ok"
		if err != nil {
			result = string(ra.KindOf(err))
		}
		o.m.calls.WithLabelValues(authority, result).Inc()
	}
}

// Revoked tells of a revocation, a hold or its end.
func (o *Observer) Revoked(authority, reason string) {
	if o == nil {
		return
	}
	o.m.revocations.WithLabelValues(authority, reason).Inc()
}

// CRL tells that a CRL was made.
func (o *Observer) CRL(authority string, took time.Duration) {
	if o == nil {
		return
	}
	o.m.crl.WithLabelValues(authority).Observe(took.Seconds())
}

// OCSP tells of an answer of the responder.
func (o *Observer) OCSP(status string) {
	if o == nil {
		return
	}
	o.m.ocsp.WithLabelValues(status).Inc()
}

// Job tells that a background job ended: done, again or failed.
func (o *Observer) Job(kind, result string, took time.Duration) {
	if o == nil {
		return
	}
	o.m.jobs.WithLabelValues(kind, result).Inc()
	o.m.jobSeconds.WithLabelValues(kind).Observe(took.Seconds())
}

// SignIn tells of an attempt to sign in: ok or refused.
func (o *Observer) SignIn(method, result string) {
	if o == nil {
		return
	}
	o.m.signins.WithLabelValues(method, result).Inc()
}
