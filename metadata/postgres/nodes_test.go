package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/metadata"
	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgtest"
)

func edge(id, boot string, started time.Time) metadata.Node {
	return metadata.Node{ID: id, Boot: boot, Tier: metadata.TierEdge, Region: "europe", Started: started}
}

// hits is one counter of n hits in the minute of t.
func hits(t time.Time, n int64) []metadata.Counter {
	return []metadata.Counter{{Minute: t, Bucket: "photos", Class: metadata.ClassPhoto, Requests: n, Hits: n}}
}

func requests(t *testing.T, s *postgres.Store, window time.Duration) int64 {
	t.Helper()
	r, err := s.Report(t.Context(), metadata.ReportQuery{Window: window, By: []string{"tier"}})
	if err != nil {
		t.Fatal(err)
	}
	return r.Tiers[0].Requests
}

func partitions(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
		SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'cache_minute'::regclass ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func partition(day time.Time) string { return "cache_minute_" + day.Format("20060102") }

const day = 24 * time.Hour

func TestDaysComeAndGo(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s, conn := open(t, url), connect(t, url)
	now := time.Now().UTC()
	maintain(t, s)
	got := partitions(t, conn)
	for _, want := range []string{partition(now), partition(now.Add(day))} {
		if !slices.Contains(got, want) {
			t.Errorf("maintenance made the partitions %q, want %q among them", got, want)
		}
	}
	// Several processes come upon the same new days at once.
	var wg sync.WaitGroup
	for i := range 4 {
		store := open(t, url)
		wg.Go(func() {
			var counters []metadata.Counter
			for back := range 10 {
				counters = append(counters, hits(now.AddDate(0, 0, -((back+3*i)%10)), 1)...)
			}
			p := metadata.Push{Node: edge(fmt.Sprint("edge-", i), "b", now), Number: 1, Counters: counters}
			if _, err := store.Push(t.Context(), p); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := requests(t, s, 20*day); got != 40 {
		t.Errorf("%d requests were counted, want 40", got)
	}

	// With a shorter retention the older days go, and others keep counting.
	brief := open(t, url, func(c *postgres.Config) { c.Retention.Counters = 3 * day })
	maintain(t, brief)
	for _, name := range partitions(t, conn) {
		if name < partition(now.Add(-3*day)) {
			t.Errorf("partition %s is still there", name)
		}
	}
	if got := requests(t, s, 20*day); got < 4*3 || got > 4*4 {
		t.Errorf("%d requests are left of the last days, want 12 to 16", got)
	}
	// s does not know that the partition is gone.
	p := metadata.Push{Node: edge("edge-0", "b", now), Number: 2, Counters: hits(now.Add(-8*day), 7)}
	if _, err := s.Push(t.Context(), p); err != nil {
		t.Errorf("Push into a day that was dropped: %v", err)
	}
	if _, err := brief.Push(t.Context(), metadata.Push{Node: edge("edge-9", "b", now), Number: 1, Counters: p.Counters}); !errors.Is(err, metadata.ErrInvalid) {
		t.Errorf("Push of a minute that is not kept: %v, want ErrInvalid", err)
	}
}

// A push that is repeated late, after another process took over and fell
// silent, is still known.
func TestPushesAreKnownAcrossBoots(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s, conn := open(t, url), connect(t, url)
	now := time.Now().UTC()
	silence := func() {
		t.Helper()
		if _, err := conn.Exec(t.Context(), `UPDATE node SET last_seen = now() - interval '11 seconds'`); err != nil {
			t.Fatal(err)
		}
	}
	pushed := func(boot string, started time.Time, number uint64) error {
		_, err := s.Push(t.Context(), metadata.Push{Node: edge("edge-1", boot, started), Number: number, Counters: hits(now, 1)})
		return err
	}
	older, newer := now.Add(-time.Hour), now
	steps := []struct {
		boot    string
		started time.Time
		number  uint64
		silence bool
		want    error
		count   int64
	}{
		{"old", older, 1, false, nil, 1},
		{"new", newer, 1, false, nil, 2},
		{"old", older, 2, false, metadata.ErrNodeReplaced, 2},
		{"old", older, 2, true, nil, 3}, // the newer one is dead: a clock was set back
		{"old", older, 1, false, nil, 3},
		{"new", newer, 1, false, nil, 3},
		{"new", newer, 1<<64 - 1, false, nil, 4},
		{"new", newer, 1<<64 - 1, false, nil, 4},
	}
	for i, step := range steps {
		if step.silence {
			silence()
		}
		if err := pushed(step.boot, step.started, step.number); !errors.Is(err, step.want) {
			t.Errorf("step %d: %v, want %v", i, err, step.want)
		}
		if got := requests(t, s, time.Hour); got != step.count {
			t.Errorf("step %d: %d requests were counted, want %d", i, got, step.count)
		}
	}
}

func TestSilentNodesAreNotLive(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s, conn := open(t, url), connect(t, url)
	now := time.Now()
	for _, id := range []string{"edge-1", "edge-2"} {
		n := edge(id, "b", now)
		n.Region = "region-of-" + id
		if _, err := s.Push(t.Context(), metadata.Push{Node: n, Number: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutKey(t.Context(), metadata.AccessKey{ID: "AKIA", Secret: "very-secret", User: "ann", Role: metadata.RoleAdmin}); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `UPDATE node SET last_seen = now() - interval '11 seconds' WHERE id = 'edge-1'`); err != nil {
		t.Fatal(err)
	}
	snap, err := s.Snapshot(t.Context())
	if err != nil || len(snap.Nodes) != 1 || snap.Nodes[0].ID != "edge-2" {
		t.Errorf("live nodes = %+v, %v; want edge-2", snap.Nodes, err)
	}
	// Its region is one all the same: clients sign for it.
	if !slices.ContainsFunc(snap.Keys, func(k metadata.DayKey) bool { return k.Region == "region-of-edge-1" }) {
		t.Error("no day keys for the region of a node that fell silent")
	}
	status, _, err := s.AskPurge(t.Context(), metadata.Purge{Everything: true})
	if err != nil || !slices.Equal(status.Waiting, []string{"edge-2"}) {
		t.Errorf("a purge waits for %q, %v; want edge-2", status.Waiting, err)
	}

	// Long silence is forgotten, old purges too.
	if _, err := conn.Exec(t.Context(), `
		WITH n AS (UPDATE node SET last_seen = now() - interval '8 days' WHERE id = 'edge-1')
		UPDATE purge SET asked = now() - interval '31 days'`); err != nil {
		t.Fatal(err)
	}
	maintain(t, s)
	var nodes int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM node`).Scan(&nodes); err != nil || nodes != 1 {
		t.Errorf("%d nodes are remembered, %v; want 1", nodes, err)
	}
	if _, err := s.PurgeStatus(t.Context(), status.ID); !errors.Is(err, metadata.ErrNoSuchPurge) {
		t.Errorf("status of an old purge: %v, want ErrNoSuchPurge", err)
	}
}

// A push that fails leaves nothing, and comes whole when it is repeated.
func TestAPushIsWholeOrNothing(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s, conn := open(t, url), connect(t, url)
	now := time.Now()
	purge, _, err := s.AskPurge(t.Context(), metadata.Purge{Everything: true})
	if err != nil {
		t.Fatal(err)
	}
	// Its last part, the acknowledgement, waits for a lock until it is cancelled.
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE purge_ack IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	p := metadata.Push{Node: edge("edge-1", "b", now), Number: 1, Counters: hits(now, 5), Purges: []metadata.PurgeAck{{ID: purge.ID}}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := s.Push(ctx, p)
		done <- err
	}()
	watch := connect(t, url)
	eventually(t, "the push waits", func() bool {
		var n int
		err := watch.QueryRow(t.Context(), `
			SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n)
		return err == nil && n == 1
	})
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("the cancelled push: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := requests(t, s, time.Hour); got != 0 {
		t.Errorf("a failed push left %d requests", got)
	}
	if _, err := s.Push(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if got := requests(t, s, time.Hour); got != 5 {
		t.Errorf("%d requests were counted, want 5", got)
	}
	status, err := s.PurgeStatus(t.Context(), purge.ID)
	if err != nil || len(status.Acks) != 1 {
		t.Errorf("acknowledgements = %+v, %v; want one", status.Acks, err)
	}
}
