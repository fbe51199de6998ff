package postgres_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"meridian/metadata"
	"meridian/metadata/catalogtest"
	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgtest"
)

func TestRecords(t *testing.T) {
	t.Parallel()
	for name, suite := range map[string]func(*testing.T, func(*testing.T) metadata.Store){
		"Feed":    catalogtest.Feed,
		"Keys":    catalogtest.Keys,
		"Media":   catalogtest.Media,
		"Nodes":   catalogtest.Nodes,
		"Reports": catalogtest.Reports,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			suite(t, func(t *testing.T) metadata.Store { return pgtest.New(t) })
		})
	}
}

// open opens a catalogue on a database that others use, too; change alters what
// pgtest would open.
func open(t *testing.T, url string, change ...func(*postgres.Config)) *postgres.Store {
	t.Helper()
	c := postgres.Config{URL: url, Region: pgtest.Region, MaxConns: 8}
	for _, f := range change {
		f(&c)
	}
	s, err := postgres.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// connect opens a connection beside all stores.
func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}
