package guard

import (
	"fmt"
	"slices"
	"strings"

	"chancery/internal/adpki"
)

// view answers what several checks ask of the input.
type view struct{ Input }

// class says how far somebody is trusted here.
func (v *view) class(sid string) adpki.Class {
	switch {
	case slices.Contains(v.Trust.Large, sid):
		return adpki.Broad
	case slices.Contains(v.Trust.Admins, sid):
		return adpki.Admin
	}
	class := adpki.Classify(sid)
	if class == adpki.Other && slices.ContainsFunc(v.Directory.Privileged, func(p adpki.Privileged) bool { return p.SID == sid }) {
		return adpki.Operator // the directory protects the account: an administrator's, or once one's
	}
	return class
}

// audience is who can do something, by how far they are trusted.
// Administrators are left out.
type audience struct {
	broad, others, operators []adpki.Holder
	own                      bool // our service account itself
}

func (v *view) audience(holders []adpki.Holder) audience {
	var a audience
	for _, h := range holders {
		switch class := v.class(h.SID); {
		case v.Directory.Account.Is(h.SID):
			a.own = true
		case class == adpki.Admin:
		case class == adpki.Broad:
			a.broad = append(a.broad, h)
		case class == adpki.Operator:
			a.operators = append(a.operators, h)
		default:
			a.others = append(a.others, h)
		}
	}
	return a
}

// strangers are those who decide the severity: the many, else the few.
func (a audience) strangers() []adpki.Holder { return append(slices.Clone(a.broad), a.others...) }

// people gives names to holders.
func (v *view) people(holders []adpki.Holder) []adpki.Principal {
	var list []adpki.Principal
	for _, h := range holders {
		p, ok := v.Directory.Names[h.SID]
		if !ok {
			p = adpki.Principal{SID: h.SID, Name: v.Directory.Name(h.SID)}
		}
		list = append(list, p)
	}
	return list
}

// list writes the names for a sentence: a, b and c, with what they hold a right
// by when how is set.
func (v *view) list(holders []adpki.Holder, how bool) string {
	var parts []string
	for _, h := range holders {
		text := v.Directory.Name(h.SID)
		if h.Unsure {
			text += " (under a condition)"
		}
		if how {
			text += " " + and(h.How)
		}
		parts = append(parts, text)
	}
	if how {
		return strings.Join(parts, "; ")
	}
	return and(parts)
}

func and(parts []string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:len(parts)-1], ", ") + " and " + parts[len(parts)-1]
}

// few is and for the first five.
func few(parts []string) string {
	if len(parts) > 5 {
		return strings.Join(parts[:5], ", ") + fmt.Sprintf(" and %d more", len(parts)-5)
	}
	return and(parts)
}

// unread gives a finding for each gap of a part, so that nothing that was not
// seen counts as not found.
func (v *view) unread(id string, parts ...adpki.Part) []Finding {
	var list []Finding
	for _, g := range v.Directory.Gaps {
		if !slices.Contains(parts, g.Part) {
			continue
		}
		object := g.Object
		if object == "" {
			object = string(g.Part)
		}
		list = append(list, unreadable(id, object, g.Why))
	}
	return list
}

// hidden is the finding for an object whose access list is not shown.
func hidden(id string, o *adpki.Object) Finding {
	f := unreadable(id, o.Name, o.Hidden+".")
	f.Key = id + ":unread:" + o.GUID
	return f
}

func unreadable(id, object, why string) Finding {
	if why == "" {
		why = "nobody asked."
	}
	return Finding{
		Key: id + ":unread:" + strings.ToLower(object), State: Unreadable, Object: object, Sentence: fmt.Sprintf("%s could not be judged: %s", object, why),
		Remedy: "Give the account that reads the directory, or the authority, the right to read this, then evaluate again.",
	}
}
