package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Retention is how long the catalogue keeps what only ages. Zero means the
// default.
type Retention struct {
	// Events is how long a follower may be away and still go on where it was.
	Events time.Duration // default 7 days
	// Counters is how far back the hit report reaches.
	Counters time.Duration // default 30 days
	// Purges is how long the status of a purge, or of a warm-up, can be asked for.
	Purges time.Duration // default 30 days
	// Nodes is how long a node that fell silent is remembered.
	Nodes time.Duration // default 7 days
	// Runs is how long it is told what lifecycle rules have done, and what
	// webhooks could not be told.
	Runs time.Duration // default 30 days
}

func (r Retention) withDefaults() Retention {
	const day = 24 * time.Hour
	for _, f := range []struct {
		d        *time.Duration
		fallback time.Duration
	}{{&r.Events, 7 * day}, {&r.Counters, 30 * day}, {&r.Purges, 30 * day}, {&r.Nodes, 7 * day}, {&r.Runs, 30 * day}} {
		if *f.d <= 0 {
			*f.d = f.fallback
		}
	}
	return r
}

// trimBatch is how many events one transaction removes, so that none runs long.
const trimBatch = 5000

// Maintain removes what is older than it need be kept and prepares the
// partitions of the days to come. A role calls it every few minutes; several
// may do so at once.
func (s *Store) Maintain(ctx context.Context) error {
	now := time.Now().UTC()
	return errors.Join(
		s.trimFeed(ctx),
		s.addCounterDay(ctx, now.Truncate(dayLength)),
		s.addCounterDay(ctx, now.Add(dayLength).Truncate(dayLength)),
		s.dropCounterDays(ctx, now.Add(-s.retention.Counters)),
		s.dropPurges(ctx, now.Add(-s.retention.Purges)),
		s.dropWarms(ctx, now.Add(-s.retention.Purges)),
		s.dropNodes(ctx),
		s.dropKeys(ctx),
		s.dropRuns(ctx),
		s.dropDead(ctx),
	)
}

// trimFeed removes old events from the beginning of the feed, batch by batch.
func (s *Store) trimFeed(ctx context.Context) error {
	for {
		trimmed := 0
		err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			var mine bool // else another process is at it
			if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock(hashtextextended('meridian trim feed', 0))`).
				Scan(&mine); err != nil || !mine {
				return err
			}
			return tx.QueryRow(ctx, trimSQL, s.retention.Events, trimBatch).Scan(&trimmed)
		})
		if err != nil {
			return fmt.Errorf("trim feed: %w", err)
		}
		if trimmed < trimBatch {
			return nil
		}
	}
}

// trimSQL goes by the order of the feed, stops at the first event that is young
// enough, and remembers the last one removed in the same transaction: no
// follower can miss events without being told.
const trimSQL = `
	WITH head AS (
	     SELECT xid, id, at FROM outbox
	      WHERE xid < pg_snapshot_xmin(pg_current_snapshot())
	      ORDER BY xid, id LIMIT $2),
	keep AS (
	     SELECT xid, id FROM head WHERE at >= now() - $1::interval ORDER BY xid, id LIMIT 1),
	gone AS (
	     DELETE FROM outbox o USING head h
	      WHERE o.xid = h.xid AND o.id = h.id
	        AND NOT EXISTS (SELECT FROM keep k WHERE (k.xid, k.id) <= (h.xid, h.id))
	     RETURNING o.xid, o.id),
	last AS (
	     SELECT xid, id FROM gone ORDER BY xid DESC, id DESC LIMIT 1),
	floor AS (
	     UPDATE feed_floor f SET xid = last.xid, id = last.id FROM last
	      WHERE (f.xid, f.id) < (last.xid, last.id))
	SELECT count(*) FROM gone`

// dropNodes forgets nodes that have not been heard of for long, and the
// numbers of pushes that nobody can repeat any more: a push that is older than
// the counters kept is refused anyway.
func (s *Store) dropNodes(ctx context.Context) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM node WHERE last_seen < now() - $1::interval`, s.retention.Nodes); err != nil {
			return fmt.Errorf("drop nodes: %w", err)
		}
		if _, err := tx.Exec(ctx, `DELETE FROM node_boot WHERE seen < now() - $1::interval`, s.retention.Counters+dayLength); err != nil {
			return fmt.Errorf("drop boots of nodes: %w", err)
		}
		return nil
	})
}

// dropKeys removes access keys that have expired a day ago. Nobody is told:
// they ceased to work by themselves.
func (s *Store) dropKeys(ctx context.Context) error {
	if _, err := s.pool.Exec(ctx, `DELETE FROM access_key WHERE expires < now() - interval '1 day'`); err != nil {
		return fmt.Errorf("drop expired access keys: %w", err)
	}
	return nil
}
