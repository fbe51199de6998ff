package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/metadata"
)

// errBeingFreed asks for patience.
var errBeingFreed = errors.New("a former copy of it is yet to be freed there")

// Placed implements metadata.Blobs. The event blob.placed is written unless the
// copy was known. ErrNoSuchVersion if nothing names the blob any more: the copy
// is an orphan.
func (s *Store) Placed(ctx context.Context, blob, region string) error {
	if !isText(blob) || !isText(region) || region == "" {
		return fmt.Errorf("place blob %q: %w", blob, metadata.Invalidf("blob or region %q is not text", region))
	}
	var status string
	err := retry(ctx, true, func() error {
		return s.pool.QueryRow(ctx, `SELECT place_blob($1, $2)`, blob, region).Scan(&status)
	})
	switch {
	case err == nil && status == "again":
		return nil
	case err == nil && status == "being freed":
		err = errBeingFreed
	case err == nil:
		err = statusError(status)
	}
	if err != nil {
		return fmt.Errorf("place blob %s in %s: %w", blob, region, err)
	}
	s.ring()
	return nil
}

// Referenced implements metadata.Blobs.
func (s *Store) Referenced(ctx context.Context, blobs []string) ([]bool, error) {
	names := make([]string, len(blobs))
	for i, blob := range blobs {
		if isText(blob) { // else nothing can name it
			names[i] = blob
		}
	}
	rows, err := s.pool.Query(ctx, `
		SELECT EXISTS (SELECT FROM object WHERE blob = b.blob)
		    OR EXISTS (SELECT FROM object_history WHERE blob = b.blob AND blob <> '')
		    OR EXISTS (SELECT FROM upload WHERE blob = b.blob)
		    OR EXISTS (SELECT FROM dropped_version WHERE blob = b.blob)
		  FROM unnest($1::text[]) WITH ORDINALITY AS b (blob, n) ORDER BY b.n`, names)
	var found []bool
	if err == nil {
		found, err = pgx.CollectRows(rows, pgx.RowTo[bool])
	}
	if err != nil {
		return nil, fmt.Errorf("look for who references blobs: %w", err)
	}
	return found, nil
}

// Dropped implements metadata.Blobs.
func (s *Store) Dropped(ctx context.Context, region string, before time.Time, limit int) ([]metadata.DroppedBlob, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT blob, dropped FROM dropped_blob WHERE region = $1 AND dropped < $2
		 ORDER BY dropped, blob LIMIT $3`, region, before, limit)
	var dropped []metadata.DroppedBlob
	if err == nil {
		dropped, err = pgx.CollectRows(rows, pgx.RowToStructByPos[metadata.DroppedBlob])
	}
	if err != nil {
		return nil, fmt.Errorf("dropped blobs of %s: %w", region, err)
	}
	return dropped, nil
}

// Freed implements metadata.Blobs. A version is forgotten when the last region
// has freed its blob; the lock makes regions take turns, so that one of them is
// the last.
func (s *Store) Freed(ctx context.Context, region string, blobs []string) error {
	err := retry(ctx, true, func() error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			batch := &pgx.Batch{}
			batch.Queue(`SELECT FROM dropped_version WHERE blob = ANY ($1) ORDER BY version_id FOR UPDATE`, blobs)
			batch.Queue(`DELETE FROM dropped_blob WHERE region = $1 AND blob = ANY ($2)`, region, blobs)
			batch.Queue(`
				DELETE FROM dropped_version v WHERE v.blob = ANY ($1) AND NOT EXISTS (
				       SELECT FROM dropped_blob d WHERE d.blob = v.blob AND d.region = ANY (v.regions))`, blobs)
			return tx.SendBatch(ctx, batch).Close()
		})
	})
	if err != nil {
		return fmt.Errorf("forget freed blobs of %s: %w", region, err)
	}
	return nil
}
