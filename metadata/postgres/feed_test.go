package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/metadata"
	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgtest"
)

// patience bounds what should happen at once; nothing is inferred from how long
// it took.
const patience = 3 * time.Minute

// ask writes one event through the store.
func ask(t *testing.T, s *postgres.Store, what string) metadata.Seq {
	t.Helper()
	_, seq, err := s.AskPurge(t.Context(), metadata.Purge{SurrogateKeys: []string{what}})
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// begin starts a transaction that has a transaction ID, and with an event one
// that it will have written.
func begin(t *testing.T, url string, event bool) (tx pgx.Tx, seq metadata.Seq) {
	t.Helper()
	tx, err := connect(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if event {
		err = tx.QueryRow(t.Context(), `INSERT INTO outbox (type) VALUES ('late') RETURNING xid, id`).Scan(&seq.Xid, &seq.ID)
	} else {
		err = tx.QueryRow(t.Context(), `SELECT pg_current_xact_id()`).Scan(&seq.Xid)
	}
	if err != nil {
		t.Fatal(err)
	}
	return tx, seq
}

func poll(t *testing.T, s *postgres.Store, after metadata.Seq) []metadata.Seq {
	t.Helper()
	events, err := s.Poll(t.Context(), after, 1000)
	if err != nil {
		t.Fatalf("Poll after %s: %v", after, err)
	}
	seqs := []metadata.Seq{}
	for _, e := range events {
		seqs = append(seqs, e.Seq)
	}
	return seqs
}

// follow collects n events after the given place.
func follow(t *testing.T, s metadata.Follower, after metadata.Seq, n int) []metadata.Seq {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	enough := errors.New("enough")
	var seqs []metadata.Seq
	err := s.Follow(ctx, after, func(e metadata.Event) error {
		if seqs = append(seqs, e.Seq); len(seqs) == n {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatalf("Follow ended after %d of %d events: %v", len(seqs), n, err)
	}
	return seqs
}

func TestALateCommitIsNeverSkipped(t *testing.T) {
	t.Parallel()
	for _, commit := range []bool{true, false} {
		t.Run(fmt.Sprintf("commit=%v", commit), func(t *testing.T) {
			t.Parallel()
			url := pgtest.URL(t)
			s := open(t, url)
			before := ask(t, s, "before")
			tx, late := begin(t, url, true)
			want := []metadata.Seq{ask(t, s, "one"), ask(t, s, "two")}
			if late.Compare(want[0]) >= 0 || want[0].Compare(want[1]) >= 0 {
				t.Fatalf("events are not in the order of the test: %v, %v", late, want)
			}

			if got := poll(t, s, before); len(got) != 0 {
				t.Errorf("delivered %v above a running transaction of place %s", got, late)
			}
			if head, err := s.Head(t.Context()); err != nil || head != want[1] {
				t.Errorf("Head = %s, %v; want %s, which is committed", head, err, want[1])
			}
			snap, err := s.Snapshot(t.Context())
			if err != nil || snap.Seq.Compare(late) >= 0 {
				t.Errorf("Snapshot at %s, %v; want it below %s, which is running", snap.Seq, err, late)
			}

			if commit {
				err = tx.Commit(t.Context())
				want = append([]metadata.Seq{late}, want...)
			} else {
				err = tx.Rollback(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := follow(t, s, before, len(want)); !slices.Equal(got, want) {
				t.Errorf("delivered %v, want %v", got, want)
			}
			if head, err := s.Head(t.Context()); err != nil || head != want[len(want)-1] {
				t.Errorf("Head = %s, %v; want %s", head, err, want[len(want)-1])
			}
		})
	}
}

// Transactions overlap in all ways, some are rolled back, and nobody rings for
// them; followers in two processes see every committed event once, in order.
func TestFollowersOfOverlappingTransactions(t *testing.T) {
	t.Parallel()
	const writers, each = 6, 30
	url := pgtest.URL(t)
	a, b := open(t, url), open(t, url)
	var mu sync.Mutex
	var want []metadata.Seq
	var wg sync.WaitGroup
	results := make([][]metadata.Seq, 2)
	for i, s := range []*postgres.Store{a, b} {
		wg.Go(func() { results[i] = follow(t, s, metadata.Seq{}, writers*each) })
	}
	for w := range writers {
		conn := connect(t, url)
		wg.Go(func() {
			for i := range each {
				if w == 0 { // one of them through a store, with its doorbell
					_, seq, err := a.AskPurge(t.Context(), metadata.Purge{SurrogateKeys: []string{strconv.Itoa(i)}})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					want = append(want, seq)
					mu.Unlock()
					continue
				}
				var seqs []metadata.Seq
				err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
					var seq metadata.Seq
					if err := tx.QueryRow(t.Context(), `INSERT INTO outbox (type) VALUES ($1) RETURNING xid, id`,
						strconv.Itoa(w)).Scan(&seq.Xid, &seq.ID); err != nil {
						return err
					}
					seqs = append(seqs, seq)
					_, err := tx.Exec(t.Context(), `SELECT pg_sleep(random() * 0.01)`)
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
				// And one that comes to nothing.
				tx, err := conn.Begin(t.Context())
				if err == nil {
					_, err = tx.Exec(t.Context(), `INSERT INTO outbox (type) VALUES ('never')`)
					err = errors.Join(err, tx.Rollback(t.Context()))
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				want = append(want, seqs...)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.SortFunc(want, metadata.Seq.Compare)
	for i, got := range results {
		if !slices.Equal(got, want) {
			t.Errorf("follower %d saw %d events, want these %d in order:\n%v\n%v", i, len(got), len(want), got, want)
		}
	}
}

func TestFollowersFindWhatNobodyRangFor(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s, conn := open(t, url), connect(t, url)
	insert := func() (seq metadata.Seq) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), `INSERT INTO outbox (type) VALUES ('silent') RETURNING xid, id`).
			Scan(&seq.Xid, &seq.ID); err != nil {
			t.Fatal(err)
		}
		return seq
	}
	listeners := func() (n int) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), `
			SELECT count(*) FROM pg_stat_activity
			 WHERE datname = current_database() AND query ILIKE 'LISTEN%'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	first := insert()
	follow(t, s, metadata.Seq{}, 1)
	eventually(t, "the store listens", func() bool { return listeners() == 1 })

	if _, err := conn.Exec(t.Context(), `
		SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		 WHERE datname = current_database() AND query ILIKE 'LISTEN%'`); err != nil {
		t.Fatal(err)
	}
	second := insert()
	if got := follow(t, s, first, 1); got[0] != second {
		t.Errorf("without a doorbell %v was delivered, want %s", got, second)
	}
	eventually(t, "the store listens again, once", func() bool { return listeners() == 1 })
	// A doorbell of another process.
	other := open(t, url)
	third := ask(t, other, "third")
	if got := follow(t, s, second, 1); got[0] != third {
		t.Errorf("%v was delivered, want %s", got, third)
	}
}

func TestTheFeedTellsWhatItForgot(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s, conn := open(t, url), connect(t, url)
	var seqs []metadata.Seq
	for i := range 8 {
		seqs = append(seqs, ask(t, s, strconv.Itoa(i)))
	}
	// Nothing is old yet.
	maintain(t, s)
	if got := follow(t, s, metadata.Seq{}, len(seqs)); !slices.Equal(got, seqs) {
		t.Fatalf("maintenance left %v of %v", got, seqs)
	}
	age := func(upTo metadata.Seq) {
		t.Helper()
		_, err := conn.Exec(t.Context(), `UPDATE outbox SET at = now() - interval '8 days' WHERE (xid, id) <= ($1, $2)`,
			upTo.Xid, int64(upTo.ID))
		if err != nil {
			t.Fatal(err)
		}
	}
	age(seqs[4])
	second := open(t, url)
	var wg sync.WaitGroup
	for _, s := range []*postgres.Store{s, second, s, second} {
		wg.Go(func() { maintain(t, s) })
	}
	wg.Wait()
	eventually(t, "old events are removed", func() bool {
		maintain(t, s)
		_, err := s.Poll(t.Context(), seqs[3], 10)
		return errors.Is(err, metadata.ErrFeedGone)
	})
	for _, gone := range append([]metadata.Seq{{}}, seqs[:4]...) {
		if _, err := s.Poll(t.Context(), gone, 10); !errors.Is(err, metadata.ErrFeedGone) {
			t.Errorf("Poll after %s, below what was removed: %v, want ErrFeedGone", gone, err)
		}
		if err := s.Follow(t.Context(), gone, func(metadata.Event) error { return nil }); !errors.Is(err, metadata.ErrFeedGone) {
			t.Errorf("Follow after %s, below what was removed: %v, want ErrFeedGone", gone, err)
		}
	}
	if got := follow(t, s, seqs[4], 3); !slices.Equal(got, seqs[5:]) {
		t.Errorf("after the last event removed %v are delivered, want %v", got, seqs[5:])
	}

	// When nothing is left the feed still has its place.
	age(seqs[7])
	eventually(t, "all events are removed", func() bool {
		maintain(t, s)
		_, err := s.Poll(t.Context(), seqs[6], 10)
		return errors.Is(err, metadata.ErrFeedGone)
	})
	if head, err := s.Head(t.Context()); err != nil || head != seqs[7] {
		t.Errorf("Head = %s, %v; want the last event removed, %s", head, err, seqs[7])
	}
	if snap, err := s.Snapshot(t.Context()); err != nil || snap.Seq != seqs[7] {
		t.Errorf("Snapshot at %s, %v; want the last event removed, %s", snap.Seq, err, seqs[7])
	}
	if got := poll(t, s, seqs[7]); len(got) != 0 {
		t.Errorf("an empty feed delivered %v", got)
	}
	next := ask(t, s, "next")
	if got := follow(t, s, seqs[7], 1); got[0] != next {
		t.Errorf("delivered %v, want %s", got, next)
	}
}

// A transaction that is still running when events around it are removed by age
// is not below the floor when it commits.
func TestWhatIsStillToComeIsNotForgotten(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s, conn := open(t, url), connect(t, url)
	start := ask(t, s, "before")
	tx, late := begin(t, url, true)
	after := ask(t, s, "after")
	if _, err := conn.Exec(t.Context(), `UPDATE outbox SET at = now() - interval '8 days'`); err != nil {
		t.Fatal(err)
	}
	maintain(t, s)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := follow(t, s, start, 2), []metadata.Seq{late, after}; !slices.Equal(got, want) {
		t.Errorf("delivered %v, want %v", got, want)
	}
}

func maintain(t *testing.T, s *postgres.Store) {
	t.Helper()
	if err := s.Maintain(t.Context()); err != nil {
		t.Errorf("Maintain: %v", err)
	}
}

// eventually waits for something that another goroutine or process does.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("it never came about that %s", what)
		case <-tick.C:
		}
	}
}
