package store

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"chancery/internal/ra"
)

// ObligationFilter narrows the list of what waits.
type ObligationFilter struct {
	Groups    []ra.GroupID // any of these; nil: all
	Authority ra.AuthorityID
	Action    ra.Action
	LateOnly  bool      // past the deadline
	DueBefore time.Time // zero: no limit
	Page
}

// waitingRow is what rows that wait have in common.
type waitingRow struct {
	ID          string `db:"id"`
	Kind        string `db:"kind"`
	Title       string `db:"title"`
	GroupID     string `db:"group_id"`
	AuthorityID string `db:"authority_id"`
	DeviceID    string `db:"device_id"`
	obligationRow
}

// The tables of rows that wait. Publications and keys that are
// delivered go by the IDs of their certificates.
const (
	waitingRequests     = "(SELECT 'request' AS kind, subject AS title, r.* FROM requests AS r) AS waiting"
	waitingCertificates = "(SELECT 'certificate' AS kind, subject AS title, c.* FROM certificates AS c) AS waiting"
	waitingPasses       = "(SELECT 'pass' AS kind, subject AS title, p.* FROM passes AS p) AS waiting"
	waitingPublications = "(SELECT 'publication' AS kind, subject AS title, certificate_id AS id, group_id, authority_id, device_id, next_action, next_action_at, deadline_at, attempts, last_error, escalated_at FROM publications) AS waiting"
	waitingKeys         = "(SELECT 'key_delivery' AS kind, subject AS title, certificate_id AS id, group_id, authority_id, device_id, next_action, next_action_at, deadline_at, attempts, last_error, escalated_at FROM key_deliveries) AS waiting"
	waitingDirectories  = "(SELECT 'directory' AS kind, d.name AS title, d.group_id, '' AS authority_id, '' AS device_id, s.* FROM directory_states AS s JOIN directories AS d ON d.id = s.id) AS waiting"
	waitingPostures     = "(SELECT 'posture' AS kind, a.name AS title, a.group_id, p.id AS authority_id, '' AS device_id, p.* FROM postures AS p JOIN authorities AS a ON a.id = p.id WHERE NOT a.disabled) AS waiting"
	waitingImports      = "(SELECT 'ca_import' AS kind, a.name AS title, a.group_id, i.id, i.id AS authority_id, '' AS device_id, i.next_action, i.next_action_at, i.deadline_at, i.attempts, i.last_error, i.escalated_at FROM ca_imports AS i JOIN authorities AS a ON a.id = i.id WHERE NOT a.disabled) AS waiting"
	waitingDangers      = "(SELECT 'danger' AS kind, a.group_id, '' AS device_id, d.* FROM dangers AS d JOIN authorities AS a ON a.id = d.authority_id WHERE NOT a.disabled) AS waiting"
)

// byDue is the order of what waits.
var byDue = sorting{"": {"next_action_at", false}}

// FindObligations lists everything that waits, what is due first on top.
func (tx *Tx) FindObligations(f ObligationFilter) ([]ra.ObligationRow, string, error) {
	o, err := byDue.pick(f.Sort)
	if err != nil {
		return nil, "", err
	}
	w := &where{}
	if err := errors.Join(tx.scope(w, f.Groups), after[waitingRow](w, f.Page, o)); err != nil {
		return nil, "", err
	}
	w.conditions = append(w.conditions, condition{text: "next_action <> ''", guard: true})
	if f.LateOnly {
		w.conditions = append(w.conditions, condition{text: "deadline_at > 0", guard: true})
		w.span("deadline_at", 1, millis(tx.Now)-1)
	}
	if !f.DueBefore.IsZero() {
		w.add("next_action_at < ?", millis(f.DueBefore))
	}
	requests, err := tx.dueRequests(w, f, o)
	if err != nil {
		return nil, "", err
	}
	certificates, err := tx.dueCertificates(w, f, o)
	if err != nil {
		return nil, "", err
	}
	passes, err := tx.dueFew(waitingPasses, w, f, o)
	if err != nil {
		return nil, "", err
	}
	rows := slices.Concat(requests, certificates, passes)
	for _, few := range []string{waitingPublications, waitingKeys, waitingDirectories, waitingPostures, waitingDangers, waitingImports} {
		found, err := tx.dueFew(few, w, f, o)
		if err != nil {
			return nil, "", err
		}
		rows = append(rows, found...)
	}
	slices.SortFunc(rows, func(a, b *waitingRow) int {
		if o.desc {
			a, b = b, a
		}
		return cmp.Or(cmp.Compare(a.NextActionAt, b.NextActionAt), cmp.Compare(a.ID, b.ID))
	})
	rows = rows[:min(len(rows), f.limit()+1)]
	next := rest(&rows, f.Page, o)
	out := make([]ra.ObligationRow, len(rows))
	for i, r := range rows {
		out[i] = ra.ObligationRow{Obligation: r.obligationRow.noun(), Kind: r.Kind, ID: r.ID, Title: r.Title,
			GroupID: ra.GroupID(r.GroupID), Authority: ra.AuthorityID(r.AuthorityID), Device: ra.DeviceID(r.DeviceID)}
	}
	return out, next, nil
}

