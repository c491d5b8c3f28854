package console

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/store"
)

type auditView struct {
	Filter    filter
	Since     string
	Until     string
	Entries   []auditLine
	Pager     pager
	Report    *store.AuditReport
	MayVerify bool
	CLI       []string
}

type auditLine struct {
	*ra.AuditEntry
	About   link
	Related link
	Group   link
	Details string
}

var auditPage = view[auditView]("audit")

// objectLink leads to the page of what an ID is about, by its prefix.
func objectLink(id string) link {
	prefix, _, ok := strings.Cut(id, "_")
	base := map[string]string{ra.GroupPrefix: "/groups/", ra.UserPrefix: "/users/", ra.DevicePrefix: "/devices/", ra.AuthorityPrefix: "/authorities/", ra.TemplatePrefix: "/templates/",
		ra.EndpointPrefix: "/endpoints/", ra.KeyServicePrefix: "/key-services/", ra.RequestPrefix: "/requests/", ra.PassPrefix: "/passes/", ra.CertificatePrefix: "/certificates/", ra.AdminPrefix: "/administrators/", store.BulkPrefix: "/revocations/",
		ra.CAImportRunPrefix: "/imports/", ra.DifferencePrefix: "/differences/"}[prefix]
	if !ok || base == "" {
		return link{Title: id}
	}
	return link{id, base + id}
}

// manyEvents are enough to find some among them that are not revocation lists.
const manyEvents = 200

// notable gives the first n entries that are not about a revocation list: those
// come by the hundred, and their present state is shown elsewhere.
func notable(list []*ra.AuditEntry, n int) []*ra.AuditEntry {
	list = slices.DeleteFunc(list, func(e *ra.AuditEntry) bool { return e.Code == audit.CRLPublished })
	return list[:min(n, len(list))]
}

// auditNouns are the starts of event codes that the filter offers.
var auditNouns = []string{"certificate", "request", "key", "device", "user", "group", "template", "endpoint", "challenge", "pass", "authority", "directory", "ca_import", "difference", "publication", "key_service", "crl", "admin", "passkey", "token", "link", "master_key", "installation", "clock"}

func (v *visit) auditLog() error { return v.showAudit(nil) }

func (v *visit) showAudit(report *store.AuditReport) error {
	f := store.AuditFilter{Text: v.query("q"), Object: v.query("object"), Actor: v.query("actor"), Page: v.page()}
	f.Sort = ""
	if code := v.query("code"); code != "" {
		f.Code = code
		if !strings.Contains(code, ".") {
			f.Code += "."
		}
	}
	if t, err := time.Parse(time.DateOnly, v.query("since")); err == nil {
		f.Since = t
	}
	if t, err := time.Parse(time.DateOnly, v.query("until")); err == nil {
		f.Until = t.AddDate(0, 0, 1)
	}
	list, next, err := v.Audit.Find(v.ctx(), v.actor, f)
	if err != nil {
		return err
	}
	var codes []option
	for _, n := range auditNouns {
		codes = append(codes, option{Value: n, Label: badgeOf(n).Word})
	}
	data := auditView{Filter: v.filter("Message or person", choice{"code", "About", codes}), Since: v.query("since"), Until: v.query("until"), Pager: v.pager(next, len(list)), Report: report,
		MayVerify: access.Check(v.actor, access.SeeAudit, "") == nil, CLI: []string{"chancery audit list", "chancery audit verify"}}
	data.Filter.Active = data.Filter.Active || data.Since != "" || data.Until != "" || f.Object != "" || f.Actor != ""
	for _, e := range list {
		data.Entries = append(data.Entries, auditLine{e, objectLink(e.Object), objectLink(e.Related), v.groupLink(e.GroupID), indented(e.Details)})
	}
	return auditPage.show(v, http.StatusOK, data)
}

func (v *visit) verifyAudit() error {
	report, err := v.Audit.Verify(v.ctx(), v.actor)
	if err != nil {
		return err
	}
	return v.showAudit(&report)
}

// indented writes the details of an entry for people; an entry without any
// gives nothing.
func indented(details []byte) string {
	if len(details) <= len("{}") {
		return ""
	}
	var b bytes.Buffer
	if err := json.Indent(&b, details, "", "  "); err != nil {
		return string(details)
	}
	return b.String()
}
