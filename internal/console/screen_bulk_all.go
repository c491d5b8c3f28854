package console

import (
	"net/url"

	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/store"
)

// bulkFilter is the filter of the list that somebody wants revoked. What cannot
// be read finds nothing: chosen has said so before.
func (v *visit) bulkFilter(posted url.Values) store.CertificateFilter {
	q, err := url.ParseQuery(posted.Get("filter"))
	if err != nil {
		return store.CertificateFilter{Groups: []ra.GroupID{}}
	}
	f, _ := v.certificateFilter(q)
	return f
}

// bulkRevokeAll orders the revocation of everything that the filter finds.
func (v *visit) bulkRevokeAll() error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	posted.Set("which", "all")
	f := &revokeForm{}
	setting.Defaults(f)
	if err := setting.FromForm(f, posted); err != nil {
		return v.askBulk(f, posted, posted, err)
	}
	reason, err := ra.ParseReason(f.Reason)
	if err != nil {
		return v.askBulk(f, posted, posted, err)
	}
	if _, err := url.ParseQuery(posted.Get("filter")); err != nil || !posted.Has("filter") {
		return v.done("/certificates", "Choose again which certificates you mean.")
	}
	b, err := v.Lifecycle.RevokeAll(v.ctx(), v.actor, v.bulkFilter(posted), reason, f.Comment)
	if err != nil {
		return v.askBulk(f, posted, posted, err)
	}
	return v.done("/revocations/"+string(b.ID), "The revocation has begun. It goes on when you leave this page.")
}
