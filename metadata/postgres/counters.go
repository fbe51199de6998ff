package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"meridian/metadata"
)

// counterSkew is how far ahead of ours the clock of a node may be.
const counterSkew = 2 * time.Minute

// foldCounters refuses what the report could not add up, and makes one counter
// of those for the same minute, bucket and class.
func (s *Store) foldCounters(counters []metadata.Counter, now time.Time) ([]metadata.Counter, error) {
	type slot struct {
		minute        time.Time
		bucket, class string
	}
	at := make(map[slot]int, len(counters))
	var folded []metadata.Counter
	for _, c := range counters {
		if err := checkCounter(c); err != nil {
			return nil, err
		}
		c.Minute = c.Minute.UTC().Truncate(time.Minute)
		if c.Minute.Before(now.Add(-s.retention.Counters)) || c.Minute.After(now.Add(counterSkew)) {
			return nil, metadata.Invalidf("counters of minute %s are too old or of the future", c.Minute.Format(time.RFC3339))
		}
		k := slot{c.Minute, c.Bucket, c.Class}
		i, ok := at[k]
		if !ok {
			at[k] = len(folded)
			c.Latency = slices.Clone(c.Latency)
			folded = append(folded, c)
			continue
		}
		addCounter(&folded[i], c)
	}
	return folded, nil
}

// counterColumns are the numbers of a counter, as counterNumbers gives them.
var counterColumns = [...]string{
	"requests", "hits", "misses", "stale", "revalidated", "pass", "bytes", "hit_bytes", "answered_regional", "answered_origin",
	"ahead_fetched", "ahead_fetched_bytes", "ahead_won", "ahead_won_bytes", "ahead_wasted", "ahead_wasted_bytes",
}

func counterNumbers(c *metadata.Counter) [len(counterColumns)]int64 {
	p := c.Prefetch
	return [...]int64{
		c.Requests, c.Hits, c.Misses, c.Stale, c.Revalidated, c.Pass, c.Bytes, c.HitBytes, c.AnsweredRegional, c.AnsweredOrigin,
		p.Fetched, p.FetchedBytes, p.Won, p.WonBytes, p.Wasted, p.WastedBytes,
	}
}

func checkCounter(c metadata.Counter) error {
	if len(c.Bucket) > 255 || !isText(c.Bucket) {
		return metadata.Invalidf("counter has the bucket %q", c.Bucket)
	}
	switch c.Class {
	case metadata.ClassPhoto, metadata.ClassVideo, metadata.ClassOther:
	default:
		return metadata.Invalidf("class %q of a counter is unknown", c.Class)
	}
	for _, n := range counterNumbers(&c) {
		// The bound keeps sums from overflowing.
		if n < 0 || n > 1<<56 {
			return metadata.Invalidf("counter of bucket %q has the number %d", c.Bucket, n)
		}
	}
	if len(c.Latency) > metadata.LatencyBuckets {
		return metadata.Invalidf("histogram has %d buckets, more than %d", len(c.Latency), metadata.LatencyBuckets)
	}
	for _, n := range c.Latency {
		if n < 0 || n > 1<<56 {
			return metadata.Invalidf("histogram of bucket %q has the number %d", c.Bucket, n)
		}
	}
	if sum := c.Hits + c.Misses + c.Stale + c.Revalidated + c.Pass; sum != c.Requests {
		return metadata.Invalidf("results of bucket %q add up to %d of %d requests", c.Bucket, sum, c.Requests)
	}
	if c.AnsweredRegional+c.AnsweredOrigin > c.Requests || c.HitBytes > c.Bytes {
		return metadata.Invalidf("counter of bucket %q has parts that exceed the whole", c.Bucket)
	}
	return nil
}

func addCounter(to *metadata.Counter, c metadata.Counter) {
	to.Requests += c.Requests
	to.Hits += c.Hits
	to.Misses += c.Misses
	to.Stale += c.Stale
	to.Revalidated += c.Revalidated
	to.Pass += c.Pass
	to.Bytes += c.Bytes
	to.HitBytes += c.HitBytes
	to.AnsweredRegional += c.AnsweredRegional
	to.AnsweredOrigin += c.AnsweredOrigin
	to.Latency.Merge(c.Latency)
	to.Prefetch.Add(c.Prefetch)
}

// addCounters adds to the minutes. Rows of one node are written by one push at
// a time, since it holds the lock on the node.
func addCounters(ctx context.Context, tx pgx.Tx, n metadata.Node, counters []metadata.Counter) error {
	if len(counters) == 0 {
		return nil
	}
	var minute []time.Time
	var bucket, class, latency []string
	var numbers [len(counterColumns)][]int64
	for _, c := range counters {
		minute, bucket, class = append(minute, c.Minute), append(bucket, c.Bucket), append(class, c.Class)
		// Arrays of arrays must be rectangular in Postgres, so each travels as text.
		latency = append(latency, arrayText(c.Latency))
		for i, v := range counterNumbers(&c) {
			numbers[i] = append(numbers[i], v)
		}
	}
	args := []any{n.ID, n.Tier, n.Region, minute, bucket, class, latency}
	for _, column := range numbers {
		args = append(args, column)
	}
	if _, err := tx.Exec(ctx, addCountersSQL(), args...); err != nil {
		return fmt.Errorf("add counters: %w", err)
	}
	return nil
}

