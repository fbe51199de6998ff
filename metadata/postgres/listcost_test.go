package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"meridian/metadata"
	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgtest"
)

// TestPageCostsWhatItShows counts the rows that pages of a large bucket read:
// they may not grow with what hides under common prefixes or lies beyond the
// page.
func TestPageCostsWhatItShows(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s := open(t, url, func(c *postgres.Config) { c.MaxConns = 1 }) // whose statistics are flushed below
	if _, err := s.CreateBucket(t.Context(), metadata.Bucket{Name: "large", Region: "europe"}); err != nil {
		t.Fatal(err)
	}
	fillBucket(t, url, "large", 40_000, 200)
	conn := connect(t, url)
	// The same queries with planner settings that betray a query that only
	// works while the statistics are good.
	if _, err := conn.Exec(t.Context(), "DELETE FROM pg_statistic WHERE starelid IN ('object'::regclass, 'object_history'::regclass)"); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		q    metadata.ListQuery
		most int64
	}{
		"flat":              {metadata.ListQuery{Limit: 10}, 20},
		"middle":            {metadata.ListQuery{Limit: 10, After: "dir-100/"}, 20},
		"prefixes":          {metadata.ListQuery{Limit: 1000, Delimiter: "/"}, 100 + 2*201},
		"end":               {metadata.ListQuery{Limit: 1000, Delimiter: "/", After: "dir-198/"}, 250},
		"versions":          {metadata.ListQuery{Limit: 10, Versions: true}, 20},
		"prefixes versions": {metadata.ListQuery{Limit: 1000, Delimiter: "/", Versions: true}, 100 + 2*201},
	} {
		test.q.Bucket = "large"
		for range 7 { // the plan may change when a prepared statement is used more often
			before := rowsRead(t, s, conn)
			page, err := s.List(t.Context(), test.q)
			if err != nil || len(page.Versions)+len(page.Prefixes) == 0 {
				t.Fatalf("%s: %d entries, %v", name, len(page.Versions)+len(page.Prefixes), err)
			}
			if read := rowsRead(t, s, conn) - before; read > test.most || read == 0 {
				t.Errorf("%s: a page of %d entries read %d rows, more than %d", name, len(page.Versions)+len(page.Prefixes), read, test.most)
			}
		}
	}
}

// TestPollCostsWhatItDelivers counts the rows of the outbox that followers read
// who have heard nearly all of it.
func TestPollCostsWhatItDelivers(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s := open(t, url, func(c *postgres.Config) { c.MaxConns = 1 }) // as above
	execute(t, url, `INSERT INTO outbox (type) SELECT 'old' FROM generate_series(1, 20000)`)
	after := ask(t, s, "heard")
	ask(t, s, "new") // which may be withheld for what other tests are at
	conn := connect(t, url)
	for range 7 { // as above
		before := rowsRead(t, s, conn, "outbox")
		events := poll(t, s, after)
		if read := rowsRead(t, s, conn, "outbox") - before; read > 10 {
			t.Fatalf("%d rows were read for %d events", read, len(events))
		}
	}
}

// rowsRead is how many rows of some tables were fetched so far, by index or
// otherwise; of object and object_history where none is named.
func rowsRead(t testing.TB, s *postgres.Store, conn *pgx.Conn, tables ...string) int64 {
	t.Helper()
	if err := s.FlushStatistics(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(tables) == 0 {
		tables = []string{"object", "object_history"}
	}
	var n int64
	err := conn.QueryRow(t.Context(), `
		SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables
		 WHERE relname = ANY ($1)`, tables).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
