package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"meridian/metadata"
)

var _ metadata.Cursors = (*Store)(nil)

// Cursor implements metadata.Cursors.
func (s *Store) Cursor(ctx context.Context, name string) (metadata.Seq, error) {
	seq, err := scanSeq(s.pool.QueryRow(ctx, `SELECT xid, id FROM feed_cursor WHERE name = $1`, name))
	if errors.Is(err, pgx.ErrNoRows) {
		return metadata.Seq{}, nil
	}
	if err != nil {
		return metadata.Seq{}, fmt.Errorf("cursor %q: %w", name, err)
	}
	return seq, nil
}

// saveCursorSQL does not wait until the cursor is on disk: where a crash takes it
// back, events come again, as they do where a consumer ends before it saves. What
// is committed later is never on disk without it.
const saveCursorSQL = `
	WITH relaxed AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
	INSERT INTO feed_cursor (name, xid, id) SELECT $1, $2::xid8, $3::bigint FROM relaxed
	ON CONFLICT (name) DO UPDATE SET xid = excluded.xid, id = excluded.id, saved = now()`

// SaveCursor implements metadata.Cursors.
func (s *Store) SaveCursor(ctx context.Context, name string, seq metadata.Seq) error {
	if name == "" {
		return metadata.Invalidf("cursor has no name")
	}
	_, err := s.pool.Exec(ctx, saveCursorSQL, name, seq.Xid, eventID(seq))
	if err != nil {
		return fmt.Errorf("save cursor %q: %w", name, err)
	}
	return nil
}

// eventID is the number of an event as Postgres keeps it. A Seq that clients
// made up may exceed it.
func eventID(s metadata.Seq) int64 { return int64(min(s.ID, math.MaxInt64)) }

// scanSeq reads xid and id. Transaction IDs are 64 bits wide and unsigned.
func scanSeq(row pgx.Row) (metadata.Seq, error) {
	var seq metadata.Seq
	err := row.Scan(&seq.Xid, &seq.ID)
	return seq, err
}
