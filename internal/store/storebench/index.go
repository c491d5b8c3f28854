package storebench

import (
	"context"

	"chancery/internal/store"
)

// The indexes that no constraint owns, with the statements that make them.
const (
	sqliteIndexes   = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND name NOT LIKE 'river%'"
	postgresIndexes = `SELECT c.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
		WHERE c.relnamespace = current_schema()::regnamespace AND c.relname NOT LIKE 'river%'
		AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = i.indexrelid)`
)

// takeIndexes drops the indexes and gives the statements to make them again.
func takeIndexes(ctx context.Context, db *store.DB) ([]string, error) {
	q := postgresIndexes
	if db.Engine() == "sqlite" {
		q = sqliteIndexes
	}
	rows, err := db.Pool().QueryContext(ctx, q)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var names, statements []string
	for rows.Next() {
		var name, statement string
		if err := rows.Scan(&name, &statement); err != nil {
			return nil, err
		}
		names, statements = append(names, name), append(statements, statement)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	rows.Close() // SQLite has one connection for all of this
	for _, name := range names {
		if _, err := db.Pool().ExecContext(ctx, "DROP INDEX "+name); err != nil {
			return nil, err
		}
	}
	return statements, nil
}

// putIndexes makes the indexes again and leaves the database as one that has
// run for a while: its log written back, its statistics known.
func putIndexes(ctx context.Context, db *store.DB, statements []string) error {
	last := []string{"ANALYZE"}
	if db.Engine() == "sqlite" {
		last = []string{"PRAGMA wal_checkpoint(TRUNCATE)"}
	}
	for _, s := range append(statements, last...) {
		if _, err := db.Pool().ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return nil
}
