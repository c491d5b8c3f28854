package ra

// AuditEntry is one line of the append-only record. Each entry's hash covers
// the one before it, so that a change or a gap shows.
type AuditEntry struct {
	Seq      int64
	At       Instant
	Code     string // stable event code, "certificate.issued"
	Actor    Actor
	GroupID  GroupID
	Object   string // ID of what it is about
	Related  string // ID of the next most important thing
	Result   string // "ok", "refused", "failed"
	Message  string // one sentence for people
	Details  []byte // JSON, secrets masked before they come here
	PrevHash string
	Hash     string
}
