package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

var (
	// ErrSchemaNewer says that a newer Meridian has changed the schema in a way
	// this one does not know.
	ErrSchemaNewer = errors.New("the database was used by a newer Meridian; use that version or a newer one")
	// ErrSchemaChanged says that a migration was applied with another text than
	// the one in this program, so that the schema is not what it expects.
	ErrSchemaChanged = errors.New("the database was made by another build of Meridian with a different schema")
)

// migration is one step of the schema. Files are named <version>_<name>.sql and
// never change once they are released.
type migration struct {
	version int
	name    string
	sql     string
	sum     []byte
}

func migrations(files fs.FS) ([]migration, error) {
	paths, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var all []migration
	for _, path := range paths {
		text, err := fs.ReadFile(files, path)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(strings.TrimPrefix(path, "migrations/"), ".sql")
		number, _, ok := strings.Cut(name, "_")
		version, err := strconv.Atoi(number)
		if !ok || err != nil {
			return nil, fmt.Errorf("migration %s is not named <version>_<name>.sql", path)
		}
		sum := sha256.Sum256(text)
		all = append(all, migration{version, name, string(text), sum[:]})
	}
	slices.SortFunc(all, func(a, b migration) int { return a.version - b.version })
	for i, m := range all {
		if m.version != i+1 {
			return nil, fmt.Errorf("migrations are not numbered from 1 without gaps: found %s in place %d", m.name, i+1)
		}
	}
	return all, nil
}

const (
	migrationLockSQL  = `SELECT pg_advisory_lock(hashtextextended('meridian migrations', 0))`
	migrationTableSQL = `
		CREATE TABLE IF NOT EXISTS schema_migration (
		    version integer PRIMARY KEY,
		    name    text        NOT NULL,
		    sha256  bytea       NOT NULL,
		    applied timestamptz NOT NULL DEFAULT now()
		)`
)

// migrate brings the schema up to date, each step in a transaction of its own.
// A lock makes processes that start together take turns.
func migrate(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger) error {
	steps, err := migrations(migrationFiles)
	if err != nil {
		return err
	}
	// Most starts find nothing to do; they need no lock.
	if todo, err := pending(ctx, pool, steps); err == nil && len(todo) == 0 {
		return nil
	}
	pooled, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	// A connection of our own: closing it releases the lock whatever happened.
	conn := pooled.Hijack()
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, migrationLockSQL); err != nil {
		return fmt.Errorf("lock the schema: %w", err)
	}
	if _, err := conn.Exec(ctx, migrationTableSQL); err != nil {
		return fmt.Errorf("create the table of migrations: %w", err)
	}
	todo, err := pending(ctx, conn, steps)
	if err != nil {
		return err
	}
	for _, m := range todo {
		if err := m.apply(ctx, conn); err != nil {
			return fmt.Errorf("migration %s: %w", m.name, err)
		}
		log.Info("database schema migrated", "migration", m.name)
	}
	return nil
}

// pending returns the steps that were not applied yet, after a look at those
// that were.
func pending(ctx context.Context, db querier, steps []migration) ([]migration, error) {
	rows, err := db.Query(ctx, `SELECT version, name, sha256 FROM schema_migration ORDER BY version`)
	if err != nil {
		return nil, err
	}
	applied := 0
	var version int
	var name string
	var sum []byte
	_, err = pgx.ForEachRow(rows, []any{&version, &name, &sum}, func() error {
		switch {
		case version > len(steps):
			return fmt.Errorf("schema has migration %s: %w", name, ErrSchemaNewer)
		case version != applied+1 || !bytes.Equal(sum, steps[applied].sum):
			return fmt.Errorf("schema has migration %s: %w", name, ErrSchemaChanged)
		}
		applied++
		return nil
	})
	if err != nil {
		return nil, err
	}
	return steps[applied:], nil
}

func (m migration) apply(ctx context.Context, conn *pgx.Conn) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, m.sql); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO schema_migration (version, name, sha256) VALUES ($1, $2, $3)`,
			m.version, m.name, m.sum)
		return err
	})
}
