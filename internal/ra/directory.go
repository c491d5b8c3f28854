package ra

import "time"

// Directory is a directory server whose users are taken over into an
// organization group.
type Directory struct {
	ID          DirectoryID
	GroupID     GroupID
	Name        string
	Description string
	Settings    []byte // JSON without secrets
	Disabled    bool   // nothing is asked of it
	Times
}

// Absence is why a directory has a user disabled.
type Absence string

// The absences. One who was disabled by an administrator here has none, and
// stays disabled whatever the directory says.
const (
	Present     Absence = ""
	DisabledOff Absence = "disabled" // the account is disabled there
	Gone        Absence = "gone"     // it was deleted there, or moved out of what is taken over
)

// DirectoryState is how far a directory is taken over.
type DirectoryState struct {
	ID         DirectoryID
	Invocation string    // the database that USN is of
	USN        int64     // the last change that was taken over
	Basis      string    // what the settings asked for then; another one takes everything anew
	SyncedAt   time.Time // when it last went through; zero: never
	Users      int       // taken over then
	Obligation
}

// SyncState is the state of a run.
type SyncState string

// The states of runs. One that is held would disable too many users and waits
// for somebody to confirm that.
const (
	SyncWaiting SyncState = "waiting"
	SyncRunning SyncState = "running"
	SyncDone    SyncState = "done"
	SyncHeld    SyncState = "held"
	SyncFailed  SyncState = "failed"
)

// Sync is one run: users taken over from a directory, or the preview of that.
type Sync struct {
	ID        SyncID      `json:"-"`
	Directory DirectoryID `json:"-"`
	State     SyncState   `json:"-"`
	By        Actor       `json:"by"`
	Preview   bool        `json:"preview"`
	Full      bool        `json:"full"`  // every user is looked at, not only those that changed
	Allow     int         `json:"allow"` // how many users may be disabled although they are many

	Server  string `json:"server"`
	Phase   string `json:"phase"` // what it is doing, for people
	Total   int    `json:"total"` // users in the directory
	Read    int    `json:"read"`  // of them looked at so far
	Added   int    `json:"added"`
	Changed int    `json:"changed"`
	Disable int    `json:"disable"` // disabled, or to be disabled
	Enabled int    `json:"enabled"`
	Skipped int    `json:"skipped"` // could not be taken over

	Problems []SyncProblem `json:"problems"` // the first of them
	Notes    []string      `json:"notes"`    // what people should know
	Message  string        `json:"message"`  // how it ended
	Remedy   string        `json:"remedy"`

	StartedAt time.Time `json:"started_at"`
	EndedAt   time.Time `json:"ended_at"`
	Times     `json:"-"`
}

// SyncProblem is a user, or a value of one, that could not be taken over.
type SyncProblem struct {
	User    string `json:"user"`
	Message string `json:"message"`
	Remedy  string `json:"remedy"`
}

// Publication is a certificate that belongs, or belonged, into its user's
// directory entry.
type Publication struct {
	ID          PublicationID
	Certificate CertificateID
	Directory   DirectoryID
	GroupID     GroupID
	AuthorityID AuthorityID
	DeviceID    DeviceID
	UserID      UserID
	ObjectGUID  string // whose entry
	Subject     string
	Published   bool // the directory has it, as far as it has said
	Obligation
	Times
}
