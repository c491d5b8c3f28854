package console

import (
	"net/url"
	"strings"

	"chancery/internal/store"
)

// pageSize is how many rows a list shows at once.
const pageSize = 50

// pager leads through a list that is cut by key.
type pager struct {
	First string // address of the first page, empty on it
	Next  string // empty on the last
	Shown int
}

// heading is a column's head; one that can be sorted by has an address.
type heading struct {
	Title, URL string
	Sorted     string // ascending, descending or empty, for aria-sort
	Class      string
}

// page reads which page of a list is wanted.
func (v *visit) page() store.Page {
	return store.Page{Limit: pageSize, After: v.query("after"), Sort: v.query("sort")}
}

func (v *visit) pager(next string, shown int) pager {
	p := pager{Shown: shown}
	if v.query("after") != "" {
		p.First = v.with("after", "")
	}
	if next != "" {
		p.Next = v.with("after", next)
	}
	return p
}

// with is the present address with parameters changed, name and value by turns.
func (v *visit) with(pairs ...string) string {
	q := v.r.URL.Query()
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			q.Del(pairs[i])
		} else {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return address(v.r.URL.Path, q)
}

// address joins a path and parameters, without those that are empty.
func address(path string, q url.Values) string {
	for name, values := range q {
		if strings.Join(values, "") == "" {
			delete(q, name)
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// sortable makes the head of a column that the list can be sorted by; usual is
// the sort that the list has when the address names none.
func (v *visit) sortable(title, by, usual string) heading {
	now := v.query("sort")
	if now == "" {
		now = usual
	}
	h := heading{Title: title, URL: v.with("sort", by, "after", "")}
	switch now {
	case by:
		h.Sorted, h.URL = "ascending", v.with("sort", "-"+by, "after", "")
	case "-" + by:
		h.Sorted = "descending"
	}
	return h
}

// filter is the bar above a list: a text to look for and choices.
type filter struct {
	Text    string
	Hint    string
	Choices []choice
	Active  bool // something narrows the list
	Clear   string
}

// choice is one drop-down of a filter.
type choice struct {
	Name, Label string
	Options     []option
}

// filter reads the bar's state from the address.
func (v *visit) filter(hint string, choices ...choice) filter {
	f := filter{Text: v.query("q"), Hint: hint, Choices: choices, Clear: v.r.URL.Path}
	f.Active = f.Text != ""
	for i, c := range f.Choices {
		now := v.query(c.Name)
		f.Active = f.Active || now != ""
		c.Options = append([]option{{Value: "", Label: "Any"}}, c.Options...)
		for j := range c.Options {
			c.Options[j].Selected = c.Options[j].Value == now
		}
		f.Choices[i] = c
	}
	return f
}

// stateOptions lists the words of a state to choose from.
func stateOptions[T ~string](states []T) []option {
	out := make([]option, len(states))
	for i, s := range states {
		out[i] = option{Value: string(s), Label: badgeOf(string(s)).Word}
	}
	return out
}
