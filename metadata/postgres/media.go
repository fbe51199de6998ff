package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"meridian/metadata"
)

var _ metadata.MediaRecords = (*Store)(nil)

// mediaColumns are as scanMedia reads them, of media m joined with bucket b.
const mediaColumns = `m.id, b.name, m.key, m.kind, m.version_id, m.size, m.etag, m.content_type, m.blob, m.regions,
	m.title, m.description, m.tags, m.width, m.height, m.duration, m.codecs, m.taken_at, m.renditions, m.state, m.error,
	m.views, m.created, m.updated`

func scanMedia(row pgx.CollectableRow) (metadata.Media, error) {
	var m metadata.Media
	err := row.Scan(&m.ID, &m.Bucket, &m.Key, &m.Kind, &m.VersionID, &m.Size, &m.ETag, &m.ContentType, &m.Blob,
		&m.Regions, &m.Title, &m.Description, &m.Tags, &m.Width, &m.Height, &m.Duration, &m.Codecs, &m.TakenAt,
		&m.Renditions, &m.State, &m.Error, &m.Views, &m.Created, &m.Updated)
	return m, err
}

// oneMedia runs a query for at most one record.
func oneMedia(ctx context.Context, db querier, sql string, args ...any) (metadata.Media, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return metadata.Media{}, err
	}
	m, err := pgx.CollectExactlyOneRow(rows, scanMedia)
	if errors.Is(err, pgx.ErrNoRows) {
		return metadata.Media{}, metadata.ErrNoSuchMedia
	}
	return m, err
}

