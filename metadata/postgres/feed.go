package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/metadata"
)

var (
	_ metadata.Feed     = (*Store)(nil)
	_ metadata.Follower = (*Store)(nil)
)

const (
	// feedPoll is how long a follower sleeps when no doorbell rings.
	feedPoll = 200 * time.Millisecond
	// feedRetry is how soon it looks again after it saw committed events that
	// an older transaction still withholds.
	feedRetry = 2 * time.Millisecond
)

// Head implements metadata.Feed. It looks above the oldest running transaction
// too: an event up there is acknowledged, and not delivered yet. Where
// everything was removed by age, the head is the last event that was.
func (s *Store) Head(ctx context.Context) (metadata.Seq, error) {
	head, err := scanSeq(s.pool.QueryRow(ctx, `
		SELECT xid, id FROM (
			(SELECT xid, id FROM outbox ORDER BY xid DESC, id DESC LIMIT 1)
			UNION ALL SELECT xid, id FROM feed_floor) s
		ORDER BY xid DESC, id DESC LIMIT 1`))
	if err != nil {
		return metadata.Seq{}, fmt.Errorf("feed head: %w", err)
	}
	return head, nil
}

// Poll implements metadata.Feed. Events of transactions at or above the oldest
// running one are withheld, since that one may yet commit below them; whether
// there are any is asked of the last one only, which is a look at one end of the
// index however many there are. The floor and the events come from one statement,
// hence one state of the database: nothing can be removed between the two.
func (s *Store) Poll(ctx context.Context, after metadata.Seq, limit int) ([]metadata.Event, error) {
	if limit < 1 {
		return nil, metadata.Invalidf("feed limit %d is not positive", limit)
	}
	rows, err := s.pool.Query(ctx, `
		SELECT f.gone, f.withheld, e.xid, coalesce(e.id, 0), coalesce(e.at, now()), coalesce(e.type, ''),
		       coalesce(e.bucket, ''), coalesce(e.key, ''), coalesce(e.version_id, ''), coalesce(e.region, ''), e.data - 'cause', e.data -> 'cause'
		  FROM (SELECT (xid, id) > ($1::xid8, $2::bigint)
		               -- A position of the future is one of another database,
		               -- or of this one before it was restored from a backup.
		               OR $1::xid8 >= pg_snapshot_xmax(pg_current_snapshot()) AS gone,
		               coalesce((SELECT xid FROM outbox ORDER BY xid DESC, id DESC LIMIT 1)
		                     >= pg_snapshot_xmin(pg_current_snapshot()), false) AS withheld
		          FROM feed_floor) f
		  LEFT JOIN LATERAL (
		        SELECT * FROM outbox
		         WHERE (xid, id) > ($1::xid8, $2::bigint)
		           AND xid < pg_snapshot_xmin(pg_current_snapshot())
		         ORDER BY xid, id LIMIT $3) e ON NOT f.gone
		 ORDER BY e.xid, e.id`, after.Xid, eventID(after), limit)
	if err != nil {
		return nil, fmt.Errorf("poll feed after %s: %w", after, err)
	}
	var gone, withheld bool
	var events []metadata.Event
	var xid *uint64 // null in the one row of a Poll that finds none
	var e metadata.Event
	var data, cause []byte
	_, err = pgx.ForEachRow(rows, []any{&gone, &withheld, &xid, &e.Seq.ID, &e.Time, &e.Type,
		&e.Bucket, &e.Key, &e.VersionID, &e.Region, &data, &cause}, func() error {
		if xid == nil {
			return nil
		}
		e.Seq.Xid, e.Data, e.Cause = *xid, data, metadata.Cause{}
		if len(cause) > 0 {
			if err := json.Unmarshal(cause, &e.Cause); err != nil {
				return fmt.Errorf("cause of event %s: %w", e.Seq, err)
			}
		}
		events = append(events, e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("poll feed after %s: %w", after, err)
	}
	if gone {
		return nil, fmt.Errorf("poll feed after %s: %w", after, metadata.ErrFeedGone)
	}
	s.withheld.note(withheld, len(events) > 0)
	return events, nil
}

// Wait implements metadata.Feed. What was rung between the caller's Poll and
// its Wait is found up to 200 ms later; Follow has no such gap.
func (s *Store) Wait(ctx context.Context) error { return s.wait(ctx, s.bell.woken()) }

func (s *Store) wait(ctx context.Context, woken <-chan struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	timer := time.NewTimer(s.withheld.patience())
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-woken:
	case <-timer.C:
	}
	return nil
}

// Follow implements metadata.Follower.
func (s *Store) Follow(ctx context.Context, after metadata.Seq, fn func(metadata.Event) error) error {
	return metadata.FollowFeed(ctx, &subscription{Store: s}, after, fn)
}

// subscription is the feed as one follower sees it: its Wait knows what rang
// since its last Poll began.
type subscription struct {
	*Store
	woken <-chan struct{}
}

func (f *subscription) Poll(ctx context.Context, after metadata.Seq, limit int) ([]metadata.Event, error) {
	f.woken = f.bell.woken()
	return f.Store.Poll(ctx, after, limit)
}

func (f *subscription) Wait(ctx context.Context) error { return f.wait(ctx, f.woken) }

// withholding tells for how long the feed has stood still below committed
// events. The transaction that withholds them rings no doorbell when it ends
// without an event, so followers look again soon, and ever less often the
// longer it lasts.
type withholding struct {
	since atomic.Int64 // Unix time in ns; 0 while nothing is withheld
}

// note records what a Poll found.
func (w *withholding) note(withheld, delivered bool) {
	switch {
	case !withheld:
		w.since.Store(0)
	case delivered:
		w.since.Store(time.Now().UnixNano())
	default:
		w.since.CompareAndSwap(0, time.Now().UnixNano())
	}
}

// patience is how long to sleep without a doorbell.
func (w *withholding) patience() time.Duration {
	since := w.since.Load()
	if since == 0 {
		return feedPoll
	}
	return min(max(time.Since(time.Unix(0, since))/2, feedRetry), feedPoll)
}
