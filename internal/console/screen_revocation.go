package console

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"chancery/internal/store"
)

// revocationsView lists the revocations of many certificates.
type revocationsView struct {
	Lines   []revocationLine
	Running bool
	Limit   int // of what one action revokes at once, without the background
	CLI     []string
}

// revocationLine is a revocation of many with how far it has come.
type revocationLine struct {
	*store.Bulk
	What   string // the filter, in words
	State  string
	Looked int64 // certificates that were looked at so far
}

var revocationsPage = view[revocationsView]("revocations")

func (d revocationsView) refreshAfter() int {
	if d.Running {
		return 3
	}
	return 0
}

func (v *visit) revocations() error {
	list, err := v.Lifecycle.Bulks(v.ctx(), v.actor)
	if err != nil {
		return err
	}
	data := revocationsView{Limit: maxBulk, CLI: []string{"chancery revocation list", "chancery revocation order --template TEMPLATE --dry-run"}}
	for _, b := range list {
		l := v.revocationLine(b)
		data.Running = data.Running || b.EndedAt.IsZero()
		data.Lines = append(data.Lines, l)
	}
	return revocationsPage.show(v, http.StatusOK, data)
}

func (v *visit) revocationLine(b *store.Bulk) revocationLine {
	l := revocationLine{Bulk: b, What: v.filterWords(b.Filter), State: "under way", Looked: b.Revoked + b.Skipped + b.Failed}
	switch {
	case b.EndedAt.IsZero():
	case b.Failed > 0:
		l.State = "some failed"
	default:
		l.State = "done"
	}
	return l
}

// filterWords says what a filter of certificates lets through.
func (v *visit) filterWords(f store.CertificateFilter) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if f.Text != "" {
		add("matching “%s”", clip(f.Text, 60))
	}
	var states []string
	for _, s := range f.States {
		states = append(states, strings.ToLower(badgeOf(string(s)).Word))
	}
	if slices.Sort(states); len(states) > 0 && len(states) < 3 { // three: all that can be revoked
		add("%s", strings.Join(states, " or "))
	}
	for _, one := range []struct {
		noun string
		link link
	}{{"template", v.templateLink(f.Template)}, {"authority", v.authorityLink(f.Authority)}, {"device", v.deviceLink(f.Device)}, {"user", v.userLink(f.User)}} {
		if one.link.Title != "" {
			add("%s %s", one.noun, one.link.Title)
		}
	}
	if f.Imported != nil {
		add("%s", map[bool]string{true: "imported", false: "issued here"}[*f.Imported])
	}
	if f.Serial != "" {
		add("serial %s", f.Serial)
	}
	if f.SPKIHash != "" {
		add("one key")
	}
	if !f.ExpiresAfter.IsZero() {
		add("ending after %s", f.ExpiresAfter.UTC().Format("2006-01-02 15:04"))
	}
	if !f.ExpiresBefore.IsZero() {
		add("ending before %s", f.ExpiresBefore.UTC().Format("2006-01-02 15:04"))
	}
	if len(parts) == 0 {
		return "everything in use"
	}
	return strings.Join(parts, ", ")
}

// ReasonWords are the reason and the comment of a revocation.
func (l revocationLine) ReasonWords() string {
	if l.Comment == "" {
		return l.Reason.String()
	}
	return l.Reason.String() + ": " + l.Comment
}

// revocationView is one of them, while it goes on and after it.
type revocationView struct {
	revocationLine
	Left int64 // not looked at yet
	Done bool
	CLI  []string
}

var revocationPage = view[revocationView]("revocation")

func (d revocationView) refreshAfter() int {
	if d.Done {
		return 0
	}
	return 2
}

func (v *visit) revocation() error {
	b, err := v.Lifecycle.Bulk(v.ctx(), v.actor, id[store.BulkID](v))
	if err != nil {
		return err
	}
	l := v.revocationLine(b)
	return revocationPage.show(v, http.StatusOK, revocationView{revocationLine: l, Left: max(b.Total-l.Looked, 0), Done: !b.EndedAt.IsZero(), CLI: []string{"chancery revocation show " + string(b.ID)}})
}
