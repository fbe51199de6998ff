package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"meridian/metadata"
)

// emit writes e into the feed as part of tx and returns its place. Whoever
// commits tx calls ring afterwards. An event without a region gets this one.
func (s *Store) emit(ctx context.Context, tx pgx.Tx, e metadata.Event) (metadata.Seq, error) {
	region := e.Region
	if region == "" {
		region = s.region
	}
	seq, err := scanSeq(tx.QueryRow(ctx, `
		INSERT INTO outbox (type, bucket, key, version_id, region, data) VALUES ($1, $2, $3, $4, $5, $6)
		RETURNING xid, id`, e.Type, e.Bucket, e.Key, e.VersionID, region, e.Data))
	if err != nil {
		return metadata.Seq{}, fmt.Errorf("write event %s: %w", e.Type, err)
	}
	return seq, nil
}
