package chaos

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"chancery/internal/authority"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/store"
)

// ledger is all that a server's database says.
type ledger struct {
	certificates []*ra.Certificate
	requests     []*ra.Request
	byID         map[ra.CertificateID]*ra.Certificate
	byRequest    map[string]*ra.Certificate
	byKey        map[string][]*ra.Certificate
	bySerial     map[string]*ra.Certificate
	request      map[ra.RequestID]*ra.Request
}

func (w *World) read() (*ledger, error) {
	l := &ledger{byID: map[ra.CertificateID]*ra.Certificate{}, byRequest: map[string]*ra.Certificate{}, byKey: map[string][]*ra.Certificate{},
		bySerial: map[string]*ra.Certificate{}, request: map[ra.RequestID]*ra.Request{}}
	err := w.db.Read(context.Background(), func(tx *store.Tx) error {
		for after := ""; ; {
			list, next, err := tx.FindCertificates(store.CertificateFilter{OwnToo: true, Page: store.Page{Limit: store.MaxPage, After: after}})
			if err != nil {
				return err
			}
			l.certificates = append(l.certificates, list...)
			if after = next; next == "" {
				break
			}
		}
		for after := ""; ; {
			list, next, err := tx.FindRequests(store.RequestFilter{Page: store.Page{Limit: store.MaxPage, After: after}})
			if err != nil {
				return err
			}
			l.requests = append(l.requests, list...)
			if after = next; next == "" {
				return nil
			}
		}
	})
	for _, c := range l.certificates {
		l.byID[c.ID] = c
		l.byKey[c.SPKIHash] = append(l.byKey[c.SPKIHash], c)
		l.bySerial[c.Serial] = c
		if c.RequestID != "" {
			l.byRequest[string(c.RequestID)] = c
		}
	}
	for _, r := range l.requests {
		l.request[r.ID] = r
	}
	return l, err
}

// waiting says what is not at rest: requests on their way, and certificates
// whose next action is due.
func (w *World) waiting() (list []string, err error) {
	l, err := w.read()
	if err != nil {
		return nil, err
	}
	now := w.page.now()
	for _, r := range l.requests {
		if !enroll.Ended(r.State) {
			list = append(list, "request "+string(r.ID)+" is "+string(r.State)+", "+string(r.Action)+" at "+r.At.Format(time.RFC3339)+": "+r.LastError)
		}
	}
	for _, c := range l.certificates {
		if c.Action == ra.ActionRevoke || c.Action != ra.ActionNone && !c.At.After(now) {
			list = append(list, "certificate "+string(c.ID)+" is "+string(c.State)+", "+string(c.Action)+" at "+c.At.Format(time.RFC3339)+": "+c.LastError)
		}
	}
	live, err := w.jobs()
	return append(list, live...), err
}

// jobs lists the jobs about one request or certificate that have not ended. One
// that was given up after so many kills is put again while there is something
// left to do, which the rows tell; only what a cancelled request leaves behind
// has no row.
func (w *World) jobs() (list []string, err error) {
	rows, err := w.db.Pool().QueryContext(context.Background(), `SELECT kind, CAST(state AS TEXT), CAST(args AS TEXT) FROM river_job
		WHERE kind = 'enroll.abandon' AND CAST(state AS TEXT) <> 'completed'
		OR kind IN ('enroll.issue', 'lifecycle.act') AND CAST(state AS TEXT) NOT IN ('completed', 'cancelled', 'discarded')`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var kind, state, args string
		if err := rows.Scan(&kind, &state, &args); err != nil {
			return nil, err
		}
		list = append(list, "job "+kind+" "+args+" is "+state)
	}
	return list, rows.Err()
}

