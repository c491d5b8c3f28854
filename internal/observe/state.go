package observe

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// State is how things stand, for the metrics that nobody tells.
type State struct {
	Authorities []AuthorityState
	CRLs        []CRLState
	Own         []OwnState
	// Late counts what is past its deadline, by kind of row.
	Late map[string]int64
	// Audit is how many entries the audit log has.
	Audit int64
}

// AuthorityState is one authority and what hangs on it.
type AuthorityState struct {
	Name         string
	Up           bool             // switched on and its settings open
	Certificates map[string]int64 // by state
	Expiring     map[int]int64    // by days from now: how many in use end within that
	Requests     map[string]int64 // that wait, by state
	Due          int64            // renewals whose time has come
	Late         int64            // renewals past their deadline
	Failing      int64            // renewals whose last attempt failed
	NotAfter     time.Time        // end of its signing certificate; zero when unknown
}

// CRLState is one published CRL.
type CRLState struct {
	Authority  string
	Issuer     string // first digits of the issuer's key hash
	Shard      string // empty: the complete one
	Number     int64
	NextUpdate time.Time
	Stale      bool
}

// OwnState is one of the server's own certificates.
type OwnState struct {
	Authority string
	Purpose   string
	NotAfter  time.Time
}

// ExpiringDays are the spans in which endings are counted.
var ExpiringDays = []int{1, 7, 14, 30, 60, 90}

// stateFor is how long a State is told again without asking.
const stateFor = 30 * time.Second

// askFor bounds one look at the State.
const askFor = 20 * time.Second

// How things stand. The order is that of the page.
var (
	stateAge    = describe{"chancery_state_age_seconds", "gauge", nil, "How old the values below are; they are asked for at most every 30 seconds.", nil}
	stateErrors = describe{"chancery_state_errors_total", "counter", nil, "Times the values below could not be read. They are left out then.", nil}

	certificates  = describe{"chancery_certificates", "gauge", []string{"authority", "state"}, "Certificates in the inventory.", nil}
	expiring      = describe{"chancery_certificates_expiring", "gauge", []string{"authority", "within_days"}, "Certificates in use that end within so many days and have no successor yet.", nil}
	requests      = describe{"chancery_requests_waiting", "gauge", []string{"authority", "state"}, "Certificate requests that wait, by state.", nil}
	due           = describe{"chancery_renewals_due", "gauge", []string{"authority"}, "Renewals whose time has come.", nil}
	late          = describe{"chancery_renewals_late", "gauge", []string{"authority"}, "Renewals past their deadline. People should hear of each.", nil}
	blocked       = describe{"chancery_renewals_blocked", "gauge", []string{"authority"}, "Renewals whose last attempt failed.", nil}
	obligations   = describe{"chancery_obligations_late", "gauge", []string{"kind"}, "Everything that is past its deadline, by kind: request, certificate.", nil}
	up            = describe{"chancery_authority_up", "gauge", []string{"authority"}, "1 when the authority is switched on and its settings can be opened.", nil}
	authorityEnd  = describe{"chancery_authority_not_after_timestamp_seconds", "gauge", []string{"authority"}, "End of the authority's signing certificate.", nil}
	ownEnd        = describe{"chancery_own_certificate_not_after_timestamp_seconds", "gauge", []string{"authority", "purpose"}, "End of a certificate of the server's own: SCEP RA, OCSP signer.", nil}
	crlNextUpdate = describe{"chancery_crl_next_update_timestamp_seconds", "gauge", []string{"authority", "issuer", "shard"}, "When a published CRL ends.", nil}
	crlNumber     = describe{"chancery_crl_number", "gauge", []string{"authority", "issuer", "shard"}, "Number of a published CRL.", nil}
	crlStale      = describe{"chancery_crl_stale", "gauge", []string{"authority", "issuer", "shard"}, "1 when something was revoked since the CRL was made; whoever asks next gets a new one.", nil}
	auditEntries  = describe{"chancery_audit_entries", "gauge", nil, "Entries of the audit log.", nil}
)

// standing lists the metrics above, for the page.
var standing = []describe{stateAge, stateErrors, certificates, expiring, requests, due, late, blocked, obligations, up, authorityEnd, ownEnd,
	crlNextUpdate, crlNumber, crlStale, auditEntries}

// stateCollector asks for the State when metrics are read.
type stateCollector struct {
	ask func(context.Context) (State, error)
	now func() time.Time
	log *slog.Logger

	mu     sync.Mutex
	known  State
	at     time.Time // of known; zero: nothing is known
	errors float64
}

// Describe sends nothing: which series there are depends on the State.
func (c *stateCollector) Describe(chan<- *prometheus.Desc) {}

// Collect tells the State, which it asks for when what it knows is too old.
func (c *stateCollector) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if age := now.Sub(c.at); c.at.IsZero() || age >= stateFor || age < 0 {
		ctx, cancel := context.WithTimeout(context.Background(), askFor)
		s, err := c.ask(ctx)
		cancel()
		c.known, c.at = s, now
		if err != nil {
			c.log.Error("the state for the metrics cannot be read", "error", err)
			c.at, c.errors = time.Time{}, c.errors+1
		}
	}
	tell := func(d describe, value float64, labels ...string) {
		kind := prometheus.GaugeValue
		if d.kind == "counter" {
			kind = prometheus.CounterValue
		}
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(d.name, d.help, d.labels, nil), kind, value, labels...)
	}
	tell(stateErrors, c.errors)
	if c.at.IsZero() {
		return
	}
	tell(stateAge, now.Sub(c.at).Seconds())
	tell(auditEntries, float64(c.known.Audit))
	for kind, n := range c.known.Late {
		tell(obligations, float64(n), kind)
	}
	for _, a := range c.known.Authorities {
		a.tell(tell)
	}
	for _, l := range c.known.CRLs {
		tell(crlNextUpdate, seconds(l.NextUpdate), l.Authority, l.Issuer, l.Shard)
		tell(crlNumber, float64(l.Number), l.Authority, l.Issuer, l.Shard)
		tell(crlStale, truth(l.Stale), l.Authority, l.Issuer, l.Shard)
	}
	for _, o := range c.known.Own {
		tell(ownEnd, seconds(o.NotAfter), o.Authority, o.Purpose)
	}
}

func (a AuthorityState) tell(tell func(d describe, value float64, labels ...string)) {
	for state, n := range a.Certificates {
		tell(certificates, float64(n), a.Name, state)
	}
	for _, days := range ExpiringDays {
		tell(expiring, float64(a.Expiring[days]), a.Name, strconv.Itoa(days))
	}
	for state, n := range a.Requests {
		tell(requests, float64(n), a.Name, state)
	}
	tell(due, float64(a.Due), a.Name)
	tell(late, float64(a.Late), a.Name)
	tell(blocked, float64(a.Failing), a.Name)
	tell(up, truth(a.Up), a.Name)
	if !a.NotAfter.IsZero() {
		tell(authorityEnd, seconds(a.NotAfter), a.Name)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
