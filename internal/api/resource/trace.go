package resource

import (
	"time"
)

// Trace tells how an enrolment went, hop by hop.
type Trace struct {
	ID          string      `json:"id" doc:"Of the pass or request."`
	Kind        string      `json:"kind" enum:"pass,request"`
	Result      string      `json:"result" enum:"done,failed,waiting"`
	State       string      `json:"state" doc:"Of the pass or request."`
	Problem     *TraceLine  `json:"problem,omitempty" doc:"The line that fails, or waits for what somebody can do, with what that is."`
	Subject     string      `json:"subject"`
	GroupID     string      `json:"group_id"`
	AuthorityID string      `json:"authority_id"`
	TemplateID  string      `json:"template_id"`
	DeviceID    string      `json:"device_id,omitempty"`
	UserID      string      `json:"user_id,omitempty"`
	Lines       []TraceLine `json:"lines" nullable:"false"`
}

// TraceLine is one hop.
type TraceLine struct {
	Number  int               `json:"number,omitempty" doc:"Of the nineteen steps of an enrolment through the proxy."`
	Step    string            `json:"step"`
	Title   string            `json:"title"`
	Who     string            `json:"who" enum:"device,chancery,authority,person"`
	State   string            `json:"state" enum:"done,inferred,skipped,waiting,failed,not_reached"`
	At      time.Time         `json:"at,omitzero"`
	TookUS  int64             `json:"took_us,omitempty" doc:"Microseconds."`
	Times   int               `json:"times,omitempty" doc:"How often it happened, when more than once."`
	Message string            `json:"message,omitempty"`
	Remedy  string            `json:"remedy,omitempty"`
	Fields  map[string]string `json:"fields,omitempty" doc:"Decoded, without secrets."`
}