// audit draws up the ledger of a world at rest.
func (w *World) audit(ctx context.Context) error {
	l, err := w.read()
	if err != nil {
		return err
	}
	w.mu.Lock()
	holdings, here := slices.Clone(w.holdings), slices.Clone(w.here)
	w.mu.Unlock()
	known := map[string]bool{} // requests somebody was told about
	for _, h := range holdings {
		w.auditHolding(l, h, known)
	}
	for _, a := range here {
		w.auditHere(l, a, known)
	}
	w.auditRows(l, known)
	if err := w.auditSigned(l); err != nil {
		return err
	}
	if err := w.auditChallenges(l, holdings); err != nil {
		return err
	}
	w.auditRevoked(l, holdings)
	return w.db.Read(ctx, func(tx *store.Tx) error {
		report, err := tx.VerifyAudit(nil)
		if err == nil && (report.Broken != 0 || report.Entries == 0) {
			w.flaw("audit", "entry %d of %d is broken: %s", report.Broken, report.Entries, report.Problem)
		}
		return err
	})
}

// auditHolding holds a client's certificate against the rows.
func (w *World) auditHolding(l *ledger, h *holding, known map[string]bool) {
	rows := l.byKey[h.spki]
	if h.cert == nil {
		w.flaw("lost", "device %s never got a certificate for key %s; the inventory has %d", h.device, h.spki[:16], len(rows))
		return
	}
	switch {
	case len(rows) == 0:
		w.flaw("lost", "device %s holds serial %x, which the inventory does not know", h.device, h.cert.SerialNumber)
		return
	case len(rows) > 1:
		w.flaw("double", "key %s of device %s has %d certificates", h.spki[:16], h.device, len(rows))
	}
	if rows[0].Fingerprint != authority.Hash(h.cert.Raw) {
		w.flaw("double", "device %s holds another certificate for key %s than the inventory", h.device, h.spki[:16])
	}
	known[string(rows[0].RequestID)] = true
	if h.renews != nil {
		old := l.byKey[h.renews.spki]
		if len(old) == 1 && (rows[0].Renews != old[0].ID || old[0].RenewedBy == "") {
			w.flaw("lost", "certificate %s replaces %s, and one of them does not say so", rows[0].ID, old[0].ID)
		}
	}
}

// auditHere holds the answer to an ask under an idempotency key against the
// rows.
func (w *World) auditHere(l *ledger, a *hereAsk, known map[string]bool) {
	known[a.request] = true
	if a.cancelled {
		if c := l.byRequest[a.request]; c != nil && c.State != ra.Revoked {
			w.flaw("lost", "request %s was cancelled, and its certificate is %s", a.request, c.State)
		}
		return
	}
	if c := l.byRequest[a.request]; c == nil || string(c.ID) != a.cert {
		w.flaw("lost", "request %s of key %s was answered with certificate %s, and the inventory has another one or none", a.request, a.key, a.cert)
	}
}

// auditRows looks at what nobody outside was told of, or should not exist.
func (w *World) auditRows(l *ledger, known map[string]bool) {
	swept, successors := 0, map[ra.CertificateID]int{}
	for _, r := range l.requests {
		switch {
		case r.State == ra.Issued && l.byRequest[string(r.ID)] == nil:
			w.flaw("lost", "request %s is issued without a certificate", r.ID)
		case r.State == ra.Failed || r.State == ra.DeniedState:
			w.flaw("refused", "request %s is %s: %s", r.ID, r.State, r.Reason)
		case r.Door == "renewal" && r.State == ra.Issued:
			swept++
		case r.State == ra.Issued && !known[string(r.ID)]:
			w.flaw("lost", "request %s from %s was issued and nobody was told", r.ID, r.Door)
		}
		if r.Renews != "" && r.State == ra.Issued {
			successors[r.Renews]++
		}
	}
	w.report.mu.Lock()
	w.report.swept = max(w.report.swept, swept)
	w.report.mu.Unlock()
	owners := map[string]int{}
	for _, c := range l.certificates {
		if n := successors[c.ID]; n > 1 {
			w.flaw("double", "certificate %s was renewed %d times", c.ID, n)
		}
		if (c.State == ra.Valid || c.State == ra.Superseded || c.State == ra.OnHold) && (c.Action == ra.ActionNone || c.At.IsZero() || c.Deadline.IsZero()) {
			w.flaw("obligation", "certificate %s is %s and has no next action: %+v", c.ID, c.State, c.Obligation)
		}
		if c.Purpose != ra.PurposeLeaf && c.State == ra.Valid {
			owners[string(c.AuthorityID)+string(c.Purpose)]++
		}
	}
	for owner, n := range owners {
		if n > 1 {
			w.flaw("double", "the server has %d certificates of its own for %s", n, owner)
		}
	}
}

