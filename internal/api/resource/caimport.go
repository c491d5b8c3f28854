package resource

import (
	"time"

	"chancery/internal/ra"
)

// CAImport is how the certificates that an authority issued without this server are
// taken into the inventory, and how far that has come.
type CAImport struct {
	AuthorityID string            `json:"authority_id"`
	GroupID     string            `json:"group_id" doc:"Where a certificate goes that is of no known user or device."`
	Scope       string            `json:"scope" enum:"current,all" doc:"current: certificates that have not ended; all: those that have ended, too."`
	Adopt       map[string]string `json:"adopt" nullable:"false" doc:"By the name of the authority's template: the template here that renews what was taken over."`
	Every       string            `json:"every,omitempty" doc:"How often changes are taken over; absent: only when somebody asks."`
	Imported    int               `json:"imported" doc:"Certificates taken over so far."`
	Finished    time.Time         `json:"finished_at,omitzero" doc:"When a run last went through."`
	Since       time.Time         `json:"since,omitzero" doc:"What changed at the authority after this is new to the next run."`
	UpdatedBy   string            `json:"updated_by,omitempty"`
	Obligation
	Times
}

// OfCAImport gives an import in wire form; every is its time span in words.
func OfCAImport(i *ra.CAImport, every string) CAImport {
	out := CAImport{AuthorityID: string(i.Authority), GroupID: string(i.GroupID), Scope: string(i.Scope), Adopt: map[string]string{}, Every: every, Imported: i.Imported,
		Finished: utc(i.EndedAt), Since: utc(i.Since), UpdatedBy: i.UpdatedBy.Name, Obligation: obligationOf(i.Obligation), Times: timesOf(i.Times)}
	for name, t := range i.Adopt {
		out.Adopt[name] = string(t)
	}
	return out
}

// CAImportInput is what somebody says about an import. In a change, what is left out
// stays as it is.
type CAImportInput struct {
	GroupID *string           `json:"group_id,omitempty" doc:"Required when the import is set up."`
	Scope   *string           `json:"scope,omitempty" doc:"current (when left out) or all."`
	Adopt   map[string]string `json:"adopt,omitzero" doc:"All of them: those that are not named are no longer adopted."`
	Every   *string           `json:"every,omitempty" doc:"A time span from 1h to 30d, which begins once a run has gone through; empty: only when somebody asks."`
}

// CAImportOrder asks for a run.
type CAImportOrder struct {
	Preview bool `json:"preview,omitempty" doc:"Only count what would come in."`
	Full    bool `json:"full,omitempty" doc:"Read everything, not only what changed since the last run."`
}

// CAImportRun is a run, or the preview of one, in the background. What was read is
// what was known, what was added and what was skipped.
type CAImportRun struct {
	ID          string             `json:"id"`
	AuthorityID string             `json:"authority_id"`
	State       string             `json:"state" enum:"waiting,running,done,failed,cancelled"`
	OrderBy     string             `json:"ordered_by"`
	Preview     bool               `json:"preview,omitempty"`
	Full        bool               `json:"full,omitempty"`
	Phase       string             `json:"phase,omitempty" doc:"What it is doing."`
	Read        int                `json:"read" doc:"Certificates that the authority told of."`
	Known       int                `json:"known" doc:"Of them in the inventory before."`
	Added       int                `json:"added" doc:"Taken into the inventory; of a preview, what would be."`
	Skipped     int                `json:"skipped" doc:"Left out, with the reason under problems."`
	Changed     int                `json:"changed" doc:"Of the known: brought up to date, because the authority revoked, held or released them, or their holder or template is known now."`
	Matched     int                `json:"matched" doc:"Of the added: of a known user or device."`
	Differences int                `json:"differences" doc:"What the two records do not agree on."`
	Templates   []CAImportTemplate `json:"templates" nullable:"false" doc:"By how many certificates, the most first."`
	Problems    []CAImportProblem  `json:"problems" nullable:"false" doc:"The first of them."`
	Message     string             `json:"message,omitempty" doc:"How it ended."`
	Remedy      string             `json:"remedy,omitempty"`
	Created     time.Time          `json:"created_at"`
	Started     time.Time          `json:"started_at,omitzero"`
	Ended       time.Time          `json:"ended_at,omitzero"`
}

// CAImportTemplate counts the certificates of one of the authority's templates.
type CAImportTemplate struct {
	Name    string `json:"name" doc:"Empty: of no template."`
	Read    int    `json:"read"`
	Added   int    `json:"added"`
	Matched int    `json:"matched"`
}

