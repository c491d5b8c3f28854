package scep

import (
	"fmt"
	"time"

	"chancery/internal/ra"
	"chancery/internal/sceppolicy"
)

// Findings lists what is weak about an endpoint on purpose, for the doctor and
// the endpoint's page: Message says what, Remedy how to do without.
func Findings(e *ra.Endpoint, v *sceppolicy.Endpoint, now time.Time) (list []*ra.Error) {
	add := func(remedy, format string, args ...any) {
		list = append(list, ra.Errorf(ra.Invalid, "SCEP endpoint %s: %s", e.Name, fmt.Sprintf(format, args...)).WithRemedy("%s", remedy))
	}
	switch {
	case v.FloorAt(now) == sceppolicy.Legacy:
		add(legacyRemedy, "the legacy floor is open until %s; such messages may be read or forged on the way.", v.LegacyUntil)
	case v.Floor == sceppolicy.Legacy:
		add("Set the floor to what the devices need now.", "the legacy floor ended on %s; devices that still need it are refused.", v.LegacyUntil)
	}
	if v.StaticOn {
		add(staticRemedy, "whoever knows the static challenge can enrol any device of the group.")
	}
	return list
}