// dueCertificates gives the certificates among the first of what waits: each
// next action has them in order.
func (tx *Tx) dueCertificates(w *where, f ObligationFilter, o order) ([]*waitingRow, error) {
	w = &where{conditions: slices.Clone(w.conditions)}
	w.equal("authority_id", string(f.Authority))
	if f.Action != "" {
		w.equal("next_action", string(f.Action))
	} else {
		actions, err := tx.actions()
		if err != nil {
			return nil, err
		}
		w.in("next_action", actions)
	}
	w.led, w.order = !tx.e.remote, o.column
	ways, _, err := tx.choose("certificates", waitingLeads, w, o, 1)
	if err != nil {
		return nil, err
	}
	return sorted[waitingRow](tx, waitingCertificates, "certificates", w, ways, o, f.limit()+1)
}

// actions are the next actions that certificates have, skipping from one to the
// next in the index.
func (tx *Tx) actions() (list []string, err error) {
	for last := ""; ; {
		var next []string
		if err := tx.x.SelectContext(tx.ctx, &next, "SELECT next_action FROM certificates WHERE next_action <> '' AND next_action > $1 ORDER BY next_action LIMIT 1", last); err != nil || len(next) == 0 {
			return list, err
		}
		last = next[0]
		list = append(list, last)
	}
}

// dueRequests gives the requests among the first of what waits: each authority
// and line has them in order.
func (tx *Tx) dueRequests(w *where, f ObligationFilter, o order) ([]*waitingRow, error) {
	w = &where{conditions: slices.Clone(w.conditions), led: !tx.e.remote, lead: []string{"authority_id"}, order: o.column}
	w.equal("next_action", string(f.Action))
	authorities := []string{string(f.Authority)}
	if f.Authority == "" {
		if err := tx.x.SelectContext(tx.ctx, &authorities, "SELECT id FROM authorities LIMIT $1", mostStretches/2+1); err != nil {
			return nil, err
		}
	}
	if len(authorities) == 0 {
		return nil, nil
	}
	var ways []*where
	for _, line := range []Line{NewLine, RenewalLine} {
		one := w
		if len(authorities) <= mostStretches/2 {
			one = &where{conditions: slices.Clone(w.conditions), led: w.led, lead: w.lead, order: w.order}
			one.in("authority_id", authorities)
			one.add(string(line))
			ways = append(ways, stretches(lead{columns: w.lead}, one)...)
			continue
		}
		one = &where{conditions: slices.Clone(w.conditions), led: w.led, order: w.order}
		one.add(string(line))
		ways = append(ways, one)
	}
	return sorted[waitingRow](tx, waitingRequests, "requests", w, ways, o, f.limit()+1)
}

// dueFew gives the rows of a kind of which few wait, among the first of what
// waits: their index has them in order.
func (tx *Tx) dueFew(from string, w *where, f ObligationFilter, o order) ([]*waitingRow, error) {
	w = &where{conditions: slices.Clone(w.conditions), led: !tx.e.remote, order: o.column}
	w.equal("authority_id", string(f.Authority))
	w.equal("next_action", string(f.Action))
	return sorted[waitingRow](tx, from, "", w, nil, o, f.limit()+1)
}