// UpsertMedia implements metadata.MediaRecords. Where there is no record yet,
// an advisory lock on the key makes others who find none wait: change is called
// once, with what is there.
func (s *Store) UpsertMedia(ctx context.Context, bucket, key string, change func(*metadata.Media) error) (metadata.Media, error) {
	var m metadata.Media
	told := false
	if err := metadata.CheckKey(key); err != nil {
		return m, fmt.Errorf("upsert media %s/%s: %w", bucket, key, err)
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
		var bucketID int64
		err = tx.QueryRow(ctx, `SELECT id FROM bucket WHERE name = $1`, bucket).Scan(&bucketID)
		if errors.Is(err, pgx.ErrNoRows) {
			return metadata.ErrNoSuchBucket
		}
		if err != nil {
			return err
		}
		if m, err = lockMediaOf(ctx, tx, bucketID, key); errors.Is(err, metadata.ErrNoSuchMedia) {
			if _, err = tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1::bigint::int, hashtext($2))`, bucketID%(1<<31), key); err != nil {
				return err
			}
			m, err = lockMediaOf(ctx, tx, bucketID, key)
		}
		before := m.State
		switch {
		case errors.Is(err, metadata.ErrNoSuchMedia):
			m, err = insertMedia(ctx, tx, bucketID, bucket, key, change)
		case err == nil:
			m, err = updateMedia(ctx, tx, m, change)
		}
		if err != nil {
			return err
		}
		told, err = s.emitMedia(ctx, tx, before, &m)
		return err
	})
	if err != nil {
		return metadata.Media{}, fmt.Errorf("upsert media %s/%s: %w", bucket, key, err)
	}
	if told {
		s.ring()
	}
	return m, nil
}

// emitMedia writes the event of a record that is finished, and was not before.
func (s *Store) emitMedia(ctx context.Context, tx pgx.Tx, before string, m *metadata.Media) (told bool, err error) {
	kind := map[string]string{metadata.MediaReady: metadata.MediaDone, metadata.MediaFailed: metadata.MediaBroken}[m.State]
	if kind == "" || m.State == before {
		return false, nil
	}
	data, err := json.Marshal(metadata.MediaData{ID: m.ID, Kind: m.Kind, Error: m.Error})
	if err != nil {
		return false, err
	}
	_, err = s.emit(ctx, tx, metadata.Event{Type: kind, Bucket: m.Bucket, Key: m.Key, VersionID: m.VersionID, Data: data})
	return err == nil, err
}

func lockMediaOf(ctx context.Context, tx pgx.Tx, bucketID int64, key string) (metadata.Media, error) {
	return oneMedia(ctx, tx, `
		SELECT `+mediaColumns+` FROM media m JOIN bucket b ON b.id = m.bucket_id
		 WHERE m.bucket_id = $1 AND m.key = $2 FOR UPDATE OF m`, bucketID, key)
}

func insertMedia(ctx context.Context, tx pgx.Tx, bucketID int64, bucket, key string, change func(*metadata.Media) error) (metadata.Media, error) {
	m := metadata.Media{Bucket: bucket, Key: key}
	if err := change(&m); err != nil {
		return m, err
	}
	m.Bucket, m.Key, m.Views = bucket, key, 0
	if err := m.Check(); err != nil {
		return m, err
	}
	if m.ID == "" {
		id, err := newULID()
		if err != nil {
			return m, err
		}
		m.ID = id
	}
	m, err := oneMedia(ctx, tx, `
		WITH m AS (
		     INSERT INTO media (id, bucket_id, key, kind, version_id, size, etag, content_type, blob, regions, title,
		                        description, tags, width, height, duration, codecs, taken_at, renditions, state,
		                        error)
		     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
		     RETURNING *)
		SELECT `+mediaColumns+` FROM m JOIN bucket b ON b.id = m.bucket_id`,
		append([]any{m.ID, bucketID, m.Key}, mediaValues(m)...)...)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23503" {
		return m, metadata.ErrNoSuchBucket // deleted meanwhile
	}
	return m, err
}

// updateMedia changes a record whose row is locked.
func updateMedia(ctx context.Context, tx pgx.Tx, old metadata.Media, change func(*metadata.Media) error) (metadata.Media, error) {
	m := old
	if err := change(&m); err != nil {
		return m, err
	}
	m.ID, m.Bucket, m.Key = old.ID, old.Bucket, old.Key
	if err := m.Check(); err != nil {
		return m, err
	}
	return oneMedia(ctx, tx, `
		WITH m AS (
		     UPDATE media SET kind = $2, version_id = $3, size = $4, etag = $5, content_type = $6, blob = $7,
		            regions = $8, title = $9, description = $10, tags = $11, width = $12, height = $13,
		            duration = $14, codecs = $15, taken_at = $16, renditions = $17, state = $18, error = $19,
		            updated = greatest(updated, now())
		      WHERE id = $1 RETURNING *)
		SELECT `+mediaColumns+` FROM m JOIN bucket b ON b.id = m.bucket_id`,
		append([]any{m.ID}, mediaValues(m)...)...)
}

// mediaValues are the columns that callers may change, from kind to error.
func mediaValues(m metadata.Media) []any {
	renditions := m.Renditions
	if renditions == nil {
		renditions = []metadata.Rendition{}
	}
	return []any{m.Kind, m.VersionID, m.Size, m.ETag, m.ContentType, m.Blob, textList(m.Regions), m.Title,
		m.Description, textList(m.Tags), m.Width, m.Height, m.Duration, textList(m.Codecs), m.TakenAt, renditions, m.State, m.Error}
}

// textList makes a list that is missing an empty one.
func textList(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// Media implements metadata.MediaRecords.
func (s *Store) Media(ctx context.Context, id string) (metadata.Media, error) {
	if !isText(id) {
		return metadata.Media{}, fmt.Errorf("media %q: %w", id, metadata.ErrNoSuchMedia)
	}
	m, err := oneMedia(ctx, s.pool, `
		SELECT `+mediaColumns+` FROM media m JOIN bucket b ON b.id = m.bucket_id WHERE m.id = $1`, id)
	if err != nil {
		return metadata.Media{}, fmt.Errorf("media %q: %w", id, err)
	}
	return m, nil
}

// UpdateMedia implements metadata.MediaRecords.
func (s *Store) UpdateMedia(ctx context.Context, id string, change func(*metadata.Media) error) (metadata.Media, error) {
	if !isText(id) {
		return metadata.Media{}, fmt.Errorf("update media %q: %w", id, metadata.ErrNoSuchMedia)
	}
	var m metadata.Media
	told := false
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
		m, err = oneMedia(ctx, tx, `
			SELECT `+mediaColumns+` FROM media m JOIN bucket b ON b.id = m.bucket_id WHERE m.id = $1 FOR UPDATE OF m`, id)
		if err != nil {
			return err
		}
		before := m.State
		if m, err = updateMedia(ctx, tx, m, change); err != nil {
			return err
		}
		told, err = s.emitMedia(ctx, tx, before, &m)
		return err
	})
	if err != nil {
		return metadata.Media{}, fmt.Errorf("update media %q: %w", id, err)
	}
	if told {
		s.ring()
	}
	return m, nil
}

// DeleteMedia implements metadata.MediaRecords.
func (s *Store) DeleteMedia(ctx context.Context, id string) error {
	if !isText(id) {
		return fmt.Errorf("delete media %q: %w", id, metadata.ErrNoSuchMedia)
	}
	tag, err := s.pool.Exec(ctx, `DELETE FROM media WHERE id = $1`, id)
	if err == nil && tag.RowsAffected() == 0 {
		err = metadata.ErrNoSuchMedia
	}
	if err != nil {
		return fmt.Errorf("delete media %q: %w", id, err)
	}
	return nil
}

// DropMedia implements metadata.MediaRecords. A record that names no version
// was announced for an object that is still to come, and stays.
func (s *Store) DropMedia(ctx context.Context, bucket, key, versionID string) error {
	_, err := s.pool.Exec(ctx, `
		DELETE FROM media m USING bucket b
		 WHERE b.name = $1 AND m.bucket_id = b.id AND m.key = $2 AND m.version_id <> '' AND m.version_id <= $3`,
		bucket, key, versionID)
	if err != nil {
		return fmt.Errorf("drop media %s/%s: %w", bucket, key, err)
	}
	return nil
}

// MediaTraces implements metadata.MediaRecords.
func (s *Store) MediaTraces(ctx context.Context, objects []metadata.Ref) ([]metadata.MediaTrace, error) {
	buckets, keys := make([]string, len(objects)), make([]string, len(objects))
	for i, r := range objects {
		if isText(r.Bucket) && isText(r.Key) { // else "", which is nothing's name
			buckets[i], keys[i] = r.Bucket, r.Key
		}
	}
	rows, err := s.pool.Query(ctx, `
		SELECT EXISTS (SELECT FROM media m WHERE m.bucket_id = b.id AND m.key = o.key),
		       EXISTS (SELECT FROM object v WHERE v.bucket_id = b.id AND v.key = o.key)
		  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY o (bucket, key, n) LEFT JOIN bucket b ON b.name = o.bucket
		 ORDER BY o.n`, buckets, keys)
	if err != nil {
		return nil, fmt.Errorf("look for media of %d objects: %w", len(objects), err)
	}
	traces, err := pgx.CollectRows(rows, pgx.RowToStructByPos[metadata.MediaTrace])
	if err != nil {
		return nil, fmt.Errorf("look for media of %d objects: %w", len(objects), err)
	}
	return traces, nil
}
