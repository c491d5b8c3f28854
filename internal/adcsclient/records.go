package adcsclient

import (
	"context"
	"fmt"
	"time"

	"chancery/internal/wire/adcsmsg"
)

// Query says which certificates of the CA's database are read.
type Query struct {
	After         uint32    // of requests with a higher number
	ResolvedSince time.Time // issued at this time or later, by the CA's clock; zero: ever
	RevokedSince  time.Time // revoked or held at this time or later; zero: ever, or not at all
	EndsAfter     time.Time // that end later; zero: all
	AtOnce        int       // rows in one answer at most; zero: as many as fit in
}

// Record is a certificate in the CA's database.
type Record struct {
	RequestID   uint32
	Disposition uint32 // RowIssued or RowRevoked
	Requester   string // DOMAIN\account the certificate was asked for
	Caller      string // DOMAIN\account that asked
	Attributes  adcsmsg.Attributes
	Template    string // name of one of version 1, OID of others; empty: none
	Serial      string // hexadecimal
	RevokedAt   time.Time
	Reason      uint32 // while it is revoked
	Certificate []byte // DER; empty where the database does not show it
}

// Records is a view of the CA's database that is open. A Client has one at a time,
// and no other of its methods that look into the database may be called meanwhile.
// The CA forgets it with the session, which does not live longer than four minutes.
type Records struct {
	c      *Client
	shown  adcsmsg.Columns
	out    []byte // the answer that was not read yet; nil: none
	read   int    // rows so far
	atOnce int
	most   int
	end    bool
}

// What an answer is to hold: far less than what a caller of RPC takes, which is
// 1 MiB, whatever the rows are like.
const (
	firstRows   = 20
	mostRows    = 250
	answerBytes = 256 << 10
)

// recordColumns are read, in the order of readRecord.
var recordColumns = []string{columnID, columnDisposition, "Request.RequesterName", "Request.CallerName", columnAttributes,
	"CertificateTemplate", "SerialNumber", "Request.RevokedEffectiveWhen", "Request.RevokedWhen", "Request.RevokedReason"}

// columnCertificate is not everywhere to be seen.
const columnCertificate = "RawCertificate"

// OpenRecords opens a view of the certificates that were issued, revoked ones
// included, in ascending order of the numbers of their requests. It needs Read at
// the CA, or Issue and Manage Certificates.
func (c *Client) OpenRecords(ctx context.Context, q Query) (*Records, error) {
	all, err := c.columns(ctx)
	if err != nil {
		return nil, needs(err, databaseRight)
	}
	shown, err := named(all, recordColumns...)
	if err != nil {
		return nil, err
	}
	if column, ok := all.Find(columnCertificate); ok {
		shown = append(shown, column)
	}
	keep, err := q.restrictions(all)
	if err != nil {
		return nil, err
	}
	r := &Records{c: c, shown: shown, most: mostRows}
	if q.AtOnce > 0 {
		r.most = min(q.AtOnce, mostRows)
	}
	r.atOnce = min(firstRows, r.most)
	if r.out, err = c.openView(ctx, keep, shown, r.atOnce); err != nil {
		return nil, needs(err, databaseRight)
	}
	return r, nil
}

// restrictions of a view. The numbers of dispositions between the two that are
// wanted do not exist.
func (q Query) restrictions(all adcsmsg.Columns) ([]adcsmsg.Restriction, error) {
	c, err := named(all, columnID, columnDisposition, "Request.ResolvedWhen", "Request.RevokedWhen", "NotAfter")
	if err != nil {
		return nil, err
	}
	out := []adcsmsg.Restriction{
		{Column: c[0], Seek: adcsmsg.SeekAbove, Value: adcsmsg.Value{Long: q.After}, Sort: true},
		{Column: c[1], Seek: adcsmsg.SeekAtLeast, Value: adcsmsg.Value{Long: RowIssued}},
		{Column: c[1], Seek: adcsmsg.SeekAtMost, Value: adcsmsg.Value{Long: RowRevoked}},
	}
	for i, r := range []struct {
		at   time.Time
		seek uint32
	}{{q.ResolvedSince, adcsmsg.SeekAtLeast}, {q.RevokedSince, adcsmsg.SeekAtLeast}, {q.EndsAfter, adcsmsg.SeekAbove}} {
		if !r.at.IsZero() {
			out = append(out, adcsmsg.Restriction{Column: c[2+i], Seek: r.seek, Value: adcsmsg.Value{Date: r.at}})
		}
	}
	return out, nil
}

// Next gives some more; none at the end. What the CA gives out of order is an
// error: nobody could say then where to go on.
func (r *Records) Next(ctx context.Context) ([]Record, error) {
	if r.end {
		return nil, nil
	}
	out := r.out
	if r.out = nil; out == nil {
		var err error
		if out, err = r.c.enumView(ctx, r.read+1, r.atOnce); err != nil {
			return nil, needs(err, databaseRight)
		}
	}
	rows, end, err := adcsmsg.DecodeRows(out)
	if err != nil {
		return nil, malformed(err)
	}
	r.end = end || len(rows) == 0
	r.read += len(rows)
	list := make([]Record, len(rows))
	for i, row := range rows {
		list[i] = readRecord(row, r.shown)
		if i > 0 && list[i].RequestID <= list[i-1].RequestID {
			return nil, malformed(fmt.Errorf("request %d behind %d", list[i].RequestID, list[i-1].RequestID))
		}
	}
	if len(rows) > 0 {
		r.atOnce = max(1, min(r.most, answerBytes*len(rows)/len(out)))
	}
	return list, nil
}

// Close closes the view.
func (r *Records) Close(ctx context.Context) { r.c.closeView(ctx) }

func readRecord(row adcsmsg.Row, shown adcsmsg.Columns) Record {
	var v [11]adcsmsg.Value
	for i, column := range shown {
		v[i], _ = row.Value(column)
	}
	r := Record{RequestID: v[0].Long, Disposition: v[1].Long, Requester: v[2].String, Caller: v[3].String, Attributes: adcsmsg.ParseAttributes(v[4].String),
		Template: v[5].String, Serial: v[6].String, RevokedAt: v[7].Date, Reason: v[9].Long, Certificate: v[10].Binary}
	if r.RevokedAt.IsZero() {
		r.RevokedAt = v[8].Date
	}
	return r
}
