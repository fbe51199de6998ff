package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/metadata"
)

var _ metadata.LifecycleRuns = (*Store)(nil)

// runColumns are as scanRun reads them, of run r of bucket b.
const runColumns = `r.id, b.name, r.started, r.updated, r.finished, r.after_key, r.counts`

func scanRun(row pgx.CollectableRow) (metadata.LifecycleRun, error) {
	var r metadata.LifecycleRun
	var counts []byte
	// The counts come first: the rest of the run is not in them.
	var kept metadata.LifecycleRun
	err := row.Scan(&kept.ID, &kept.Bucket, &kept.Started, &kept.Updated, &kept.Finished, &kept.After, &counts)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(counts, &r); err != nil {
		return r, fmt.Errorf("counts of lifecycle run %d: %w", kept.ID, err)
	}
	r.ID, r.Bucket, r.Started, r.Updated, r.Finished, r.After = kept.ID, kept.Bucket, kept.Started.UTC(), kept.Updated.UTC(), kept.Finished, kept.After
	return r, nil
}

// DueLifecycles implements metadata.LifecycleRuns.
func (s *Store) DueLifecycles(ctx context.Context, every time.Duration, limit int) ([]metadata.LifecycleRun, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT CASE WHEN r.finished IS NULL THEN coalesce(r.id, 0) ELSE 0 END, b.name, coalesce(r.started, now()),
		       coalesce(r.updated, now()), NULL::timestamptz,
		       CASE WHEN r.finished IS NULL THEN coalesce(r.after_key, '') ELSE '' END,
		       CASE WHEN r.finished IS NULL THEN coalesce(r.counts, '{}') ELSE '{}' END
		  FROM bucket b
		  LEFT JOIN LATERAL (SELECT * FROM lifecycle_run WHERE bucket_id = b.id ORDER BY id DESC LIMIT 1) r ON true
		 WHERE b.config -> 'lifecycle' IS NOT NULL
		   AND (r.id IS NULL OR r.finished IS NULL OR r.started <= now() - $1::interval)
		 ORDER BY r.started NULLS FIRST, b.name LIMIT $2`, every, limit)
	var list []metadata.LifecycleRun
	if err == nil {
		list, err = pgx.CollectRows(rows, scanRun)
	}
	if err != nil {
		return nil, fmt.Errorf("lifecycle runs that are due: %w", err)
	}
	return list, nil
}

// SaveLifecycle implements metadata.LifecycleRuns.
func (s *Store) SaveLifecycle(ctx context.Context, r metadata.LifecycleRun, finished bool) (metadata.LifecycleRun, error) {
	saved, err := s.saveLifecycle(ctx, r, finished)
	if err != nil {
		return r, fmt.Errorf("save the lifecycle run of %s: %w", r.Bucket, err)
	}
	return saved, nil
}

func (s *Store) saveLifecycle(ctx context.Context, r metadata.LifecycleRun, finished bool) (metadata.LifecycleRun, error) {
	r.Error = asText(r.Error, maxReason)
	counts, err := json.Marshal(r)
	if err != nil {
		return r, err
	}
	sql := `WITH r AS (
	       UPDATE lifecycle_run SET updated = now(), finished = CASE WHEN $2 THEN now() END, after_key = $3, counts = $4
	        WHERE id = $5 RETURNING *)
	SELECT ` + runColumns + ` FROM r JOIN bucket b ON b.id = r.bucket_id WHERE b.name = $1`
	args := []any{r.Bucket, finished, r.After, counts, r.ID}
	if r.ID == 0 {
		sql = `WITH r AS (
		       INSERT INTO lifecycle_run (bucket_id, finished, after_key, counts)
		       SELECT id, CASE WHEN $2 THEN now() END, $3, $4 FROM bucket WHERE name = $1 RETURNING *)
		SELECT ` + runColumns + ` FROM r JOIN bucket b ON b.id = r.bucket_id`
		args = args[:4]
	}
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return r, err
	}
	saved, err := pgx.CollectExactlyOneRow(rows, scanRun)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, metadata.ErrNoSuchBucket
	}
	return saved, err
}

// Lifecycles implements metadata.LifecycleRuns.
func (s *Store) Lifecycles(ctx context.Context, bucket string, below int64, limit int) ([]metadata.LifecycleRun, error) {
	if _, err := s.Bucket(ctx, bucket); err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, `
		SELECT `+runColumns+` FROM lifecycle_run r JOIN bucket b ON b.id = r.bucket_id
		 WHERE b.name = $1 AND ($2 = 0 OR r.id < $2) ORDER BY r.id DESC LIMIT $3`, bucket, below, limit)
	var list []metadata.LifecycleRun
	if err == nil {
		list, err = pgx.CollectRows(rows, scanRun)
	}
	if err != nil {
		return nil, fmt.Errorf("lifecycle runs of %s: %w", bucket, err)
	}
	return list, nil
}

// dropRuns removes lifecycle runs that began long ago, but the last of each
// bucket.
func (s *Store) dropRuns(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, `
		DELETE FROM lifecycle_run r WHERE r.started < now() - $1::interval
		   AND EXISTS (SELECT FROM lifecycle_run n WHERE n.bucket_id = r.bucket_id AND n.id > r.id)`, s.retention.Runs)
	if err != nil {
		return fmt.Errorf("drop old lifecycle runs: %w", err)
	}
	return nil
}
