package resource

import "time"

// ForecastDay is what one day brings an authority.
type ForecastDay struct {
	Date    string `json:"date" doc:"In UTC, such as 2027-01-31."`
	Due     int64  `json:"due" doc:"Renewals of keys made here that fall due."`
	Devices int64  `json:"devices" doc:"Devices that are expected to renew."`
	Done    int64  `json:"done" doc:"Renewals of keys made here that will be done, with what was left from before."`
	Missed  int64  `json:"missed" doc:"Certificates that would end before their turn."`
}

// Forecast is what the coming days ask of an authority, and what it can do.
type Forecast struct {
	MadeAt         *time.Time    `json:"made_at" nullable:"true" doc:"Null before the first one, which is made within an hour."`
	Backlog        int64         `json:"backlog" doc:"Renewals that are due already."`
	CallsPerSecond float64       `json:"calls_per_second" doc:"As its limits allow and its answers took lately; 0: not known yet."`
	RenewalsPerDay int64         `json:"renewals_per_day" doc:"What is left of that for renewals; 0: not known yet."`
	NewPerDay      int64         `json:"new_per_day" doc:"Other certificates it was asked for, on average."`
	CallMS         float64       `json:"call_ms" doc:"How long a call took on average."`
	FailureShare   float64       `json:"failure_share" doc:"Share of calls that were not answered."`
	Missed         int64         `json:"missed" doc:"Certificates that would end before their turn."`
	MissedFrom     string        `json:"missed_from,omitempty" doc:"The first day with one of them."`
	Message        string        `json:"message,omitempty" doc:"What is wrong, where something is."`
	Remedy         string        `json:"remedy,omitempty"`
	Needed         float64       `json:"needed_per_second" doc:"Renewals a second that would do for what is due already."`
	Pace           float64       `json:"pace_per_second" doc:"How fast that is renewed; 0: as fast as it goes."`
	Days           []ForecastDay `json:"days" nullable:"false"`
}
