package console

import (
	"time"

	"chancery/internal/audit"
	"chancery/internal/ra"
)

// station is one stop of a life line: what happened or will happen, when, and
// by whom.
type station struct {
	Title string
	At    time.Time
	By    string
	Note  string
	URL   string
	Tone  string // good, bad, warn, calm
	Ahead bool   // not yet
}

// by names who did the first of some events.
func by(events []*ra.AuditEntry, codes ...string) string {
	e := event(events, codes...)
	if e == nil {
		return ""
	}
	if e.Actor.Via != "" {
		return e.Actor.Name + " over " + e.Actor.Via
	}
	return e.Actor.Name
}

func event(events []*ra.AuditEntry, codes ...string) *ra.AuditEntry {
	for _, e := range events {
		for _, code := range codes {
			if e.Code == code {
				return e
			}
		}
	}
	return nil
}

// certificateLife draws the life of a certificate from its row, its request and
// the record, and gives what is on record about it.
//
// One that was taken over (from) was issued before it came here.
func (v *visit) certificateLife(c *ra.Certificate, from *ra.ImportedFrom) ([]station, []*ra.AuditEntry, error) {
	events, err := v.Audit.About(v.ctx(), string(c.ID), 50)
	if err != nil {
		return nil, nil, err
	}
	var line []station
	if c.RequestID != "" {
		r, votes, err := v.Enroll.Request(v.ctx(), v.actor, c.RequestID)
		if err != nil && ra.KindOf(err) != ra.NotFound {
			return nil, nil, err
		}
		if err == nil {
			line = append(line, station{Title: "Requested", At: r.CreatedAt, By: actorWords(r.AskedBy), URL: "/requests/" + string(r.ID), Tone: "calm"})
			for _, a := range votes {
				line = append(line, station{Title: "Approved", At: a.At, By: a.By.Name, Note: clip(a.Comment, 80), Tone: "good"})
			}
		}
	}
	issued := station{Title: "Issued", At: c.CreatedAt, By: v.authorityLink(c.AuthorityID).Title, Tone: "good"}
	if from != nil {
		issued.At, issued.Note = c.NotBefore, "Without Chancery"
	}
	if line = append(line, issued); from != nil {
		line = append(line, station{Title: "Imported", At: from.At, URL: linked("", "/imports/", string(from.Run)).URL, Tone: "calm"})
	}
	if e := event(events, audit.KeyDownloaded); e != nil {
		line = append(line, station{Title: "Key taken", At: e.At, By: actorWords(e.Actor), Tone: "calm"})
	}
	if c.RenewedBy != "" {
		s := station{Title: "Renewed", URL: "/certificates/" + string(c.RenewedBy), Tone: "good", Note: "Replaced by a newer certificate"}
		if next, err := v.Lifecycle.Certificate(v.ctx(), v.actor, c.RenewedBy); err == nil {
			s.At = next.CreatedAt
		}
		line = append(line, s)
	}
	return append(line, v.lifeEnd(c, events)...), events, nil
}

// lifeEnd gives what ended a certificate, or what is still ahead of it.
func (v *visit) lifeEnd(c *ra.Certificate, events []*ra.AuditEntry) []station {
	switch c.State {
	case ra.Revoked:
		s := station{Title: "Revoked", At: c.RevokedAt, By: by(events, audit.CertificateRevoked, audit.CertificateRetired), Note: reasonWords[c.Reason], Tone: "bad"}
		if c.Action == ra.ActionRevoke {
			s.Note += ", the authority has not confirmed yet"
		}
		return []station{s}
	case ra.Expired:
		return []station{{Title: "Expired", At: c.NotAfter, Tone: "calm"}}
	case ra.OnHold:
		return []station{{Title: "On hold", At: c.RevokedAt, By: by(events, audit.CertificateHeld), Tone: "warn"}, {Title: "Expires", At: c.NotAfter, Ahead: true}}
	}
	var out []station
	switch c.Action {
	case ra.ActionRenew:
		out = append(out, station{Title: "Renewal", At: c.At, Note: "By itself", Ahead: true})
	case ra.ActionAwait:
		out = append(out, station{Title: "Renewal by the device", At: c.At, Note: "Expected by then", Ahead: true})
	case ra.ActionRetire:
		out = append(out, station{Title: "Retired", At: c.At, Note: "After the grace period", Ahead: true})
	}
	return append(out, station{Title: "Expires", At: c.NotAfter, Ahead: true})
}

func actorWords(a ra.Actor) string {
	if a.Via != "" {
		return a.Name + " over " + a.Via
	}
	return a.Name
}
