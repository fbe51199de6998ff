package postgres

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/jackc/pgx/v5"

	"meridian/metadata"
)

var _ metadata.WrappedKeys = (*Store)(nil)

// wrappedIn are the tables that hold data keys. Versions move from one to another,
// and are then found there the next time.
var wrappedIn = [...]string{"object", "object_history", "upload"}

// FormerKeys implements metadata.WrappedKeys.
func (s *Store) FormerKeys(ctx context.Context, marks [][]byte, limit int) (list []metadata.WrappedKey, err error) {
	texts := make([]string, len(marks))
	for i, m := range marks {
		texts[i] = base64.StdEncoding.EncodeToString(m)
	}
	for _, table := range wrappedIn {
		rows, err := s.pool.Query(ctx, `
			SELECT b.name, v.key, v.version_id, v.attrs #>> '{sse,key}' FROM `+table+` v JOIN bucket b ON b.id = v.bucket_id
			 WHERE v.attrs ? 'sse' AND sse_mark(v.attrs) = ANY ($1) LIMIT $2`, texts, limit-len(list))
		var found []metadata.WrappedKey
		if err == nil {
			found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (metadata.WrappedKey, error) {
				k := metadata.WrappedKey{Place: table}
				var key string
				err := row.Scan(&k.Ref.Bucket, &k.Ref.Key, &k.Ref.VersionID, &key)
				if err == nil {
					k.Key, err = base64.StdEncoding.DecodeString(key)
				}
				return k, err
			})
		}
		if err != nil {
			return nil, fmt.Errorf("data keys under former master keys: %w", err)
		}
		if list = append(list, found...); len(list) >= limit {
			break
		}
	}
	return list, nil
}

// Rewrap implements metadata.WrappedKeys.
func (s *Store) Rewrap(ctx context.Context, former []metadata.WrappedKey, renewed [][]byte) error {
	encode := base64.StdEncoding.EncodeToString
	for _, table := range wrappedIn {
		var buckets, keys, ids, before, after []string
		for i, k := range former {
			if k.Place == table {
				buckets, keys, ids = append(buckets, k.Ref.Bucket), append(keys, k.Ref.Key), append(ids, k.Ref.VersionID)
				before, after = append(before, encode(k.Key)), append(after, encode(renewed[i]))
			}
		}
		if len(ids) == 0 {
			continue
		}
		err := retry(ctx, true, func() error {
			_, err := s.pool.Exec(ctx, `
				UPDATE `+table+` v SET attrs = jsonb_set(v.attrs, '{sse,key}', to_jsonb(k.renewed))
				  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS k (bucket, key, id, former, renewed)
				  JOIN bucket b ON b.name = k.bucket
				 WHERE v.bucket_id = b.id AND v.key = k.key AND v.version_id = k.id AND v.attrs #>> '{sse,key}' = k.former`,
				buckets, keys, ids, before, after)
			return err
		})
		if err != nil {
			return fmt.Errorf("wrap data keys anew: %w", err)
		}
	}
	return nil
}
