package inventory

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"slices"
	"strconv"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// ExportUsers writes the users that FindUsers would give, on all pages, as CSV
// that ImportUsers takes in again, with the columns id and group_name for the
// reader. It reads a page at a time, so that a slow receiver holds nothing up;
// what changes meanwhile may or may not be in it.
func (s *Service) ExportUsers(ctx context.Context, actor ra.Actor, f store.UserFilter, to io.Writer) error {
	out := newSheet(to, userLayout)
	groups := names(func(id ra.GroupID) (*ra.Group, error) { return s.Group(ctx, actor, id) }, func(g *ra.Group) string { return g.Name })
	f.Limit, f.After = store.MaxPage, ""
	for {
		list, next, err := s.FindUsers(ctx, actor, f)
		if err != nil {
			return err
		}
		for _, u := range list {
			group, err := groups(u.GroupID)
			if err != nil {
				return err
			}
			out.add(map[string]string{"id": string(u.ID), "group_id": string(u.GroupID), "group_name": group, "name": u.Name, "email": u.Email, "upn": u.UPN,
				"sid": u.SID, "first_name": u.FirstName, "last_name": u.LastName, "display_name": u.DisplayName, "dn": u.DN,
				"disabled": strconv.FormatBool(u.Disabled), "attributes": object(u.Attributes)})
		}
		if err := out.flush(); err != nil || next == "" {
			return err
		}
		f.After = next
	}
}

// ExportDevices writes the devices that FindDevices would give as CSV that
// ImportDevices takes in again, with the columns id, group_name, user_name and
// state for the reader. The column user holds IDs.
func (s *Service) ExportDevices(ctx context.Context, actor ra.Actor, f store.DeviceFilter, to io.Writer) error {
	out := newSheet(to, deviceLayout)
	groups := names(func(id ra.GroupID) (*ra.Group, error) { return s.Group(ctx, actor, id) }, func(g *ra.Group) string { return g.Name })
	users := names(func(id ra.UserID) (*ra.User, error) { return s.User(ctx, actor, id) }, func(u *ra.User) string { return u.Name })
	f.Limit, f.After = store.MaxPage, ""
	for {
		list, next, err := s.FindDevices(ctx, actor, f)
		if err != nil {
			return err
		}
		for _, d := range list {
			group, err := groups(d.GroupID)
			if err != nil {
				return err
			}
			user, err := users(d.UserID)
			if err != nil {
				return err
			}
			out.add(map[string]string{"id": string(d.ID), "group_id": string(d.GroupID), "group_name": group, "platform_id": d.PlatformID,
				"platform": string(d.Platform), "name": d.Name, "serial_number": d.SerialNumber, "model": d.Model, "os_version": d.OSVersion,
				"ownership": d.Ownership, "user": string(d.UserID), "user_name": user, "state": string(d.State), "attributes": object(d.Attributes)})
		}
		if err := out.flush(); err != nil || next == "" {
			return err
		}
		f.After = next
	}
}

// names gives a function that tells the name behind an ID and remembers it;
// the empty one where there is no ID, or nothing the actor may see behind it.
func names[ID ~string, N any](load func(ID) (*N, error), name func(*N) string) func(ID) (string, error) {
	known := map[ID]string{"": ""}
	return func(id ID) (string, error) {
		if text, ok := known[id]; ok {
			return text, nil
		}
		n, err := load(id)
		switch {
		case err == nil:
			known[id] = name(n)
		case ra.KindOf(err) == ra.NotFound:
			known[id] = ""
		default:
			return "", err
		}
		return known[id], nil
	}
}

// sheet writes CSV lines of one layout.
type sheet struct {
	csv     *csv.Writer
	columns []string
	err     error
}

// newSheet begins with the heading.
func newSheet(to io.Writer, l layout) *sheet {
	s := &sheet{csv: csv.NewWriter(to), columns: slices.Concat(l.report, l.fields)}
	s.err = s.csv.Write(s.columns)
	return s
}

func (s *sheet) add(cells map[string]string) {
	record := make([]string, len(s.columns))
	for i, c := range s.columns {
		record[i] = guard(cells[c])
	}
	if s.err == nil {
		s.err = s.csv.Write(record)
	}
}

func (s *sheet) flush() error {
	s.csv.Flush()
	if s.err == nil {
		s.err = s.csv.Error()
	}
	return s.err
}

// object writes attributes as JSON, in order; no attributes are an empty cell.
func object(attributes map[string]string) string {
	if len(attributes) == 0 {
		return ""
	}
	out, err := json.Marshal(attributes)
	if err != nil {
		panic(err) // texts by text always marshal
	}
	return string(out)
}