// CAImportProblem is a certificate that could not be taken over.
type CAImportProblem struct {
	Number  int64  `json:"number" doc:"Of the request at the authority."`
	Serial  string `json:"serial,omitempty"`
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}

// OfCAImportRun gives a run in wire form.
func OfCAImportRun(r *ra.CAImportRun) CAImportRun {
	out := CAImportRun{ID: string(r.ID), AuthorityID: string(r.Authority), State: string(r.State), OrderBy: r.By.Name, Preview: r.Preview, Full: r.Full, Phase: r.Phase,
		Read: r.Read, Known: r.Known, Added: r.Added, Skipped: r.Skipped, Changed: r.Changed, Matched: r.Matched, Differences: r.Strange, Templates: []CAImportTemplate{},
		Problems: []CAImportProblem{}, Message: r.Message, Remedy: r.Remedy, Created: r.CreatedAt.UTC(), Started: utc(r.StartedAt), Ended: utc(r.EndedAt)}
	for _, t := range r.Templates {
		out.Templates = append(out.Templates, CAImportTemplate(t))
	}
	for _, p := range r.Problems {
		out.Problems = append(out.Problems, CAImportProblem(p))
	}
	return out
}

// ImportedFrom is where a certificate in the inventory was taken over from.
type ImportedFrom struct {
	AuthorityID string    `json:"authority_id"`
	Number      int64     `json:"number" doc:"Of the request at the authority."`
	Requester   string    `json:"requester,omitempty" doc:"Who asked for it, in the authority's words."`
	Template    string    `json:"template,omitempty" doc:"The authority's."`
	RunID       string    `json:"run_id,omitempty"`
	At          time.Time `json:"at"`
}

// OfImportedFrom gives it in wire form.
func OfImportedFrom(f *ra.ImportedFrom) *ImportedFrom {
	return &ImportedFrom{AuthorityID: string(f.Authority), Number: f.Number, Requester: f.Requester, Template: f.Template, RunID: string(f.Run), At: f.At.UTC()}
}

// Difference is one certificate that an authority's records and ours do not agree
// on.
type Difference struct {
	ID            string    `json:"id"`
	AuthorityID   string    `json:"authority_id"`
	GroupID       string    `json:"group_id"`
	Kind          string    `json:"kind" enum:"not_ours,no_request,ended,not_revoked"`
	Title         string    `json:"title" doc:"The kind in words."`
	Meaning       string    `json:"meaning" doc:"What it may mean."`
	Remedy        string    `json:"remedy" doc:"What to do about it."`
	Open          bool      `json:"open"`
	CertificateID string    `json:"certificate_id,omitempty"`
	Number        int64     `json:"number" doc:"Of the request at the authority."`
	Serial        string    `json:"serial"`
	Subject       string    `json:"subject"`
	Requester     string    `json:"requester,omitempty"`
	Template      string    `json:"template,omitempty" doc:"The authority's."`
	RequestID     string    `json:"request_id,omitempty" doc:"That the certificate carries."`
	FoundAt       time.Time `json:"found_at"`
	SettledAt     time.Time `json:"settled_at,omitzero"`
	SettledBy     string    `json:"settled_by,omitempty" doc:"Who; system when the two agree again."`
	Comment       string    `json:"comment,omitempty"`
}

// OfDifference gives a difference in wire form, with the words of its kind.
func OfDifference(d *ra.Difference, title, meaning, remedy string) Difference {
	return Difference{ID: string(d.ID), AuthorityID: string(d.Authority), GroupID: string(d.GroupID), Kind: string(d.Kind), Title: title, Meaning: meaning, Remedy: remedy,
		Open: d.SettledAt.IsZero(), CertificateID: string(d.Certificate), Number: d.Number, Serial: d.Serial, Subject: d.Subject, Requester: d.Requester, Template: d.Template,
		RequestID: string(d.Request), FoundAt: d.FoundAt.UTC(), SettledAt: utc(d.SettledAt), SettledBy: d.SettledBy, Comment: d.Comment}
}

// DifferenceQuery narrows a list of differences.
type DifferenceQuery struct {
	Group     string `query:"group_id" doc:"This group and everything below it."`
	Authority string `query:"authority_id"`
	Kind      string `query:"kind" enum:"not_ours,no_request,ended,not_revoked"`
	Open      string `query:"open" enum:"true,false" doc:"Only those that are open, or only those that are settled."`
	Text      string `query:"text" doc:"Part of the subject or of the requester, or a serial."`
	PageQuery
}

// SettleInput says why a difference is known.
type SettleInput struct {
	Comment string `json:"comment" maxLength:"2000"`
}
