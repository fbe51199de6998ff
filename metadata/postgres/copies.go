package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype/zeronull"

	"meridian/metadata"
)

var _ metadata.Copies = (*Store)(nil)

// AddRegion implements metadata.Copies.
func (s *Store) AddRegion(ctx context.Context, region string) error {
	if region == "" || !isText(region) {
		return fmt.Errorf("add region: %w", metadata.Invalidf("%q is no name of a region", region))
	}
	err := retry(ctx, true, func() error {
		_, err := s.pool.Exec(ctx, `SELECT add_region($1)`, region)
		return err
	})
	if err != nil {
		return fmt.Errorf("add region %s: %w", region, err)
	}
	return nil
}

// KnownRegions implements metadata.Copies.
func (s *Store) KnownRegions(ctx context.Context) ([]string, error) {
	list, err := queryTexts(ctx, s.pool, `SELECT name FROM region ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("known regions: %w", err)
	}
	return list, nil
}

// TakeCopies implements metadata.Copies. A copy whose region has yet to free an
// older one of the same blob waits for that.
func (s *Store) TakeCopies(ctx context.Context, region, holder string, limit int, lease time.Duration) ([]metadata.Copy, error) {
	if holder == "" || !isText(holder) {
		return nil, fmt.Errorf("take copies: %w", metadata.Invalidf("%q cannot hold a copy", holder))
	}
	rows, err := s.pool.Query(ctx, `
		WITH next AS (
		     SELECT blob, region FROM copy_job j
		      WHERE region = $1 AND due <= clock_timestamp()
		        AND NOT EXISTS (SELECT FROM dropped_blob d WHERE d.region = j.region AND d.blob = j.blob)
		      ORDER BY due LIMIT $2 FOR UPDATE SKIP LOCKED),
		taken AS (
		     UPDATE copy_job j SET holder = $3, due = clock_timestamp() + $4::interval, tries = tries + 1
		       FROM next n WHERE j.blob = n.blob AND j.region = n.region
		     RETURNING j.bucket, j.key, j.version_id, j.blob, j.region, j.size, j.queued, j.tries, j.holder, j.upload)
		SELECT * FROM taken ORDER BY queued, blob`, region, limit, holder, lease)
	var list []metadata.Copy
	if err == nil {
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (metadata.Copy, error) {
			var c metadata.Copy
			err := row.Scan(&c.Bucket, &c.Key, &c.VersionID, &c.Blob, &c.Region, &c.Size, &c.Queued, &c.Tries, &c.Holder, &c.Upload)
			return c, err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("take copies of %s: %w", region, err)
	}
	return list, nil
}

// onCopy runs a statement that changes the copy, which is $1 to $3, while it is
// its holder's.
func (s *Store) onCopy(ctx context.Context, what string, c metadata.Copy, sql string, args ...any) error {
	var tag pgconn.CommandTag
	err := retry(ctx, true, func() (err error) {
		tag, err = s.pool.Exec(ctx, sql, append([]any{c.Blob, c.Region, c.Holder}, args...)...)
		return err
	})
	if err == nil && tag.RowsAffected() == 0 {
		err = metadata.ErrCopyLost
	}
	if err != nil {
		return fmt.Errorf("%s of %s to %s: %w", what, c.Blob, c.Region, err)
	}
	return nil
}

// whereHeld selects the copy $1, $2 while it is holder $3's.
const whereHeld = ` WHERE blob = $1 AND region = $2 AND holder = $3`

// KeepCopy implements metadata.Copies.
func (s *Store) KeepCopy(ctx context.Context, c metadata.Copy, lease time.Duration) error {
	return s.onCopy(ctx, "keep the copy", c, `UPDATE copy_job SET due = clock_timestamp() + $4::interval`+whereHeld, lease)
}

// CopyUpload implements metadata.Copies.
func (s *Store) CopyUpload(ctx context.Context, c metadata.Copy, upload string) error {
	return s.onCopy(ctx, "record the upload of the copy", c, `
		WITH held AS (UPDATE copy_job SET upload = $4`+whereHeld+` RETURNING blob, region),
		     gone AS (DELETE FROM copy_part p USING held h WHERE p.blob = h.blob AND p.region = h.region)
		SELECT FROM held`, upload)
}

// AddCopyPart implements metadata.Copies.
func (s *Store) AddCopyPart(ctx context.Context, c metadata.Copy, p metadata.CopyPart) error {
	return s.onCopy(ctx, "record a part of the copy", c, `
		INSERT INTO copy_part (blob, region, number, size, crc64, store_part)
		SELECT blob, region, $4, $5, $6, $7 FROM copy_job`+whereHeld+`
		    ON CONFLICT (blob, region, number) DO UPDATE SET
		       size = excluded.size, crc64 = excluded.crc64, store_part = excluded.store_part`,
		p.Number, p.Size, int64(p.CRC64), p.StorePart)
}

// CopyParts implements metadata.Copies.
func (s *Store) CopyParts(ctx context.Context, c metadata.Copy) ([]metadata.CopyPart, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT number, size, crc64, store_part FROM copy_part WHERE blob = $1 AND region = $2 ORDER BY number`, c.Blob, c.Region)
	var list []metadata.CopyPart
	if err == nil {
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (metadata.CopyPart, error) {
			var p metadata.CopyPart
			var crc int64
			err := row.Scan(&p.Number, &p.Size, &crc, &p.StorePart)
			p.CRC64 = uint64(crc)
			return p, err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("parts of the copy of %s to %s: %w", c.Blob, c.Region, err)
	}
	return list, nil
}

// maxReason bounds what is kept of an error, in bytes.
const maxReason = 1000

// CopyFailed implements metadata.Copies.
func (s *Store) CopyFailed(ctx context.Context, c metadata.Copy, reason string, after time.Duration) error {
	return s.onCopy(ctx, "give back the copy", c, `
		UPDATE copy_job SET holder = '', error = $4, failed = CASE WHEN $4 <> '' THEN clock_timestamp() END,
		       due = clock_timestamp() + $5::interval`+whereHeld, asText(reason, maxReason), after)
}

// asText is as much of s, up to most bytes, as Postgres can keep.
func asText(s string, most int) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s[:min(len(s), most)], ""), "\x00", "")
}

