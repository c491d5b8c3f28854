package ra

import "time"

// ImportScope is which of an authority's certificates an import takes over.
type ImportScope string

// The scopes. Certificates that have been revoked are taken over as such.
const (
	ImportCurrent ImportScope = "current" // those that have not ended
	ImportAll     ImportScope = "all"     // those that ended, too
)

// CAImport is how the certificates that an authority issued without this server
// are taken into the inventory, and how far that has come.
type CAImport struct {
	Authority AuthorityID
	GroupID   GroupID // where a certificate goes that is of no known user or device
	Scope     ImportScope
	Adopt     map[string]TemplateID // by the authority's template: the one that renews what is taken over; others only watch its end
	Every     time.Duration         // how often what changed is taken over; zero: only when somebody asks

	Position  int64     // the highest number that an unfinished full run has taken over
	Begun     time.Time // when that run began
	Basis     string    // what Position and ImportedAt are of; another one takes everything anew
	Since     time.Time // what changed after this is new, by the authority's clock; zero: it never went through
	FullAt    time.Time // when everything was last read; zero: never
	Imported  int       // certificates of the authority that were taken over so far
	EndedAt   time.Time // when a run last went through; zero: never
	UpdatedBy Actor
	Obligation
	Times
}

// CAImportState is the state of a run.
type CAImportState string

// The states of runs.
const (
	ImportWaiting  CAImportState = "waiting"
	ImportRunning  CAImportState = "running"
	ImportDone     CAImportState = "done"
	ImportFailed   CAImportState = "failed"
	ImportCanceled CAImportState = "cancelled"
)

// CAImportRun is one run, or the preview of one: then nothing is kept but what it
// would have done. Read is the sum of Known, Added and Skipped.
type CAImportRun struct {
	ID        CAImportRunID `json:"-"`
	Authority AuthorityID   `json:"-"`
	State     CAImportState `json:"-"`
	By        Actor         `json:"by"`
	Preview   bool          `json:"preview"`
	Full      bool          `json:"full"` // everything is read, not only what changed

	Position int64     `json:"position"` // the highest number that it has come to
	Basis    string    `json:"basis"`    // what it reads; another one begins anew
	Since    time.Time `json:"since"`    // it reads what changed after this; zero: all
	Next     time.Time `json:"next"`     // what changed after this is for the next run

	Phase   string `json:"phase"`   // what it is doing, for people
	Read    int    `json:"read"`    // certificates the authority told of
	Known   int    `json:"known"`   // of them in the inventory before
	Added   int    `json:"added"`   // taken into it
	Skipped int    `json:"skipped"` // left out: see Problems
	Changed int    `json:"changed"` // of the known: revoked, held or released at the authority
	Matched int    `json:"matched"` // of the added: of a known user or device
	Strange int    `json:"strange"` // differences found

	Templates []CAImportTemplate `json:"templates"` // by how many certificates, the most first
	Problems  []CAImportProblem  `json:"problems"`  // the first of them
	Message   string             `json:"message"`   // how it ended
	Remedy    string             `json:"remedy"`

	StartedAt time.Time `json:"started_at"`
	EndedAt   time.Time `json:"ended_at"`
	Times     `json:"-"`
}

// CAImportTemplate counts the certificates of one of the authority's templates.
type CAImportTemplate struct {
	Name    string `json:"name"` // empty: of no template
	Read    int    `json:"read"`
	Added   int    `json:"added"`
	Matched int    `json:"matched"`
}

// CAImportProblem is a certificate that could not be taken over.
type CAImportProblem struct {
	Number  int64  `json:"number"` // of the request at the authority
	Serial  string `json:"serial"`
	Message string `json:"message"`
	Remedy  string `json:"remedy"`
}

// ImportedFrom is where a certificate in the inventory was taken over from.
type ImportedFrom struct {
	Certificate CertificateID
	Authority   AuthorityID
	Run         CAImportRunID
	Number      int64  // of the request at the authority
	Requester   string // who asked for it, in the authority's words
	Template    string // the authority's
	At          time.Time
}

// DifferenceKind is how an authority's records and ours differ.
type DifferenceKind string

// The differences.
const (
	DiffNotOurs    DifferenceKind = "not_ours"    // asked for with our account, and not by this server
	DiffNoRequest  DifferenceKind = "no_request"  // carries the number of a request that is not here
	DiffEnded      DifferenceKind = "ended"       // issued for a request that ended without a certificate here
	DiffNotRevoked DifferenceKind = "not_revoked" // revoked here, and valid at the authority
)

// Difference is one certificate that an authority's records and ours do not agree
// on. It stays until somebody has said that it is known, or the two agree again.
type Difference struct {
	ID          DifferenceID
	Authority   AuthorityID
	GroupID     GroupID // of the certificate
	Kind        DifferenceKind
	Certificate CertificateID
	Number      int64
	Serial      string
	Subject     string
	Requester   string
	Template    string
	Request     RequestID
	FoundAt     time.Time
	SettledAt   time.Time // zero: open
	SettledBy   string    // who, or "system" when the two agree again
	Comment     string
}
