package store

import (
	"container/list"
	"context"
	"database/sql/driver"
	"strconv"
	"strings"

	"modernc.org/sqlite"
)

// maxStatements is how many prepared statements one SQLite connection keeps.
// The program has about two hundred texts; lists with filters add some.
const maxStatements = 300

// sqliteConnector opens SQLite connections that prepare a statement once and
// keep it: parsing and planning cost more than most statements themselves. pgx
// does the same for PostgreSQL by itself.
type sqliteConnector struct{ dsn string }

func (c sqliteConnector) Driver() driver.Driver { return &sqlite.Driver{} }

func (c sqliteConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.Driver().Open(c.dsn)
	if err != nil {
		return nil, err
	}
	return &sqliteConn{Conn: conn, kept: map[string]*list.Element{}, byUse: list.New()}, nil
}

// sqliteConn is a connection with its statements. A statement that runs is not
// among them, so the same text can run twice at a time.
type sqliteConn struct {
	driver.Conn
	kept  map[string]*list.Element
	byUse *list.List // of keptStatement, the one used last in front
}

type keptStatement struct {
	text string
	stmt driver.Stmt
}

// take gives a statement that nobody else uses.
func (c *sqliteConn) take(ctx context.Context, text string) (driver.Stmt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err // an uninterrupted one says so nowhere else
	}
	if e, ok := c.kept[text]; ok {
		delete(c.kept, text)
		return c.byUse.Remove(e).(keptStatement).stmt, nil
	}
	return c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, unnamed(text))
}

// unnamed turns the marks of arguments $1, $2 and so on into "?", where each
// occurs once and in this order. The driver takes a number for a name, and
// compares it with those of all arguments each time the statement runs.
func unnamed(text string) string {
	var b strings.Builder
	for rest, next := text, 1; ; {
		at := strings.IndexAny(rest, "$?'")
		if at < 0 {
			return b.String() + rest
		}
		b.WriteString(rest[:at])
		if rest = rest[at:]; rest[0] == '\'' {
			end := strings.IndexByte(rest[1:], '\'') + 2
			if end < 2 {
				return text
			}
			b.WriteString(rest[:end])
			rest = rest[end:]
			continue
		}
		after, ok := strings.CutPrefix(rest, "$"+strconv.Itoa(next))
		if !ok || after != "" && '0' <= after[0] && after[0] <= '9' {
			return text
		}
		b.WriteByte('?')
		rest = after
		next++
	}
}

// give takes a statement back that ended well; the one that was not used for
// longest leaves when there are too many.
func (c *sqliteConn) give(text string, stmt driver.Stmt) error {
	if _, twice := c.kept[text]; twice {
		return stmt.Close()
	}
	c.kept[text] = c.byUse.PushFront(keptStatement{text, stmt})
	if c.byUse.Len() <= maxStatements {
		return nil
	}
	oldest := c.byUse.Remove(c.byUse.Back()).(keptStatement)
	delete(c.kept, oldest.text)
	return oldest.stmt.Close()
}

// ExecContext runs a statement that gives no rows.
func (c *sqliteConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	stmt, err := c.take(ctx, text)
	if err != nil {
		return nil, err
	}
	result, err := stmt.(driver.StmtExecContext).ExecContext(ctx, args)
	if err != nil {
		stmt.Close()
		return nil, err
	}
	return result, c.give(text, stmt)
}

// QueryContext runs a statement that gives rows.
func (c *sqliteConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	stmt, err := c.take(ctx, text)
	if err != nil {
		return nil, err
	}
	rows, err := stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	if err != nil {
		stmt.Close()
		return nil, err
	}
	return &keptRows{Rows: rows, conn: c, text: text, stmt: stmt}, nil
}

// keptRows gives its statement back when it is closed.
type keptRows struct {
	driver.Rows
	conn *sqliteConn
	text string
	stmt driver.Stmt
}

// Close ends the rows.
func (r *keptRows) Close() error {
	if err := r.Rows.Close(); err != nil {
		r.stmt.Close()
		return err
	}
	return r.conn.give(r.text, r.stmt)
}

// BeginTx begins a transaction.
func (c *sqliteConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
}

// PrepareContext prepares a statement for its caller alone.
func (c *sqliteConn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	return c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, text)
}

// Ping asks for a sign of life.
func (c *sqliteConn) Ping(ctx context.Context) error { return c.Conn.(driver.Pinger).Ping(ctx) }

// ResetSession is asked before the connection is used again.
func (c *sqliteConn) ResetSession(ctx context.Context) error {
	return c.Conn.(driver.SessionResetter).ResetSession(ctx)
}

// IsValid is asked before the connection goes back into the pool.
func (c *sqliteConn) IsValid() bool { return c.Conn.(driver.Validator).IsValid() }

// Close ends the statements and the connection.
func (c *sqliteConn) Close() error {
	for e := c.byUse.Front(); e != nil; e = e.Next() {
		e.Value.(keptStatement).stmt.Close()
	}
	return c.Conn.Close()
}
