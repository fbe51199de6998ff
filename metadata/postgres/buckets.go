package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"meridian/metadata"
)

// bucketColumns are as scanBucket reads them.
const bucketColumns = `id, name, region, placement, residency, visibility, versioning, owner, cache, config, upload_rules, pull, created`

func scanBucket(row pgx.CollectableRow) (metadata.Bucket, error) {
	var b metadata.Bucket
	var cache, config, rules, pull []byte
	err := row.Scan(&b.ID, &b.Name, &b.Region, &b.Placement, &b.Residency, &b.Visibility, &b.Versioning, &b.Owner, &cache, &config, &rules, &pull, &b.Created)
	if err != nil {
		return b, err
	}
	if len(b.Residency) == 0 {
		b.Residency = nil
	}
	if err := json.Unmarshal(cache, &b.Cache); err != nil {
		return b, fmt.Errorf("cache rules of bucket %s: %w", b.Name, err)
	}
	if err := json.Unmarshal(config, &b.Config); err != nil {
		return b, fmt.Errorf("configuration of bucket %s: %w", b.Name, err)
	}
	if err := json.Unmarshal(rules, &b.UploadRules); err != nil {
		return b, fmt.Errorf("upload rules of bucket %s: %w", b.Name, err)
	}
	if err := json.Unmarshal(pull, &b.Pull); err != nil {
		return b, fmt.Errorf("pull zone of bucket %s: %w", b.Name, err)
	}
	return b, nil
}

func oneBucket(ctx context.Context, db querier, sql string, args ...any) (metadata.Bucket, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return metadata.Bucket{}, err
	}
	b, err := pgx.CollectExactlyOneRow(rows, scanBucket)
	if errors.Is(err, pgx.ErrNoRows) {
		return metadata.Bucket{}, metadata.ErrNoSuchBucket
	}
	return b, err
}

// allBuckets reads all buckets by name.
func allBuckets(ctx context.Context, db querier) ([]metadata.Bucket, error) {
	rows, err := db.Query(ctx, `SELECT `+bucketColumns+` FROM bucket ORDER BY name`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanBucket)
}

// checkBucket fills in what may be left out and refuses what cannot be kept.
func checkBucket(b *metadata.Bucket) error {
	if len(b.Placement) == 0 {
		b.Placement = metadata.Placement{metadata.PlacedHome}
	}
	if b.Visibility == "" {
		b.Visibility = metadata.Private
	}
	if b.Config == nil {
		b.Config = map[string]json.RawMessage{}
	}
	switch b.Visibility {
	case metadata.Private, metadata.PublicRead:
	default:
		return metadata.Invalidf("visibility %q is unknown", b.Visibility)
	}
	switch b.Versioning {
	case "", metadata.VersioningEnabled, metadata.VersioningSuspended:
	default:
		return metadata.Invalidf("versioning %q is unknown", b.Versioning)
	}
	for name, document := range b.Config {
		if !isText(name) || !json.Valid(document) || !isText(string(document)) {
			return metadata.Invalidf("configuration %q is not JSON", name)
		}
	}
	for _, text := range slices.Concat(b.Placement, b.Residency, []string{b.Owner, b.Region}) {
		if !isText(text) {
			return metadata.Invalidf("bucket holds %q, which is not text", text)
		}
	}
	var err error
	b.UploadRules.Check(func(rule, reason string) { err = metadata.Invalidf("upload rule %s: %s", rule, reason) })
	if err != nil {
		return err
	}
	b.Pull.Check(func(field, reason string) { err = metadata.Invalidf("pull %s: %s", field, reason) })
	if err != nil {
		return err
	}
	if err := b.CheckObjectLock(); err != nil {
		return err
	}
	return b.CheckPlacement()
}

// CreateBucket implements metadata.Buckets.
func (s *Store) CreateBucket(ctx context.Context, b metadata.Bucket) (metadata.Bucket, error) {
	err := metadata.CheckBucketName(b.Name)
	if err == nil && b.Region == "" {
		err = metadata.Invalidf("bucket has no region")
	}
	if err == nil {
		err = checkBucket(&b)
	}
	if err != nil {
		return metadata.Bucket{}, fmt.Errorf("create bucket: %w", err)
	}
	if b.Created.IsZero() {
		b.Created = time.Now()
	}
	var made metadata.Bucket
	err = s.changeBucket(ctx, metadata.BucketCreated, b.Name, func(tx pgx.Tx) (err error) {
		docs, err := bucketDocuments(b)
		if err != nil {
			return err
		}
		made, err = oneBucket(ctx, tx, `
			INSERT INTO bucket (name, region, placement, residency, visibility, versioning, owner, cache, config, created,
			                    upload_rules, quota_bytes, quota_objects, pull)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) RETURNING `+bucketColumns,
			b.Name, b.Region, []string(b.Placement), textList(b.Residency), b.Visibility, b.Versioning, b.Owner, docs.cache, docs.config, b.Created,
			docs.rules, b.UploadRules.QuotaBytes, b.UploadRules.QuotaObjects, docs.pull)
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == codeUnique {
			return metadata.ErrBucketExists
		}
		if err == nil && b.UploadRules.HasQuota() {
			_, err = tx.Exec(ctx, `SELECT count_usage($1)`, made.ID)
		}
		return err
	})
	if err != nil {
		return metadata.Bucket{}, fmt.Errorf("create bucket %s: %w", b.Name, err)
	}
	return made, nil
}

