package cli

import (
	"encoding/json"

	"chancery/internal/ra"
)

// referral is a setting of authorities that holds the ID of another thing. People
// give its name, and see that.
type referral struct{ setting, kind, prefix string }

var referrals = []referral{{"revoke_through", "authority", ra.AuthorityPrefix}, {"directory", "directory", ra.DirectoryPrefix}}

// refer turns the names that settings refer by into IDs.
func refer(settings map[string]any, find func(r referral, name string) (string, error)) error {
	for _, r := range referrals {
		name, _ := settings[r.setting].(string)
		if name == "" {
			continue
		}
		id, err := find(r, name)
		if err != nil {
			return err
		}
		settings[r.setting] = id
	}
	return nil
}

// referred is refer for settings in JSON, as flags give them.
func (s *session) referred(raw json.RawMessage) (json.RawMessage, error) {
	var settings map[string]any
	if err := json.Unmarshal(raw, &settings); err != nil {
		return nil, err
	}
	if err := refer(settings, func(r referral, name string) (string, error) {
		if r.kind == "directory" {
			return s.directoryID(name)
		}
		return s.authorityID(name)
	}); err != nil {
		return nil, err
	}
	return json.Marshal(settings)
}

// named gives the name of what a setting refers to; any other value is itself.
func (s *session) named(value string) string {
	for _, r := range referrals {
		if isID(value, r.prefix) {
			return s.label(r.kind, value)
		}
	}
	return value
}
