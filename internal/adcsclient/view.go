package adcsclient

import (
	"context"
	"time"

	"chancery/internal/ra"
	"chancery/internal/wire/adcsmsg"
	"chancery/internal/wire/hresult"
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

// databaseRight is what reading the database takes.
const databaseRight = "Read, or Issue and Manage Certificates,"

// Find gives the requests since a time whose attribute has a value. It reads every
// row since then, so that the time matters. It needs Read at the CA; a CA may keep
// its database from those without Issue and Manage Certificates.
func (c *Client) Find(ctx context.Context, since time.Time, attribute, value string) ([]Row, error) {
	columns, err := c.columns(ctx)
	if err != nil {
		return nil, needs(err, databaseRight)
	}
	want, err := named(columns, columnID, columnDisposition, columnAttributes, columnSubmitted)
	if err != nil {
		return nil, err
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
	return found, needs(err, databaseRight)
}

// named gives the columns of these names.
func named(all adcsmsg.Columns, names ...string) (adcsmsg.Columns, error) {
	var out adcsmsg.Columns
	for _, name := range names {
		column, ok := all.Find(name)
		if !ok {
			return nil, ra.Errorf(ra.RefusedByCA, "The CA's database has no column %s.", name).WithRemedy("Look for the request in the CA's console.").WithRetry(ra.Never)
		}
		out = append(out, column)
	}
	return out, nil
}

func readRow(r adcsmsg.Row, shown adcsmsg.Columns) Row {
	var v [4]adcsmsg.Value
	for i, column := range shown {
		v[i], _ = r.Value(column)
	}
	return Row{RequestID: v[0].Long, Disposition: v[1].Long, Attributes: adcsmsg.ParseAttributes(v[2].String), Request: v[3].Binary}
}

// noMoreColumns is ERROR_ARITHMETIC_OVERFLOW: a column behind the last one was asked
// for (MS-CSRA §3.1.4.2.5).
const noMoreColumns hresult.Code = 0x80070216

// columns asks for the columns of the table of requests.
func (c *Client) columns(ctx context.Context) (adcsmsg.Columns, error) {
	var all adcsmsg.Columns
	for {
		stub, err := adcsmsg.EncodeViewTable(c.authority, uint32(len(all)), columnsAtOnce)
		out, err := c.manage(ctx, adcsmsg.CertAdminD2, adcsmsg.OpViewTable, stub, err)
		if Code(err) == noMoreColumns && len(all) > 0 {
			return all, nil
		}
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
	out, err := c.openView(ctx, []adcsmsg.Restriction{r}, columns, rowsAtOnce)
	if err != nil {
		return err
	}
	defer c.closeView(ctx)
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
		if out, err = c.enumView(ctx, read+1, rowsAtOnce); err != nil {
			return err
		}
	}
}

// openView opens a view and gives the answer with its first rows, not decoded.
func (c *Client) openView(ctx context.Context, r []adcsmsg.Restriction, columns adcsmsg.Columns, count int) ([]byte, error) {
	stub, err := adcsmsg.EncodeOpenView(c.authority, r, columns, uint32(count))
	return c.rows(ctx, adcsmsg.OpOpenView, stub, err)
}

// enumView gives the answer with count rows of the open view from the first on,
// which is 1.
func (c *Client) enumView(ctx context.Context, first, count int) ([]byte, error) {
	stub, err := adcsmsg.EncodeEnumView(c.authority, uint32(first), uint32(count))
	return c.rows(ctx, adcsmsg.OpEnumView, stub, err)
}

// fewerRows is S_FALSE, with which a method of COM says that there is less than it
// was asked for. It is no error.
const fewerRows = 1

// rows calls a method that answers with rows.
func (c *Client) rows(ctx context.Context, opnum uint16, stub []byte, err error) ([]byte, error) {
	if err := c.needsDCOM(); err != nil {
		return nil, err
	}
	out, code, err := ask(ctx, c.admin, adcsmsg.CertAdminD, opnum, stub, err)
	if err == nil && code != 0 && code != fewerRows {
		return nil, hresult.Error(code, "")
	}
	return out, err
}

// closeView closes the open view.
func (c *Client) closeView(ctx context.Context) {
	stub, err := adcsmsg.EncodeAuthority(c.authority)
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, _ = c.manage(late, adcsmsg.CertAdminD, adcsmsg.OpCloseView, stub, err) // the object goes away in any case
}
