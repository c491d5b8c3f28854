package store

import (
	"encoding/json"
	"time"

	"chancery/internal/ra"
)

// Outage is an authority that does not answer.
type Outage struct {
	Authority ra.AuthorityID
	Since     time.Time
	SeenAt    time.Time // the last failed call
	ProbeAt   time.Time // when it is asked again
	ToldAt    time.Time // when people heard of it; zero: not yet
	LastError string
}

type outageRow struct {
	AuthorityID string `db:"authority_id"`
	Since       int64  `db:"since"`
	SeenAt      int64  `db:"seen_at"`
	ProbeAt     int64  `db:"probe_at"`
	ToldAt      int64  `db:"told_at"`
	LastError   string `db:"last_error"`
}

func (r *outageRow) noun() *Outage {
	return &Outage{ra.AuthorityID(r.AuthorityID), instant(r.Since), instant(r.SeenAt), instant(r.ProbeAt), instant(r.ToldAt), r.LastError}
}

// Outage gives the outage of an authority, or nil.
func (tx *Tx) Outage(id ra.AuthorityID) (*Outage, error) {
	var row outageRow
	err := tx.get("outages", &row, "authority_id = $1", string(id))
	if ra.KindOf(err) == ra.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return row.noun(), nil
}

// NoteOutage stores that an authority did not answer: a new outage, or the
// next failure of one. When it began and whether people were told stays.
func (tx *Tx) NoteOutage(o Outage) error {
	_, err := tx.exec(`INSERT INTO outages (authority_id, since, seen_at, probe_at, told_at, last_error) VALUES ($1, $2, $3, $4, 0, $5)
		ON CONFLICT (authority_id) DO UPDATE SET seen_at = excluded.seen_at, probe_at = excluded.probe_at, last_error = excluded.last_error`,
		string(o.Authority), millis(o.Since), millis(o.SeenAt), millis(o.ProbeAt), o.LastError)
	return err
}

// ToldOutage notes that people heard of an outage now.
func (tx *Tx) ToldOutage(id ra.AuthorityID) error {
	_, err := tx.exec("UPDATE outages SET told_at = $1 WHERE authority_id = $2", millis(tx.Now), string(id))
	return err
}

// EndOutage forgets an outage; it is true for the one who ended it.
func (tx *Tx) EndOutage(id ra.AuthorityID) (bool, error) {
	n, err := tx.exec("DELETE FROM outages WHERE authority_id = $1", string(id))
	return n > 0, err
}

// Experience is how calls to an authority went in a span.
type Experience struct {
	Calls      int64
	Background int64         // of them, calls nobody waited for
	Failures   int64         // of them, calls that were not answered
	Took       time.Duration // all of them together
}

const hour = int64(time.Hour / time.Millisecond)

// AddExperience adds to the experience of this hour.
func (tx *Tx) AddExperience(id ra.AuthorityID, e Experience) error {
	_, err := tx.exec(`INSERT INTO experience (authority_id, hour, calls, background, failures, took) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (authority_id, hour) DO UPDATE SET calls = experience.calls + excluded.calls, background = experience.background + excluded.background,
		failures = experience.failures + excluded.failures, took = experience.took + excluded.took`,
		string(id), millis(tx.Now)/hour, e.Calls, e.Background, e.Failures, e.Took.Milliseconds())
	return err
}

// Experience sums up how calls to an authority went in a span until now, in
// whole hours, and over how many of those hours there is experience, this one
// included.
func (tx *Tx) Experience(id ra.AuthorityID, span time.Duration) (e Experience, hours int, err error) {
	var row struct {
		Calls      int64 `db:"calls"`
		Background int64 `db:"background"`
		Failures   int64 `db:"failures"`
		Took       int64 `db:"took"`
		First      int64 `db:"first"`
	}
	now := millis(tx.Now) / hour
	err = tx.x.GetContext(tx.ctx, &row, `SELECT CAST(coalesce(sum(calls), 0) AS BIGINT) AS calls, CAST(coalesce(sum(background), 0) AS BIGINT) AS background,
		CAST(coalesce(sum(failures), 0) AS BIGINT) AS failures, CAST(coalesce(sum(took), 0) AS BIGINT) AS took, coalesce(min(hour), -1) AS first FROM experience WHERE authority_id = $1 AND hour > $2`, string(id), now-int64(span/time.Hour))
	if err != nil || row.First < 0 {
		return Experience{}, 0, err
	}
	return Experience{row.Calls, row.Background, row.Failures, time.Duration(row.Took) * time.Millisecond}, int(now-row.First) + 1, nil
}

// SweepExperience forgets what is older than before.
func (tx *Tx) SweepExperience(before time.Time) (int64, error) {
	return tx.exec("DELETE FROM experience WHERE hour < $1", millis(before)/hour)
}

// PutForecast keeps the forecast of an authority, as JSON.
func (tx *Tx) PutForecast(id ra.AuthorityID, forecast any) error {
	_, err := tx.exec(`INSERT INTO forecasts (authority_id, made_at, forecast) VALUES ($1, $2, $3)
		ON CONFLICT (authority_id) DO UPDATE SET made_at = excluded.made_at, forecast = excluded.forecast`, string(id), millis(tx.Now), text(forecast))
	return err
}

// Forecast reads the last forecast of an authority into forecast and gives
// when it was made; the zero time when there is none.
func (tx *Tx) Forecast(id ra.AuthorityID, forecast any) (time.Time, error) {
	var rows []struct {
		MadeAt   int64  `db:"made_at"`
		Forecast string `db:"forecast"`
	}
	err := tx.x.SelectContext(tx.ctx, &rows, "SELECT made_at, forecast FROM forecasts WHERE authority_id = $1", string(id))
	if err != nil || len(rows) == 0 {
		return time.Time{}, err
	}
	return instant(rows[0].MadeAt), json.Unmarshal([]byte(rows[0].Forecast), forecast)
}
