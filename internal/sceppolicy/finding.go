package sceppolicy

import (
	"fmt"
	"time"

	"chancery/internal/ra"
)

// How to do without what is weak.
const (
	LegacyRemedy = "Move the devices to AES and SHA-256, then set the floor to " + Modern + " or " + Compat + "."
	StaticRemedy = "Give each device a challenge of its own, then switch the static one off."
)

// Findings lists what is weak on purpose about the address of that name, for
// the doctor and its own page: Message says what, Remedy how to do without.
func (s *Endpoint) Findings(name string, now time.Time) (list []*ra.Error) {
	add := func(remedy, format string, args ...any) {
		list = append(list, ra.Errorf(ra.Invalid, "SCEP endpoint %s: %s", name, fmt.Sprintf(format, args...)).WithRemedy("%s", remedy))
	}
	switch {
	case s.FloorAt(now) == Legacy:
		add(LegacyRemedy, "the legacy floor is open until %s; such messages may be read or forged on the way.", s.LegacyUntil)
	case s.Floor == Legacy:
		add("Set the floor to what the devices need now.", "the legacy floor ended on %s; devices that still need it are refused.", s.LegacyUntil)
	}
	if s.StaticOn {
		add(StaticRemedy, "whoever knows the static challenge can enrol any device of the group.")
	}
	return list
}
