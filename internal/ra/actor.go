package ra

// ActorKind tells people, programs, devices and the server itself apart.
type ActorKind string

// The kinds of actors.
const (
	ActorAdmin  ActorKind = "admin"  // a signed-in administrator
	ActorToken  ActorKind = "token"  // a program with an API token
	ActorDevice ActorKind = "device" // a device at a protocol door
	ActorLocal  ActorKind = "local"  // the owner of the data folder, on the server's own machine
	ActorSystem ActorKind = "system" // the server itself: planner, first start
)

// Actor is who does something. It is an explicit argument of every capability,
// never hidden in a context: jobs and devices act too.
type Actor struct {
	Kind   ActorKind `json:"kind"`
	ID     string    `json:"id,omitempty"`     // admin, token or device ID; empty for local and system
	Name   string    `json:"name"`             // how lists and the audit log call them
	Via    string    `json:"via,omitempty"`    // door: "console", "api", "cli", "scep", "job"
	Remote string    `json:"remote,omitempty"` // network address, when there is one
	Person AdminID   `json:"person,omitempty"` // the administrator behind a token, when one made it
	Grants []Grant   `json:"-"`
}

// Behind is the administrator who acts, in person or through a token of
// theirs; empty when there is none.
func (a Actor) Behind() AdminID {
	if a.Kind == ActorAdmin {
		return AdminID(a.ID)
	}
	return a.Person
}

// System is the server itself, acting through a named part.
func System(via string) Actor {
	return Actor{Kind: ActorSystem, Name: "chancery", Via: via, Grants: []Grant{{Role: RoleOwner}}}
}

// Role is a named set of permissions.
type Role string

// The roles, from all to least.
const (
	RoleOwner    Role = "owner"    // everything, including administrators and authorities
	RoleManager  Role = "manager"  // templates, endpoints, devices, requests within the group
	RoleOperator Role = "operator" // devices, requests, renewals, revocations
	RoleApprover Role = "approver" // see, and decide approvals
	RoleAuditor  Role = "auditor"  // see, and read the audit log
	RoleViewer   Role = "viewer"   // see
)

// Roles lists every role in display order.
var Roles = []Role{RoleOwner, RoleManager, RoleOperator, RoleApprover, RoleAuditor, RoleViewer}

// Grant gives a role in an organization group and everything below it. An
// empty Group is the whole installation.
type Grant struct {
	Role  Role    `json:"role"`
	Group GroupID `json:"group,omitempty"`
	Path  string  `json:"-"` // Group's path, filled when the actor signs in
}

// Admin is a person who may sign in to the console.
type Admin struct {
	ID           AdminID
	Name         string // sign-in name, unique without regard to case
	DisplayName  string
	Email        string
	PasswordHash string // argon2id in PHC form; empty when none is set
	Disabled     bool
	Grants       []Grant
	Times
}

// Passkey is one WebAuthn credential of an administrator.
type Passkey struct {
	ID         PasskeyID
	AdminID    AdminID
	Name       string
	Credential []byte // the library's credential record as JSON; holds no secret
	Times
}

// Token is a program's key to the API. Only a hash of the key is stored.
type Token struct {
	ID         TokenID
	Name       string
	Hash       string
	Grants     []Grant
	CreatedBy  string
	Person     AdminID // the administrator it stands for: who made it; empty when no person did
	ExpiresAt  Instant // zero: never
	LastUsedAt Instant
	Times
}