// addCountersSQL takes the node, its tier and region, then an array for each
// column of the rows.
func addCountersSQL() string {
	names := strings.Join(counterColumns[:], ", ")
	var arrays, sums strings.Builder
	for i, c := range counterColumns {
		fmt.Fprintf(&arrays, ", $%d::bigint[]", 8+i)
		fmt.Fprintf(&sums, ", %[1]s = m.%[1]s + excluded.%[1]s", c)
	}
	return `
	INSERT INTO cache_minute AS m (node, tier, region, minute, bucket, class, latency, ` + names + `)
	SELECT $1, $2, $3, minute, bucket, class, latency::bigint[], ` + names + `
	  FROM unnest($4::timestamptz[], $5::text[], $6::text[], $7::text[]` + arrays.String() + `)
	    AS c (minute, bucket, class, latency, ` + names + `)
	    ON CONFLICT (minute, node, tier, region, bucket, class) DO UPDATE SET
	       latency = histogram_add(m.latency, excluded.latency)` + sums.String()
}

// arrayText is h as Postgres writes an array, without the zeros at its end.
func arrayText(h metadata.Histogram) string {
	for len(h) > 0 && h[len(h)-1] == 0 {
		h = h[:len(h)-1]
	}
	var b strings.Builder
	b.WriteByte('{')
	for i, n := range h {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatInt(n, 10))
	}
	b.WriteByte('}')
	return b.String()
}

// counterDays remembers the days whose partition is known to exist.
type counterDays struct {
	mu    sync.Mutex
	known map[time.Time]bool
}

func (d *counterDays) has(day time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.known[day]
}

func (d *counterDays) add(day time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil {
		d.known = map[time.Time]bool{}
	}
	d.known[day] = true
}

func (d *counterDays) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.known)
}

const (
	dayLength   = 24 * time.Hour
	dayPrefix   = "cache_minute_"
	dayFormat   = "20060102"
	dayLockSQL  = `SELECT pg_advisory_xact_lock(hashtextextended('meridian counter days', 0))`
	dayTimeout  = `SET LOCAL lock_timeout = '2s'`
	daySettings = `SET LOCAL client_min_messages = warning`
)

func (s *Store) addCounterDays(ctx context.Context, counters []metadata.Counter) error {
	for _, c := range counters {
		if err := s.addCounterDay(ctx, c.Minute.Truncate(dayLength)); err != nil {
			return err
		}
	}
	return nil
}

// addCounterDay makes the partition of a day in a transaction of its own. The
// advisory lock lets one process do it; a table that is made aside and then
// attached blocks neither pushes nor reports, as CREATE ... PARTITION OF would.
func (s *Store) addCounterDay(ctx context.Context, day time.Time) error {
	if s.days.has(day) {
		return nil
	}
	table := dayPrefix + day.Format(dayFormat)
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		for _, sql := range []string{daySettings, dayLockSQL} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		var exists bool
		if err := tx.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, table).Scan(&exists); err != nil || exists {
			return err
		}
		if _, err := tx.Exec(ctx, `CREATE TABLE `+table+` (LIKE cache_minute INCLUDING ALL)`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, fmt.Sprintf(`ALTER TABLE cache_minute ATTACH PARTITION %s FOR VALUES FROM ('%s') TO ('%s')`,
			table, day.Format(time.RFC3339), day.Add(dayLength).Format(time.RFC3339)))
		return err
	})
	if err != nil {
		return fmt.Errorf("make partition %s: %w", table, err)
	}
	s.days.add(day)
	return nil
}

// dropCounterDays drops the days whose last minute is older than before. A
// report that runs meanwhile makes it give up; the next maintenance tries again.
func (s *Store) dropCounterDays(ctx context.Context, before time.Time) error {
	tables, err := queryTexts(ctx, s.pool, `
		SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		 WHERE i.inhparent = 'cache_minute'::regclass ORDER BY 1`)
	if err != nil {
		return fmt.Errorf("list partitions: %w", err)
	}
	for _, table := range tables {
		day, err := time.Parse(dayFormat, strings.TrimPrefix(table, dayPrefix))
		if err != nil || day.Add(dayLength).After(before) {
			continue
		}
		err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			for _, sql := range []string{daySettings, dayTimeout, dayLockSQL, `DROP TABLE IF EXISTS ` + pgx.Identifier{table}.Sanitize()} {
				if _, err := tx.Exec(ctx, sql); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("drop partition %s: %w", table, err)
		}
	}
	if len(tables) > 0 {
		s.days.forget()
	}
	return nil
}

// isNoPartition reports whether a row found no partition to go to, which
// Postgres counts among the check violations.
func isNoPartition(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23514" && pg.ConstraintName == ""
}