// auditSigned holds what the authorities signed against the rows: the journal
// of the embedded ones, the ledger of the one outside.
func (w *World) auditSigned(l *ledger) error {
	box, err := seal.Open(w.nodes[0].MasterKey)
	if err != nil {
		return err
	}
	rows, err := w.db.Pool().QueryContext(context.Background(), "SELECT authority_id, entry_key, value FROM journal WHERE entry_key LIKE 'issue/%'")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, key string
		var sealed []byte
		if err := rows.Scan(&id, &key, &sealed); err != nil {
			return err
		}
		plain, err := box.Open("journal", id, key, sealed)
		if err != nil {
			return err
		}
		var signed struct{ Serial string }
		if err := json.Unmarshal(plain, &signed); err != nil {
			return err
		}
		w.auditOne(l, strings.TrimPrefix(key, "issue/"), strings.ToLower(signed.Serial))
	}
	if err := rows.Err(); err != nil {
		return err
	}
	outside, err := w.outside.Signed()
	if err != nil {
		return err
	}
	for id, certs := range outside {
		if len(certs) > 1 {
			w.flaw("double", "the authority outside signed %d certificates for %s", len(certs), id)
		}
		for _, c := range certs {
			w.auditOne(l, id, enroll.Serial(c))
		}
	}
	return nil
}

func (w *World) auditOne(l *ledger, request, serial string) {
	c := l.bySerial[serial]
	switch {
	case c == nil:
		w.flaw("lost", "an authority signed serial %s for %s, which the inventory does not know", serial, request)
	case string(c.RequestID) != request && !strings.HasPrefix(request, "own_"):
		w.flaw("double", "serial %s was signed for %s and is in the inventory for %s", serial, request, c.RequestID)
	}
}

// auditChallenges: each challenge was used by the one certificate it led to.
func (w *World) auditChallenges(l *ledger, holdings []*holding) error {
	return w.db.Read(context.Background(), func(tx *store.Tx) error {
		for _, h := range holdings {
			if h.challenge == "" || h.cert == nil {
				continue
			}
			c, err := tx.Challenge(ra.ChallengeID(h.challenge))
			if err != nil {
				return err
			}
			if rows := l.byKey[h.spki]; c.Uses != 1 || len(rows) > 0 && c.RequestID != rows[0].RequestID {
				w.flaw("double", "challenge %s was used %d times, last for %s", c.ID, c.Uses, c.RequestID)
			}
		}
		return nil
	})
}

// auditRevoked: rows, the authority outside and clients agree on what is
// revoked.
func (w *World) auditRevoked(l *ledger, holdings []*holding) {
	for _, h := range holdings {
		rows := l.byKey[h.spki]
		if h.cert == nil || len(rows) != 1 {
			continue
		}
		if c := rows[0]; (h.state == ra.Revoked || h.state == ra.OnHold) && c.State != h.state {
			w.flaw("revocation", "certificate %s is %s, and its client was told %s", c.ID, c.State, h.state)
		}
	}
	outside := w.outside.Revoked()
	for _, c := range l.certificates {
		if c.AuthorityID != ra.AuthorityID(w.places[1].authority) {
			continue
		}
		reason, there := outside[c.Serial]
		if here := c.State == ra.Revoked || c.State == ra.OnHold; here != there || there && (reason == ra.CertificateHold) != (c.State == ra.OnHold) {
			w.flaw("revocation", "certificate %s is %s, and at the authority outside revoked=%v (%s)", c.ID, c.State, there, reason)
		}
	}
}
