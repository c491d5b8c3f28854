package adpki

import (
	"slices"
	"strings"
)

// SIDs this package reasons about (MS-DTYP §2.4.2.4).
const (
	sidEveryone      = "S-1-1-0"
	sidOwnerRights   = "S-1-3-4"
	sidSelf          = "S-1-5-10"
	sidAuthenticated = "S-1-5-11"
)

// placeholders stand for others in an access list: Creator Owner, Creator
// Group and their servers', Owner Rights, and the object itself.
var placeholders = []string{"S-1-3-0", "S-1-3-1", "S-1-3-2", "S-1-3-3", sidOwnerRights, sidSelf}

// Class is how far somebody is trusted.
type Class uint8

// The classes. Operators have rights by default in groups that are meant to be
// empty; Broad are groups that nearly everybody is in.
const (
	Other Class = iota
	Broad
	Operator
	Admin
)

// Principal is an account or a group.
type Principal struct {
	SID  string
	Name string // such as CORP\svc; the SID when nobody knows it
	DN   string // empty for what is not in the directory
}

type wellKnown struct {
	name  string
	class Class
}

var wellKnownSIDs = map[string]wellKnown{
	sidEveryone:      {"Everyone", Broad},
	"S-1-5-2":        {"Network", Broad},
	"S-1-5-4":        {"Interactive", Broad},
	"S-1-5-7":        {"Anonymous Logon", Broad},
	"S-1-5-9":        {"Enterprise Domain Controllers", Admin},
	sidSelf:          {"Self", Other},
	sidAuthenticated: {"Authenticated Users", Broad},
	"S-1-5-15":       {"This Organization", Broad},
	"S-1-5-18":       {"SYSTEM", Admin},
	"S-1-5-32-544":   {"Administrators", Admin},
	"S-1-5-32-545":   {"Users", Broad},
	"S-1-5-32-546":   {"Guests", Broad},
	"S-1-5-32-548":   {"Account Operators", Operator},
	"S-1-5-32-549":   {"Server Operators", Operator},
	"S-1-5-32-550":   {"Print Operators", Operator},
	"S-1-5-32-551":   {"Backup Operators", Operator},
	"S-1-5-32-554":   {"Pre-Windows 2000 Compatible Access", Broad},
	"S-1-5-32-574":   {"Certificate Service DCOM Access", Other},
}

// wellKnownRIDs are the last numbers of the SIDs every domain has. Cert
// Publishers are the authorities' own computers.
var wellKnownRIDs = map[string]wellKnown{
	"498": {"Enterprise Read-only Domain Controllers", Admin},
	"500": {"Administrator", Admin},
	"501": {"Guest", Broad},
	"512": {"Domain Admins", Admin},
	"513": {"Domain Users", Broad},
	"514": {"Domain Guests", Broad},
	"515": {"Domain Computers", Broad},
	"516": {"Domain Controllers", Admin},
	"517": {"Cert Publishers", Admin},
	"518": {"Schema Admins", Admin},
	"519": {"Enterprise Admins", Admin},
	"521": {"Read-only Domain Controllers", Admin},
	"526": {"Key Admins", Operator},
	"527": {"Enterprise Key Admins", Operator},
}

// Classify gives the class of a SID that means the same in every forest; Other
// for all that is local.
func Classify(sid string) Class { return known(sid).class }

func known(sid string) wellKnown {
	if w, ok := wellKnownSIDs[sid]; ok {
		return w
	}
	if rest, ok := strings.CutPrefix(sid, "S-1-5-21-"); ok {
		if parts := strings.Split(rest, "-"); len(parts) == 4 {
			return wellKnownRIDs[parts[3]]
		}
	}
	return wellKnown{}
}

// Name gives the name of a SID, and the SID itself when nobody knows one.
func (s *Snapshot) Name(sid string) string {
	if p, ok := s.Names[sid]; ok {
		return p.Name
	}
	if w := known(sid); w.name != "" {
		return w.name
	}
	return sid
}

// Account is the account requests come from.
type Account struct {
	Principal
	// Token is all that the account is: itself, its groups however nested,
	// Everyone and Authenticated Users.
	Token []string
}

// Is reports whether sid is the account itself, not a group it is in.
func (a Account) Is(sid string) bool { return a.SID != "" && a.SID == sid }

// Includes reports whether the account is sid or in that group.
func (a Account) Includes(sid string) bool { return slices.Contains(a.Token, sid) }