// DropCopy implements metadata.Copies.
func (s *Store) DropCopy(ctx context.Context, c metadata.Copy) error {
	return s.onCopy(ctx, "drop the copy", c, `DELETE FROM copy_job`+whereHeld)
}

// CopyTries implements metadata.Copies.
func (s *Store) CopyTries(ctx context.Context, blob string) (int, error) {
	var n int
	err := s.pool.QueryRow(ctx, `
		SELECT coalesce(max(tries), 0) FROM copy_job WHERE blob = $1 AND error <> ''`, blob).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("tries to copy %s: %w", blob, err)
	}
	return n, nil
}

// ReviewPlacements implements metadata.Copies.
func (s *Store) ReviewPlacements(ctx context.Context, limit int) (more bool, err error) {
	var events bool
	err = retry(ctx, true, func() error {
		return s.pool.QueryRow(ctx, `SELECT r_found, r_events FROM review_placement($1)`, limit).Scan(&more, &events)
	})
	if err != nil {
		return false, fmt.Errorf("review placements: %w", err)
	}
	if events {
		s.ring()
	}
	return more, nil
}

// Backlogs implements metadata.Copies.
func (s *Store) Backlogs(ctx context.Context) ([]metadata.Backlog, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT j.region, count(*), sum(j.size)::bigint, min(j.queued), count(*) FILTER (WHERE j.error <> ''),
		       (array_agg(j.error ORDER BY j.failed DESC NULLS LAST) FILTER (WHERE j.error <> ''))[1], max(j.failed)
		  FROM copy_job j GROUP BY j.region ORDER BY j.region`)
	var list []metadata.Backlog
	if err == nil {
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (metadata.Backlog, error) {
			var b metadata.Backlog
			err := row.Scan(&b.Region, &b.Objects, &b.Bytes, &b.Oldest, &b.Failing,
				(*zeronull.Text)(&b.Error), (*zeronull.Timestamptz)(&b.Failed))
			b.Oldest, b.Failed = b.Oldest.UTC(), b.Failed.UTC()
			return b, err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("backlogs of the regions: %w", err)
	}
	return list, nil
}

// NamedUploads implements metadata.Copies.
func (s *Store) NamedUploads(ctx context.Context, uploads []string) ([]bool, error) {
	rows, err := s.pool.Query(ctx, `
		WITH named AS (
		     SELECT store_upload AS id FROM upload WHERE store_upload = ANY ($1)
		     UNION SELECT upload FROM copy_job WHERE upload = ANY ($1))
		SELECT EXISTS (SELECT FROM named n WHERE n.id = u.id)
		  FROM unnest($1::text[]) WITH ORDINALITY AS u (id, n) ORDER BY u.n`, textList(uploads))
	var found []bool
	if err == nil {
		found, err = pgx.CollectRows(rows, pgx.RowTo[bool])
	}
	if err != nil {
		return nil, fmt.Errorf("look for who goes by uploads: %w", err)
	}
	return found, nil
}

// errResidency is what the schema raises where a bucket may not be in a region.
const errResidency = "MR001"

// refusedRegion is metadata.ErrResidency, in the schema's words, where that is
// what err means.
func refusedRegion(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == errResidency {
		return fmt.Errorf("%w: %s", metadata.ErrResidency, pg.Message)
	}
	return err
}
