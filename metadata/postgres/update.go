package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"meridian/metadata"
)

// UpdateVersion implements metadata.Objects. What is not changed makes no event.
func (s *Store) UpdateVersion(ctx context.Context, r metadata.Ref, by metadata.Cause, change func(*metadata.Version) error) (metadata.Version, error) {
	var v metadata.Version
	err := checkRef(r)
	if err == nil {
		err = retry(ctx, false, func() error {
			return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
				v, err = s.updateVersion(ctx, tx, r, by, change)
				return err
			})
		})
	}
	if err != nil {
		return v, fmt.Errorf("update %s/%s: %w", r.Bucket, r.Key, err)
	}
	if !v.Seq.IsZero() {
		s.ring()
	}
	return v, nil
}

func (s *Store) updateVersion(ctx context.Context, tx pgx.Tx, r metadata.Ref, by metadata.Cause, change func(*metadata.Version) error) (metadata.Version, error) {
	var bucketID *int64
	err := tx.QueryRow(ctx, `SELECT b.id FROM open_bucket($1) b`, r.Bucket).Scan(&bucketID)
	if err == nil && bucketID == nil {
		err = metadata.ErrNoSuchBucket
	}
	if err == nil {
		_, err = tx.Exec(ctx, `SELECT lock_key($1, $2)`, bucketID, r.Key)
	}
	if err != nil {
		return metadata.Version{}, err
	}
	v, err := lookup(ctx, tx, r)
	if err != nil {
		return v, err
	}
	wanted := asKept(v) // maps of its own
	if err := change(&wanted); err != nil {
		return v, err
	}
	data := metadata.ObjectData{Size: v.Size, ETag: v.ETag, ContentType: cmp.Or(v.Sniffed, v.ContentType), Current: v.Latest, Changed: changed(&v, &wanted)}
	if len(data.Changed) == 0 {
		return v, nil
	}
	v.Tags, v.Lock, v.ACL = wanted.Tags, wanted.Lock, wanted.ACL
	v = asKept(v)
	if err := checkVersion(&v); err != nil {
		return v, err
	}
	patch, err := json.Marshal(attrs{Tags: v.Tags, Lock: v.Lock, ACL: v.ACL})
	if err != nil {
		return v, err
	}
	// Only these, as the row has them now: data keys are wrapped anew without the
	// lock of the key.
	for _, table := range []string{"object", "object_history"} {
		var tag pgconn.CommandTag
		tag, err = tx.Exec(ctx, `
			UPDATE `+table+` SET attrs = nullif(coalesce(attrs, '{}') - '{tags,lock,acl}'::text[] || $4, '{}')
			 WHERE bucket_id = $1 AND key = $2 AND version_id = $3`, bucketID, v.Key, v.ID, patch)
		if err != nil {
			return v, err
		}
		if tag.RowsAffected() > 0 {
			break
		}
	}
	text, err := json.Marshal(objectEvent{data, causeOf(metadata.Cond{By: by}, "")})
	if err != nil {
		return v, err
	}
	v.Seq, err = s.emit(ctx, tx, metadata.Event{Type: metadata.ObjectUpdated, Bucket: r.Bucket, Key: v.Key, VersionID: v.ID, Data: text})
	return v, err
}

// changed names what differs between two forms of a version.
func changed(from, to *metadata.Version) (what []string) {
	switch {
	case maps.Equal(from.Tags, to.Tags):
	case len(to.Tags) == 0:
		what = append(what, metadata.ClearedTags)
	default:
		what = append(what, metadata.ChangedTags)
	}
	a, b := from.Lock, to.Lock
	if a.Mode != b.Mode || a.Hold != b.Hold || !a.Until.Equal(b.Until.Truncate(time.Microsecond)) {
		what = append(what, metadata.ChangedLock)
	}
	if !reflect.DeepEqual(from.ACL, to.ACL) {
		what = append(what, metadata.ChangedACL)
	}
	return what
}

// refusedRemoval is metadata.ErrLocked, in the schema's words, where that is what
// err means.
func refusedRemoval(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == codeLocked {
		return fmt.Errorf("%w: %s", metadata.ErrLocked, pg.Message)
	}
	return err
}