// NextDue gives when the earliest waiting row is due; the zero time when
// nothing waits for the planner.
func (tx *Tx) NextDue() (time.Time, error) {
	o := order{column: "next_action_at"}
	w := &where{conditions: []condition{{text: "next_action <> ''", guard: true}}}
	f := ObligationFilter{Page: Page{Limit: 1}}
	requests, err := tx.dueRequests(w, f, o)
	if err != nil {
		return time.Time{}, err
	}
	certificates, err := tx.dueCertificates(w, f, o)
	var first int64
	for _, r := range append(requests, certificates...) {
		if first == 0 || r.NextActionAt < first {
			first = r.NextActionAt
		}
	}
	return instant(first), err
}

// ExpiryBucket counts certificates that end on one day and who renews them.
type ExpiryBucket struct {
	AuthorityID string
	Day         int64 // days from today, 0 = today; days are those of UTC
	Action      string
	N           int64
}

// ExpiryCalendar counts, per authority and day of UTC, the certificates in use
// that end today or on one of the days that follow, so many in all. For all
// groups that is a look at kept sums.
func (tx *Tx) ExpiryCalendar(groups []ra.GroupID, days int) ([]ExpiryBucket, error) {
	all, err := tx.everywhere(groups)
	if err != nil {
		return nil, err
	}
	today := millis(tx.Now) / dayMillis
	var out []ExpiryBucket
	if all {
		out, err = tx.endsOf(today, days)
	} else {
		out, err = tx.endsIn(groups, today, days)
	}
	slices.SortFunc(out, func(a, b ExpiryBucket) int {
		return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.AuthorityID, b.AuthorityID), cmp.Compare(a.Action, b.Action))
	})
	return out, err
}

// endsOf reads the sums of the coming days.
func (tx *Tx) endsOf(today int64, days int) ([]ExpiryBucket, error) {
	var rows []tallyRow
	err := tx.x.SelectContext(tx.ctx, &rows, "SELECT authority_id, item, n FROM tallies WHERE kind = $1 AND group_id = '' AND item >= $2 AND item < $3 AND n > 0",
		byEnd, endItem(today, ""), endItem(today+int64(days), ""))
	out := make([]ExpiryBucket, len(rows))
	for i, r := range rows {
		digits, action, _ := strings.Cut(r.Item, " ")
		day, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return nil, err
		}
		out[i] = ExpiryBucket{r.AuthorityID, day - today, action, r.N}
	}
	return out, err
}

// tallyRow is a sum of byEnd.
type tallyRow struct {
	AuthorityID string `db:"authority_id"`
	Item        string `db:"item"`
	N           int64  `db:"n"`
}

// rowPerEntry is how many entries of an index are passed in the time in which a
// row is looked at.
const rowPerEntry = 6

// endsIn counts the certificates of some groups: those in the groups when they
// are few, else those that end in the span.
func (tx *Tx) endsIn(groups []ra.GroupID, today int64, days int) ([]ExpiryBucket, error) {
	w := &where{}
	within(w, "group_id", groups)
	w.in("state", toStrings([]ra.CertificateState{ra.Valid, ra.OnHold}))
	w.span("not_after", today*dayMillis, (today+int64(days))*dayMillis-1)
	if !tx.e.remote {
		inSpan, err := tx.endsOf(today, days)
		if err != nil {
			return nil, err
		}
		inGroups, err := tx.CountCertificates(CertificateFilter{Groups: groups, OwnToo: true})
		if err != nil {
			return nil, err
		}
		var entries, rows int64
		for _, b := range inSpan {
			entries += b.N
		}
		for _, k := range inGroups {
			rows += k.N
		}
		if w.led, w.lead = true, []string{"state", "not_after"}; rows*rowPerEntry < entries {
			w.lead = []string{"group_id"}
		}
	}
	q, args := tx.statement(w, "SELECT authority_id, not_after / 86400000 AS day, next_action, count(*) AS n FROM certificates")
	var rows []struct {
		AuthorityID string `db:"authority_id"`
		Day         int64  `db:"day"`
		NextAction  string `db:"next_action"`
		N           int64  `db:"n"`
	}
	err := tx.x.SelectContext(tx.ctx, &rows, q+" GROUP BY authority_id, day, next_action", args...)
	out := make([]ExpiryBucket, len(rows))
	for i, r := range rows {
		out[i] = ExpiryBucket{r.AuthorityID, r.Day - today, r.NextAction, r.N}
	}
	return out, err
}
