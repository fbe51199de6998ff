package postgres_test

import (
	"errors"
	"sync"
	"testing"

	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgtest"
)

// TestManyOpenAnEmptyDatabase starts all processes of a cluster at once.
func TestManyOpenAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	conn := connect(t, url)
	for _, sql := range []string{"DROP SCHEMA public CASCADE", "CREATE SCHEMA public"} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			s, err := postgres.Open(t.Context(), postgres.Config{URL: url, Region: pgtest.Region, MaxConns: 2})
			if err != nil {
				t.Error(err)
				return
			}
			_ = s.Close()
		})
	}
	group.Wait()
	var applied, newest int
	if err := conn.QueryRow(t.Context(), "SELECT count(*), max(version) FROM schema_migration").Scan(&applied, &newest); err != nil {
		t.Fatal(err)
	}
	if applied == 0 || applied != newest {
		t.Errorf("%d migrations were applied, the newest is %d", applied, newest)
	}
}

func TestStrangeSchemasAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sql  string
		want error
	}{
		"newer":   {"INSERT INTO schema_migration (version, name, sha256) VALUES (9999, '9999_future', '')", postgres.ErrSchemaNewer},
		"changed": {"UPDATE schema_migration SET sha256 = 'other' WHERE version = 1", postgres.ErrSchemaChanged},
	} {
		url := pgtest.URL(t)
		if _, err := connect(t, url).Exec(t.Context(), test.sql); err != nil {
			t.Fatal(err)
		}
		s, err := postgres.Open(t.Context(), postgres.Config{URL: url, Region: pgtest.Region})
		if err == nil {
			_ = s.Close()
		}
		if !errors.Is(err, test.want) {
			t.Errorf("a %s schema: %v, want %v", name, err, test.want)
		}
	}
}

// TestFailedMigrationLeavesNothing: a step is applied whole or not at all.
func TestFailedMigrationLeavesNothing(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	conn := connect(t, url)
	// The first step cannot succeed: some of what it makes is there.
	for _, sql := range []string{"DROP SCHEMA public CASCADE", "CREATE SCHEMA public", "CREATE TABLE part ()"} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := postgres.Open(t.Context(), postgres.Config{URL: url, Region: pgtest.Region}); err == nil {
		_ = s.Close()
		t.Fatal("Open succeeded over a foreign table")
	}
	var tables int
	if err := conn.QueryRow(t.Context(), `
		SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename NOT IN ('part', 'schema_migration')`).Scan(&tables); err != nil {
		t.Fatal(err)
	}
	if tables > 0 {
		t.Errorf("the failed step left %d tables", tables)
	}
	if _, err := conn.Exec(t.Context(), "DROP TABLE part"); err != nil {
		t.Fatal(err)
	}
	if err := open(t, url).Ping(t.Context()); err != nil {
		t.Error(err)
	}
}
