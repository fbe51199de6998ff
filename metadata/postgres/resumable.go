package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/metadata"
)

var _ metadata.Resumables = (*Store)(nil)

const resumableColumns = `id, bucket, key, region, owner, meta, length, at, parts, tail, head, created, expires, done, etag, seq`

func scanResumable(row pgx.CollectableRow) (metadata.Resumable, error) {
	var r metadata.Resumable
	var meta []byte
	var seq string
	err := row.Scan(&r.ID, &r.Bucket, &r.Key, &r.Region, &r.Owner, &meta, &r.Length, &r.Offset, &r.Parts, &r.Tail, &r.Head,
		&r.Created, &r.Expires, &r.Done, &r.ETag, &seq)
	if err != nil {
		return r, err
	}
	r.Created, r.Expires = r.Created.UTC(), r.Expires.UTC()
	if err := json.Unmarshal(meta, &r.Meta); err != nil {
		return r, fmt.Errorf("metadata of resumable upload %s: %w", r.ID, err)
	}
	r.Seq, err = metadata.ParseSeq(seq)
	return r, err
}

// CreateResumable implements metadata.Resumables.
func (s *Store) CreateResumable(ctx context.Context, r metadata.Resumable) error {
	for _, text := range []string{r.ID, r.Bucket, r.Key, r.Region, r.Owner} {
		if text == "" || !isText(text) {
			return fmt.Errorf("create resumable upload: %w", metadata.Invalidf("%q cannot be kept", text))
		}
	}
	for name, value := range r.Meta {
		if !isText(name) || !isText(value) {
			return fmt.Errorf("create resumable upload: %w", metadata.Invalidf("metadata %q is not text", name))
		}
	}
	meta, err := json.Marshal(r.Meta)
	if err != nil {
		return err
	}
	_, err = s.pool.Exec(ctx, `
		INSERT INTO resumable (id, bucket, key, region, owner, meta, length, created, expires)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		r.ID, r.Bucket, r.Key, r.Region, r.Owner, meta, r.Length, r.Created, r.Expires)
	if err != nil {
		return fmt.Errorf("create resumable upload %s: %w", r.ID, err)
	}
	return nil
}

// Resumable implements metadata.Resumables.
func (s *Store) Resumable(ctx context.Context, id string) (metadata.Resumable, error) {
	var r metadata.Resumable
	err := metadata.ErrNoSuchUpload
	if isText(id) {
		err = retry(ctx, true, func() error {
			rows, err := s.pool.Query(ctx, `SELECT `+resumableColumns+` FROM resumable WHERE id = $1 AND expires > now()`, id)
			if err == nil {
				r, err = pgx.CollectExactlyOneRow(rows, scanResumable)
			}
			if errors.Is(err, pgx.ErrNoRows) {
				err = metadata.ErrNoSuchUpload
			}
			return err
		})
	}
	if err != nil {
		return metadata.Resumable{}, fmt.Errorf("resumable upload %.40q: %w", id, err)
	}
	return r, nil
}

// HoldResumable implements metadata.Resumables.
func (s *Store) HoldResumable(ctx context.Context, id, holder string, d time.Duration) (bool, error) {
	node, rest, _ := strings.Cut(holder, "/")
	boot, _, ok := strings.Cut(rest, "/")
	if !ok || !isText(holder) || !isText(id) {
		return false, metadata.Invalidf("holder %q is not named <node>/<boot>/...", holder)
	}
	var held, wanted bool
	err := retry(ctx, true, func() error {
		return s.pool.QueryRow(ctx, `
			WITH before AS (SELECT * FROM resumable WHERE id = $1 FOR UPDATE),
			free AS (
				SELECT holder = $2 OR holder = '' OR held_until < now()
				       OR split_part(holder, '/', 1) = $3 AND split_part(holder, '/', 2) COLLATE "C" < $4 AS yes
				  FROM before)
			UPDATE resumable r
			   SET holder = CASE WHEN free.yes THEN $2 ELSE r.holder END,
			       held_until = CASE WHEN free.yes THEN now() + $5 * interval '1 millisecond' ELSE r.held_until END,
			       wanted = CASE WHEN NOT free.yes THEN true WHEN before.holder = $2 THEN r.wanted ELSE false END
			  FROM before, free WHERE r.id = before.id
			RETURNING r.holder = $2, r.wanted`, id, holder, node, boot, d.Milliseconds()).Scan(&held, &wanted)
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		err = metadata.ErrNoSuchUpload
	case err == nil && !held:
		err = metadata.ErrNotHeld
	}
	if err != nil {
		return false, fmt.Errorf("hold resumable upload %s: %w", id, err)
	}
	return wanted, nil
}

// ReleaseResumable implements metadata.Resumables.
func (s *Store) ReleaseResumable(ctx context.Context, id, holder string) error {
	err := retry(ctx, true, func() error {
		_, err := s.pool.Exec(ctx, `
			UPDATE resumable SET holder = '', held_until = NULL, wanted = false WHERE id = $1 AND holder = $2`, id, holder)
		return err
	})
	if err != nil {
		return fmt.Errorf("release resumable upload %s: %w", id, err)
	}
	return nil
}

// AdvanceResumable implements metadata.Resumables.
func (s *Store) AdvanceResumable(ctx context.Context, id, holder string, a metadata.Advance) ([]metadata.Part, error) {
	var replaced []metadata.Part
	err := retry(ctx, false, func() error {
		replaced = nil
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
			replaced, err = advance(ctx, tx, id, holder, &a)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("advance resumable upload %s to %d: %w", id, a.To, err)
	}
	return replaced, nil
}

func advance(ctx context.Context, tx pgx.Tx, id, holder string, a *metadata.Advance) (replaced []metadata.Part, err error) {
	tag, err := tx.Exec(ctx, `
		UPDATE resumable
		   SET at = $4, expires = $5, parts = parts + $6, tail = CASE WHEN $6 > 0 THEN 0 ELSE tail END + $7,
		       head = CASE WHEN length($8::bytea) > 0 THEN $8 ELSE head END
		 WHERE id = $1 AND holder = $2 AND at = $3 AND NOT done`,
		id, holder, a.From, a.To, a.Expires, len(a.Parts), len(a.Tail), a.Head)
	if err != nil {
		return nil, err
	}
	if tag.RowsAffected() == 0 {
		return nil, metadata.ErrNotHeld
	}
	for i := range a.Parts {
		old, err := recordPart(ctx, tx, id, &a.Parts[i])
		if err != nil {
			return nil, err
		}
		if old != nil {
			replaced = append(replaced, *old)
		}
	}
	if len(a.Parts) > 0 {
		if _, err := tx.Exec(ctx, `DELETE FROM resumable_tail WHERE id = $1`, id); err != nil {
			return nil, err
		}
	}
	if len(a.Tail) > 0 {
		_, err = tx.Exec(ctx, `INSERT INTO resumable_tail VALUES ($1, $2, $3)`, id, a.To-int64(len(a.Tail)), a.Tail)
	}
	return replaced, err
}

// ResumableTail implements metadata.Resumables.
func (s *Store) ResumableTail(ctx context.Context, id string) ([]byte, error) {
	var tail []byte
	err := retry(ctx, true, func() error {
		tail = nil
		rows, err := s.pool.Query(ctx, `SELECT data FROM resumable_tail WHERE id = $1 ORDER BY at`, id)
		if err != nil {
			return err
		}
		var piece []byte
		_, err = pgx.ForEachRow(rows, []any{&piece}, func() error {
			tail = append(tail, piece...)
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tail of resumable upload %s: %w", id, err)
	}
	return tail, nil
}

// SetResumableLength implements metadata.Resumables.
func (s *Store) SetResumableLength(ctx context.Context, id, holder string, length int64) error {
	var tag int64
	err := retry(ctx, true, func() error {
		t, err := s.pool.Exec(ctx, `UPDATE resumable SET length = $3 WHERE id = $1 AND holder = $2 AND at <= $3`, id, holder, length)
		tag = t.RowsAffected()
		return err
	})
	if err == nil && tag == 0 {
		err = metadata.ErrNotHeld
	}
	if err != nil {
		return fmt.Errorf("set length of resumable upload %s: %w", id, err)
	}
	return nil
}

// FinishResumable implements metadata.Resumables.
func (s *Store) FinishResumable(ctx context.Context, id string, v metadata.Version) error {
	err := retry(ctx, true, func() error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `
				UPDATE resumable SET done = true, at = length, tail = 0, etag = $2, seq = $3 WHERE id = $1`, id, v.ETag, v.Seq.String())
			if err == nil {
				_, err = tx.Exec(ctx, `DELETE FROM resumable_tail WHERE id = $1`, id)
			}
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("finish resumable upload %s: %w", id, err)
	}
	return nil
}

// DeleteResumable implements metadata.Resumables.
func (s *Store) DeleteResumable(ctx context.Context, id string) error {
	err := retry(ctx, true, func() error {
		_, err := s.pool.Exec(ctx, `DELETE FROM resumable WHERE id = $1`, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("delete resumable upload %s: %w", id, err)
	}
	return nil
}

// ExpiredResumables implements metadata.Resumables.
func (s *Store) ExpiredResumables(ctx context.Context, region string, limit int) ([]metadata.Resumable, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT `+resumableColumns+` FROM resumable
		 WHERE region = $1 AND expires <= now() AND (holder = '' OR held_until < now())
		 ORDER BY expires LIMIT $2`, region, limit)
	var list []metadata.Resumable
	if err == nil {
		list, err = pgx.CollectRows(rows, scanResumable)
	}
	if err != nil {
		return nil, fmt.Errorf("expired resumable uploads of %s: %w", region, err)
	}
	return list, nil
}
