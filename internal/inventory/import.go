package inventory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"chancery/internal/access"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// importBatch is how many rows share a transaction.
const importBatch = 500

// maxImportFaults is how many refused rows are told in detail.
const maxImportFaults = 1000

// Import says how a CSV file is taken in.
type Import struct {
	Group   ra.GroupID        // for rows without a group_id of their own
	Columns map[string]string // heading in the file: field, or "-" to leave it out
	DryRun  bool              // only tell what would happen
}

// ImportResult tells what became of the rows.
type ImportResult struct {
	Rows      int
	Created   int
	Updated   int
	Unchanged int
	Failed    int
	Faults    []ImportFault // of the first 1000 rows that failed, by line
}

// ImportFault is one row that was refused.
type ImportFault struct {
	Line int    // in the file, from 1
	Key  string // the user's name or the device's platform ID
	Err  *ra.Error
}

// plan says what a row comes to: a word and how to do it, nil when nothing is
// to be done. It changes nothing itself.
type plan func(tx *store.Tx, r row) (outcome, func() error, error)

type outcome int

const (
	unchanged outcome = iota
	created
	updated
)

// importer takes in one file.
type importer struct {
	db     *store.DB
	in     Import
	layout layout
	plan   plan
	seen   map[string]int // group and key: line
	result ImportResult
}

// ImportUsers takes users in from CSV: a line with the names of the columns,
// then a line for each user (name, email, upn, sid, first_name, last_name,
// display_name, dn, disabled, attributes, group_id, attribute.KEY). A user is
// known by name and group: one that exists is changed, so that a file may be
// taken in again. A column that is there speaks for every row, an empty cell
// empties. Rows are stored 500 at a time and each by itself: refused ones are
// in the result and do not stop the others. The result is also good when there
// is an error: a file past its limits is TooLarge after what came before.
func (s *Service) ImportUsers(ctx context.Context, actor ra.Actor, from io.Reader, in Import) (*ImportResult, error) {
	return s.take(ctx, actor, from, in, userLayout, func(tx *store.Tx, r row) (outcome, func() error, error) {
		return planUserRow(tx, actor, in.Group, r)
	})
}

// ImportDevices takes devices in from CSV, like ImportUsers (platform_id,
// platform, name, serial_number, model, os_version, ownership, user,
// attributes, group_id, attribute.KEY). A device is known by its platform ID in
// the organization; without a column group_id one that exists stays in its
// group. A user is the ID of one, or the name of one in the group or above it.
func (s *Service) ImportDevices(ctx context.Context, actor ra.Actor, from io.Reader, in Import) (*ImportResult, error) {
	return s.take(ctx, actor, from, in, deviceLayout, func(tx *store.Tx, r row) (outcome, func() error, error) {
		return planDeviceRow(tx, actor, in.Group, r)
	})
}

func (s *Service) take(ctx context.Context, actor ra.Actor, from io.Reader, in Import, l layout, p plan) (*ImportResult, error) {
	im := &importer{db: s.DB, in: in, layout: l, plan: p, seen: map[string]int{}}
	if in.Group != "" {
		if err := s.DB.Read(ctx, func(tx *store.Tx) error {
			return access.CheckGroup(tx, actor, access.EditDevices, in.Group)
		}); err != nil {
			return &im.result, err
		}
	} else if !access.May(actor, access.EditDevices) {
		return &im.result, access.Check(actor, access.EditDevices, "")
	}
	r, err := openCSV(from, l, in.Columns)
	if err != nil {
		return &im.result, err
	}
	start := s.Now()
	err = im.all(ctx, r)
	t := &im.result
	s.Log.Info("CSV taken in", "by", actor.Name, "dry_run", in.DryRun, "rows", t.Rows, "created", t.Created, "updated", t.Updated, "failed", t.Failed, "took", s.Now().Sub(start))
	slices.SortStableFunc(im.result.Faults, func(a, b ImportFault) int { return a.Line - b.Line })
	return &im.result, err
}

// all reads and stores batch after batch: nothing is read inside a transaction.
func (im *importer) all(ctx context.Context, r *reader) error {
	var rows []row
	for {
		next, err := r.next()
		if err == nil && im.result.Rows == MaxImportRows {
			err = ra.Errorf(ra.TooLarge, "The file has more than %d rows.", MaxImportRows).WithField("file").
				WithRemedy("Split it; those before are done and may be sent again.")
		}
		if err != nil || len(rows) == importBatch {
			if err := im.batch(ctx, rows); err != nil {
				return err
			}
			rows = rows[:0]
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		im.result.Rows++
		if im.admit(next) {
			rows = append(rows, next)
		}
	}
}

// admit refuses rows that cannot be read and the second one of a pair.
func (im *importer) admit(r row) bool {
	if r.fault != nil {
		im.refuse(r, r.fault)
		return false
	}
	key := string(r.group(im.in.Group)) + "\n" + ra.Fold(r.cells[im.layout.key])
	if line, twice := im.seen[key]; twice {
		im.refuse(r, ra.Errorf(ra.Invalid, "This repeats line %d.", line).WithField(im.layout.key).WithRemedy("Keep one of the two lines."))
		return false
	}
	im.seen[key] = r.line
	return true
}

func (im *importer) refuse(r row, err error) {
	im.result.Failed++
	if len(im.result.Faults) < maxImportFaults {
		im.result.Faults = append(im.result.Faults, ImportFault{Line: r.line, Key: shorten(r.cells[im.layout.key]), Err: ra.AsError(err)})
	}
}

// shorten bounds what is repeated of a file.
func shorten(s string) string { return fmt.Sprintf("%.200s", strings.ToValidUTF8(s, "?")) }

// verdict is what became of one row of a batch.
type verdict struct {
	outcome outcome
	err     error
}

// batch stores rows together. When storing one fails, which takes somebody
// else's hand in the same moment, each gets a transaction of its own.
func (im *importer) batch(ctx context.Context, rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	verdicts, err := im.run(ctx, rows)
	if err != nil && refusal(err) {
		if len(rows) == 1 {
			im.refuse(rows[0], err)
			return nil
		}
		for i := range rows {
			if err := im.batch(ctx, rows[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	}
	if err != nil {
		return err
	}
	for i, v := range verdicts {
		switch {
		case v.err != nil:
			im.refuse(rows[i], v.err)
		case v.outcome == created:
			im.result.Created++
		case v.outcome == updated:
			im.result.Updated++
		default:
			im.result.Unchanged++
		}
	}
	return nil
}

func (im *importer) run(ctx context.Context, rows []row) ([]verdict, error) {
	transaction := im.db.Write
	if im.in.DryRun {
		transaction = im.db.Read
	}
	var verdicts []verdict
	err := transaction(ctx, func(tx *store.Tx) error {
		verdicts = make([]verdict, len(rows))
		for i, r := range rows {
			o, do, err := im.plan(tx, r)
			if err != nil && !refusal(err) {
				return err
			}
			verdicts[i] = verdict{o, err}
			if err != nil || do == nil || im.in.DryRun {
				continue
			}
			if err := do(); err != nil {
				return err
			}
		}
		return nil
	})
	return verdicts, err
}

// refusal reports an error about what a row says, not about the database.
func refusal(err error) bool {
	switch ra.KindOf(err) {
	case ra.Invalid, ra.NotFound, ra.Denied, ra.Conflict:
		return true
	}
	return false
}
