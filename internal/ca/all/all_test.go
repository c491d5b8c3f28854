package all

import (
	"regexp"
	"testing"

	"chancery/internal/setting"
)

// TestKinds holds what every kind owes whoever lists it.
func TestKinds(t *testing.T) {
	form := regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	seen := map[string]bool{}
	for _, k := range Kinds() {
		if !form.MatchString(k.ID) || seen[k.ID] {
			t.Errorf("kind %q: the ID is not unique in small letters", k.ID)
		}
		seen[k.ID] = true
		if k.Title == "" || k.Help == "" || len(k.Traits.KeyPlaces) == 0 {
			t.Errorf("kind %q lacks a title, a help text or its traits", k.ID)
		}
		settings := k.New()
		setting.Defaults(settings)
		if len(setting.Fields(settings)) == 0 {
			t.Errorf("kind %q describes no settings", k.ID)
		}
		if k.NewOptions != nil {
			setting.Defaults(k.NewOptions())
		}
	}
}