// documents are the parts of a bucket that are kept as JSON.
type documents struct{ cache, config, rules, pull []byte }

func bucketDocuments(b metadata.Bucket) (d documents, err error) {
	for _, part := range []struct {
		to    *[]byte
		value any
	}{{&d.cache, b.Cache}, {&d.config, b.Config}, {&d.rules, b.UploadRules}, {&d.pull, b.Pull}} {
		if *part.to, err = json.Marshal(part.value); err != nil {
			return documents{}, err
		}
	}
	return d, nil
}

// Bucket implements metadata.Buckets.
func (s *Store) Bucket(ctx context.Context, name string) (metadata.Bucket, error) {
	if !isText(name) {
		return metadata.Bucket{}, fmt.Errorf("bucket %q: %w", name, metadata.ErrNoSuchBucket)
	}
	b, err := oneBucket(ctx, s.pool, `SELECT `+bucketColumns+` FROM bucket WHERE name = $1`, name)
	if err != nil {
		return metadata.Bucket{}, fmt.Errorf("bucket %q: %w", name, err)
	}
	return b, nil
}

// bucketsPage is how many buckets one query reads.
const bucketsPage = 500

// Buckets implements metadata.Buckets. It holds no connection while it yields.
func (s *Store) Buckets(ctx context.Context, owner string) iter.Seq2[metadata.Bucket, error] {
	return paged(bucketsPage, func(last *metadata.Bucket) ([]metadata.Bucket, error) {
		after := ""
		if last != nil {
			after = last.Name
		}
		sql := `SELECT ` + bucketColumns + ` FROM bucket WHERE name > $1 ORDER BY name LIMIT $2`
		args := []any{after, bucketsPage}
		if owner != "" {
			sql = `SELECT ` + bucketColumns + ` FROM bucket WHERE name > $1 AND owner = $3 ORDER BY name LIMIT $2`
			args = append(args, owner)
		}
		rows, err := s.pool.Query(ctx, sql, args...)
		if err != nil {
			return nil, fmt.Errorf("buckets: %w", err)
		}
		page, err := pgx.CollectRows(rows, scanBucket)
		if err != nil {
			return nil, fmt.Errorf("buckets: %w", err)
		}
		return page, nil
	})
}

// errCountFirst says that a change needs the bucket for itself.
var errCountFirst = errors.New("the bucket gets a quota, and what it holds must be counted")

// UpdateBucket implements metadata.Buckets.
func (s *Store) UpdateBucket(ctx context.Context, name string, change func(*metadata.Bucket) error) (metadata.Bucket, error) {
	b, err := s.updateBucket(ctx, name, change, false)
	if errors.Is(err, errCountFirst) {
		b, err = s.updateBucket(ctx, name, change, true)
	}
	if err != nil {
		return metadata.Bucket{}, fmt.Errorf("update bucket %q: %w", name, err)
	}
	return b, nil
}

