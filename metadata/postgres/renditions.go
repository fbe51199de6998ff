package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/metadata"
)

var _ metadata.Renditions = (*Store)(nil)

// removedPause is how long a dropped rendition that was removed is left in peace
// before it is removed once more.
const removedPause = 30 * time.Minute

// DroppedRenditions implements metadata.Renditions. A version may become the
// current one again, and a record have its rendition anew.
func (s *Store) DroppedRenditions(ctx context.Context, limit int) ([]string, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT d.key FROM rendition_dropped d
		 WHERE d.due <= now() AND NOT EXISTS (
		       SELECT FROM media m
		        WHERE m.renditions <> '[]' AND m.renditions @> jsonb_build_array(jsonb_build_object('key', d.key)))
		 ORDER BY d.due LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("dropped renditions: %w", err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("dropped renditions: %w", err)
	}
	return keys, nil
}

// RenditionsRemoved implements metadata.Renditions.
func (s *Store) RenditionsRemoved(ctx context.Context, keys []string, keep time.Duration) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `
			DELETE FROM rendition_dropped WHERE key = ANY ($1) AND dropped <= now() - $2::interval`, keys, keep); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			UPDATE rendition_dropped SET due = now() + $2::interval WHERE key = ANY ($1)`, keys, removedPause)
		return err
	})
	if err != nil {
		return fmt.Errorf("removed renditions: %w", err)
	}
	return nil
}
