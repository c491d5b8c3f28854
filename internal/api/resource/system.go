package resource

import (
	"time"

	"chancery/internal/ra"
)

// Admin is a person who may sign in to the console.
type Admin struct {
	ID          string  `json:"id"`
	Name        string  `json:"name" doc:"Sign-in name."`
	DisplayName string  `json:"display_name,omitempty"`
	Email       string  `json:"email,omitempty"`
	HasPassword bool    `json:"has_password"`
	Disabled    bool    `json:"disabled,omitempty"`
	Grants      []Grant `json:"grants" nullable:"false"`
	Times
}

// OfAdmin gives an administrator in wire form.
func OfAdmin(a *ra.Admin) Admin {
	return Admin{ID: string(a.ID), Name: a.Name, DisplayName: a.DisplayName, Email: a.Email, HasPassword: a.PasswordHash != "", Disabled: a.Disabled,
		Grants: OfGrants(a.Grants), Times: timesOf(a.Times)}
}

// AdminInput is what somebody says about an administrator.
type AdminInput struct {
	Name        *string  `json:"name,omitempty"`
	DisplayName *string  `json:"display_name,omitempty"`
	Email       *string  `json:"email,omitempty"`
	Disabled    *bool    `json:"disabled,omitempty"`
	Grants      *[]Grant `json:"grants,omitempty" doc:"Replaces all of them."`
}

// AdminQuery narrows a list of administrators.
type AdminQuery struct {
	Text string `query:"text" doc:"Part of the sign-in name."`
	PageQuery
}

// PasswordInput sets a password.
type PasswordInput struct {
	Password string `json:"password" writeOnly:"true" minLength:"1"`
}

// Link lets an administrator sign in to the console once.
type Link struct {
	Link      string    `json:"link" doc:"Whole address to open in a browser; shown once, works once."`
	ExpiresAt time.Time `json:"expires_at" doc:"Not valid from then on."`
}

// LinkInput asks for a link.
type LinkInput struct {
	Life string `json:"life,omitempty" doc:"A time span up to 7d; left out, 15m."`
}

// Token is a program's key to the API.
type Token struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Grants     []Grant   `json:"grants" nullable:"false"`
	CreatedBy  string    `json:"created_by,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
	ExpiresAt  time.Time `json:"expires_at,omitzero" doc:"Absent: never."`
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
	Token      string    `json:"token,omitempty" doc:"The key itself; only in the answer that makes it."`
}

// OfToken gives a token in wire form, without its key.
func OfToken(t *ra.Token) Token {
	return Token{ID: string(t.ID), Name: t.Name, Grants: OfGrants(t.Grants), CreatedBy: t.CreatedBy, CreatedAt: t.CreatedAt.UTC(),
		ExpiresAt: utc(t.ExpiresAt), LastUsedAt: utc(t.LastUsedAt)}
}

// TokenInput asks for a token.
type TokenInput struct {
	Name   string  `json:"name"`
	Grants []Grant `json:"grants" nullable:"false"`
	Life   string  `json:"life,omitempty" doc:"A time span such as 90d; left out, until it is deleted."`
}

// Me is who asks.
type Me struct {
	Actor
	Grants []Grant `json:"grants" nullable:"false"`
}

// Status is how the server is.
type Status struct {
	Version      string           `json:"version"`
	Time         time.Time        `json:"time"`
	Database     string           `json:"database" doc:"sqlite or postgres."`
	Healthy      bool             `json:"healthy" doc:"The database answers."`
	Certificates map[string]int64 `json:"certificates" doc:"By state, among what the caller may see."`
	Devices      map[string]int64 `json:"devices" doc:"By platform."`
	Requests     map[string]int64 `json:"requests" doc:"By state."`
	Late         int              `json:"late" doc:"What is past its deadline, at most 1000."`
}

// Health is what the checks of the doctor found.
type Health struct {
	OK     bool   `json:"ok" doc:"Nothing failed."`
	Checks []Step `json:"checks" nullable:"false"`
}

// ImportReport tells what became of the rows of a file.
type ImportReport struct {
	Rows      int           `json:"rows"`
	Created   int           `json:"created"`
	Updated   int           `json:"updated"`
	Unchanged int           `json:"unchanged"`
	Failed    int           `json:"failed"`
	Faults    []ImportFault `json:"faults,omitempty" doc:"The first 1000."`
}

// ImportFault is one row that was refused.
type ImportFault struct {
	Line    int    `json:"line"`
	Key     string `json:"key,omitempty"`
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}