// updateBucket is UpdateBucket, alone in the bucket or not: the lock comes before
// that of the row, so it is known too late that it is needed.
func (s *Store) updateBucket(ctx context.Context, name string, change func(*metadata.Bucket) error, alone bool) (metadata.Bucket, error) {
	var b metadata.Bucket
	err := s.changeBucket(ctx, metadata.BucketUpdated, name, func(tx pgx.Tx) (err error) {
		if alone {
			if err := lockBucket(ctx, tx, name); err != nil {
				return err
			}
		}
		old, err := oneBucket(ctx, tx, `SELECT `+bucketColumns+` FROM bucket WHERE name = $1 FOR UPDATE`, name)
		if err != nil {
			return err
		}
		b = old
		b.Config = maps.Clone(old.Config)
		if err := change(&b); err != nil {
			return err
		}
		b.ID, b.Name, b.Region, b.Created = old.ID, old.Name, old.Region, old.Created
		if err := checkBucket(&b); err != nil {
			return err
		}
		if b.Versioning == "" && old.Versioning != "" {
			return metadata.Invalidf("versioning can be suspended, but not taken back")
		}
		if old.Config[metadata.ObjectLockConfig] != nil && b.Config[metadata.ObjectLockConfig] == nil {
			return metadata.Invalidf("object lock cannot be taken off a bucket")
		}
		switch had, has := old.UploadRules.HasQuota(), b.UploadRules.HasQuota(); {
		case has && !had && !alone:
			return errCountFirst
		case has && !had:
			_, err = tx.Exec(ctx, `SELECT count_usage($1)`, b.ID)
		case had && !has:
			_, err = tx.Exec(ctx, `DELETE FROM bucket_usage WHERE bucket_id = $1`, b.ID)
		}
		if err != nil {
			return err
		}
		docs, err := bucketDocuments(b)
		if err != nil {
			return err
		}
		b, err = oneBucket(ctx, tx, `
			UPDATE bucket SET placement = $2, residency = $3, visibility = $4, versioning = $5, cache = $6, config = $7,
			       upload_rules = $8, quota_bytes = $9, quota_objects = $10, pull = $11, owner = $12
			 WHERE id = $1 RETURNING `+bucketColumns,
			b.ID, []string(b.Placement), textList(b.Residency), b.Visibility, b.Versioning, docs.cache, docs.config,
			docs.rules, b.UploadRules.QuotaBytes, b.UploadRules.QuotaObjects, docs.pull, b.Owner)
		return err
	})
	return b, err
}

// lockBucket waits for what is being committed in the bucket, and keeps the rest
// out until the transaction ends.
func lockBucket(ctx context.Context, tx pgx.Tx, name string) error {
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(-1, hashtext($1))`, name)
	return err
}

// Usage implements metadata.Buckets.
func (s *Store) Usage(ctx context.Context, name string) (metadata.Usage, error) {
	b, err := s.Bucket(ctx, name)
	if err != nil {
		return metadata.Usage{}, err
	}
	sql := `SELECT count(*), coalesce(sum(size), 0)::bigint FROM (
	        SELECT size FROM object WHERE bucket_id = $1
	        UNION ALL SELECT size FROM object_history WHERE bucket_id = $1 AND NOT marker) v`
	if b.UploadRules.HasQuota() {
		sql = `SELECT objects, bytes FROM usage_of($1)`
	}
	var u metadata.Usage
	if err := s.pool.QueryRow(ctx, sql, b.ID).Scan(&u.Objects, &u.Bytes); err != nil {
		return metadata.Usage{}, fmt.Errorf("usage of bucket %q: %w", name, err)
	}
	return u, nil
}

// DeleteBucket implements metadata.Buckets. It waits for what is being committed
// in the bucket; what comes later finds no bucket.
func (s *Store) DeleteBucket(ctx context.Context, name string) error {
	err := s.changeBucket(ctx, metadata.BucketDeleted, name, func(tx pgx.Tx) error {
		if err := lockBucket(ctx, tx, name); err != nil {
			return err
		}
		var id int64
		err := tx.QueryRow(ctx, `SELECT id FROM bucket WHERE name = $1 FOR UPDATE`, name).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			return metadata.ErrNoSuchBucket
		}
		if err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			DELETE FROM bucket WHERE id = $1
			   AND NOT EXISTS (SELECT FROM object WHERE bucket_id = $1)
			   AND NOT EXISTS (SELECT FROM object_history WHERE bucket_id = $1)`, id)
		if err == nil && tag.RowsAffected() == 0 {
			err = metadata.ErrBucketNotEmpty
		}
		if err == nil {
			_, err = tx.Exec(ctx, `DELETE FROM upload WHERE bucket_id = $1`, id)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delete bucket %q: %w", name, err)
	}
	return nil
}

// changeBucket runs do and writes its event, in one transaction.
func (s *Store) changeBucket(ctx context.Context, event, name string, do func(pgx.Tx) error) error {
	if !isText(name) {
		return metadata.ErrNoSuchBucket
	}
	err := retry(ctx, false, func() error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			if err := do(tx); err != nil {
				return err
			}
			_, err := s.emit(ctx, tx, metadata.Event{Type: event, Bucket: name})
			return err
		})
	})
	if err == nil {
		s.ring()
	}
	return err
}

// paged yields what read returns page by page, given the last one of the page
// before; a page shorter than size is the last.
func paged[T any](size int, read func(last *T) ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var last *T
		for {
			page, err := read(last)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for i := range page {
				if !yield(page[i], nil) {
					return
				}
			}
			if len(page) < size {
				return
			}
			last = &page[len(page)-1]
		}
	}
}
