package audit

import (
	"reflect"

	"chancery/internal/setting"
)

// Change is one changed field in the details of a "changed" entry.
type Change struct {
	Field  string `json:"field"`
	Before any    `json:"before,omitempty"`
	After  any    `json:"after,omitempty"`
}

// Changes gathers the fields that differ.
type Changes []Change

// Add adds a field if its values differ.
func (c *Changes) Add(field string, before, after any) {
	if !reflect.DeepEqual(before, after) {
		*c = append(*c, Change{Field: field, Before: before, After: after})
	}
}

// Settings adds the settings that differ, as people read them: secrets are masks.
func (c *Changes) Settings(before, after setting.Describer) {
	for _, d := range setting.Diff(before, after) {
		*c = append(*c, Change{Field: "settings." + d.Field, Before: d.Before, After: d.After})
	}
}
