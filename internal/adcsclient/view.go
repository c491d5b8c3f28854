package adcsclient

import (
	"context"
	"time"

	"chancery/internal/ra"
	"chancery/internal/wire/adcsmsg"
)

// Dispositions of a request in the CA's database (MS-CSRA §3.1.1.1.2).
const (
	RowProcessing = 8
	RowPending    = 9
	RowIssued     = 20
	RowRevoked    = 21
	RowFailed     = 30
	RowDenied     = 31
)

// Row is a request in the CA's database.
type Row struct {
	RequestID   uint32
	Disposition uint32
	Attributes  adcsmsg.Attributes
	Request     []byte // as it was sent; empty where the database does not show it
}

// The columns that are asked for.
const (
	columnID          = "RequestID"
	columnDisposition = "Request.Disposition"
	columnAttributes  = "Request.RequestAttributes"
	columnSubmitted   = "Request.SubmittedWhen"
	columnRequest     = "Request.RawRequest"
)

const (
	columnsAtOnce = 100
	rowsAtOnce    = 50
	maxRowsRead   = 20000
)

// Find gives the requests since a time whose attribute has a value. It reads every
// row since then, so that the time matters. It needs Read at the CA; a CA may keep
// its database from those without Issue and Manage Certificates.
func (c *Client) Find(ctx context.Context, since time.Time, attribute, value string) ([]Row, error) {
	if err := c.needsDCOM(); err != nil {
		return nil, err
	}
	columns, err := c.columns(ctx)
	if err != nil {
		return nil, needs(err, "Read (of its database)")
	}
	var want adcsmsg.Columns
	for _, name := range []string{columnID, columnDisposition, columnAttributes, columnSubmitted} {
		column, ok := columns.Find(name)
		if !ok {
			return nil, ra.Errorf(ra.RefusedByCA, "The CA's database has no column %s.", name).WithRemedy("Look for the request in the CA's console.").WithRetry(ra.Never)
		}
		want = append(want, column)
	}
	shown := want[:3:3]
	if column, ok := columns.Find(columnRequest); ok {
		shown = append(shown, column)
	}
	var found []Row
	err = c.view(ctx, adcsmsg.Restriction{Column: want[3], Seek: adcsmsg.SeekAtLeast, Value: adcsmsg.Value{Date: since}}, shown, func(r adcsmsg.Row) {
		row := readRow(r, shown)
		if v, ok := row.Attributes.Get(attribute); ok && v == value {
			found = append(found, row)
		}
	})
	return found, needs(err, "Read (of its database)")
}

func readRow(r adcsmsg.Row, shown adcsmsg.Columns) Row {
	var v [4]adcsmsg.Value
	for i, column := range shown {
		v[i], _ = r.Value(column)
	}
	return Row{RequestID: v[0].Long, Disposition: v[1].Long, Attributes: adcsmsg.ParseAttributes(v[2].String), Request: v[3].Binary}
}

// columns asks for the columns of the table of requests.
func (c *Client) columns(ctx context.Context) (adcsmsg.Columns, error) {
	var all adcsmsg.Columns
	for {
		stub, err := adcsmsg.EncodeViewTable(c.authority, uint32(len(all)), columnsAtOnce)
		out, err := c.manage(ctx, adcsmsg.CertAdminD2, adcsmsg.OpViewTable, stub, err)
		if err != nil {
			return nil, err
		}
		list, err := adcsmsg.DecodeViewTable(out)
		if err != nil {
			return nil, malformed(err)
		}
		if all = append(all, list...); len(list) < columnsAtOnce || len(all) > 10*columnsAtOnce {
			return all, nil
		}
	}
}

// view reads the rows that a restriction leaves. An object of the CA has one view
// at a time; it is closed even when the caller has gone away.
func (c *Client) view(ctx context.Context, r adcsmsg.Restriction, columns adcsmsg.Columns, each func(adcsmsg.Row)) error {
	stub, err := adcsmsg.EncodeOpenView(c.authority, []adcsmsg.Restriction{r}, columns, rowsAtOnce)
	out, err := c.manage(ctx, adcsmsg.CertAdminD, adcsmsg.OpOpenView, stub, err)
	if err != nil {
		return err
	}
	defer func() {
		stub, err := adcsmsg.EncodeAuthority(c.authority)
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_, _ = c.manage(late, adcsmsg.CertAdminD, adcsmsg.OpCloseView, stub, err) // the object goes away in any case
	}()
	for read := 0; ; {
		rows, end, err := adcsmsg.DecodeRows(out)
		if err != nil {
			return malformed(err)
		}
		for _, row := range rows {
			each(row)
		}
		read += len(rows)
		if end || len(rows) == 0 {
			return nil
		}
		if read >= maxRowsRead {
			return ra.Errorf(ra.RefusedByCA, "There are more than %d requests in the CA's database since then.", maxRowsRead).
				WithRemedy("Look for the request in the CA's console, by its attribute.").WithRetry(ra.Never)
		}
		stub, err := adcsmsg.EncodeEnumView(c.authority, uint32(read+1), rowsAtOnce)
		if out, err = c.manage(ctx, adcsmsg.CertAdminD, adcsmsg.OpEnumView, stub, err); err != nil {
			return err
		}
	}
}
