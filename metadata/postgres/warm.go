package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/metadata"
)

var _ metadata.Warms = (*Store)(nil)

// AskWarm implements metadata.Warms.
func (s *Store) AskWarm(ctx context.Context, w metadata.Warm, objects []metadata.WarmObject) (metadata.WarmStatus, metadata.Seq, error) {
	status, seq, err := s.askWarm(ctx, w, objects)
	if err != nil {
		return metadata.WarmStatus{}, metadata.Seq{}, fmt.Errorf("ask warm: %w", err)
	}
	s.ring()
	return status, seq, nil
}

func (s *Store) askWarm(ctx context.Context, w metadata.Warm, objects []metadata.WarmObject) (status metadata.WarmStatus, seq metadata.Seq, err error) {
	if err := w.Check(); err != nil {
		return status, seq, err
	}
	size := 0
	for _, o := range objects {
		size += len(o.Bucket) + len(o.Key)
	}
	switch {
	case len(objects) == 0:
		return status, seq, metadata.Invalidf("there is no such object")
	case len(objects) > metadata.MaxWarmObjects, size > metadata.MaxWarmBytes:
		return status, seq, metadata.Invalidf("warm stands for more than %d objects, or %d bytes of their names: name fewer at a time",
			metadata.MaxWarmObjects, metadata.MaxWarmBytes)
	}
	if w.ID, err = newULID(); err != nil {
		return status, seq, err
	}
	body, err := json.Marshal(w)
	if err != nil {
		return status, seq, err
	}
	data, err := json.Marshal(metadata.WarmData{Warm: w, Objects: objects})
	if err != nil {
		return status, seq, err
	}
	err = retry(ctx, false, func() error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `INSERT INTO warm (id, body, objects) VALUES ($1, $2, $3)`, w.ID, body, len(objects)); err != nil {
				return err
			}
			tag, err := tx.Exec(ctx, `
				INSERT INTO warm_node (warm, node, boot)
				SELECT $1, id, boot FROM node
				 WHERE tier IN ('edge', 'regional')
				   AND (cardinality($2::text[]) = 0 OR tier = ANY ($2)) AND (cardinality($3::text[]) = 0 OR region = ANY ($3))`,
				w.ID, append([]string{}, w.Tiers...), append([]string{}, w.Regions...))
			if err != nil {
				return err
			}
			if tag.RowsAffected() == 0 {
				return metadata.Invalidf("there is no cache node of these regions and tiers")
			}
			if seq, err = s.emit(ctx, tx, metadata.Event{Type: metadata.WarmAsked, Data: data}); err != nil {
				return err
			}
			status, err = warmStatus(ctx, tx, w.ID)
			return err
		})
	})
	return status, seq, err
}

// WarmStatus implements metadata.Warms.
func (s *Store) WarmStatus(ctx context.Context, id string) (status metadata.WarmStatus, err error) {
	err = metadata.ErrNoSuchWarm
	if isText(id) {
		options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
		err = pgx.BeginTxFunc(ctx, s.pool, options, func(tx pgx.Tx) (err error) {
			status, err = warmStatus(ctx, tx, id)
			return err
		})
	}
	if errors.Is(err, pgx.ErrNoRows) {
		err = metadata.ErrNoSuchWarm
	}
	if err != nil {
		return metadata.WarmStatus{}, fmt.Errorf("warm %q: %w", id, err)
	}
	return status, nil
}

func warmStatus(ctx context.Context, tx pgx.Tx, id string) (status metadata.WarmStatus, err error) {
	if err := tx.QueryRow(ctx, `SELECT body, objects, asked FROM warm WHERE id = $1`, id).
		Scan(&status.Warm, &status.Objects, &status.Asked); err != nil {
		return status, err
	}
	// A node that is started anew begins with a snapshot, and does not hear of what
	// was asked of its former start.
	rows, err := tx.Query(ctx, `
		SELECT w.node, coalesce(n.tier, ''), coalesce(n.region, ''), w.progress,
		       coalesce(n.last_seen >= now() - $2::interval, false), coalesce(w.boot <> n.boot, true)
		  FROM warm_node w LEFT JOIN node n ON n.id = w.node
		 WHERE w.warm = $1 ORDER BY w.node`, id, metadata.NodeTimeout)
	if err != nil {
		return status, err
	}
	status.Nodes, status.Done = []metadata.WarmNode{}, true
	var n metadata.WarmNode
	var live, anew bool
	_, err = pgx.ForEachRow(rows, []any{&n.Node, &n.Tier, &n.Region, &n.Progress, &live, &anew}, func() error {
		switch {
		case n.Progress != nil && n.Progress.Done:
			n.State = metadata.WarmDone
		case !live:
			n.State = metadata.WarmAway
		case anew:
			n.State = metadata.WarmInterrupted
		case n.Progress != nil:
			n.State = metadata.WarmRunning
		default:
			n.State = metadata.WarmWaiting
		}
		if n.State == metadata.WarmRunning || n.State == metadata.WarmWaiting {
			status.Done = false
		}
		status.Nodes = append(status.Nodes, n)
		n.Progress = nil
		return nil
	})
	return status, err
}

// noteWarms records how far a node is. What is no longer kept is passed over.
func noteWarms(ctx context.Context, tx pgx.Tx, n metadata.Node, list []metadata.WarmProgress) error {
	for _, p := range list {
		if !isText(p.ID) {
			continue
		}
		if p.Failures = p.Failures[:min(len(p.Failures), metadata.MaxWarmFailures)]; p.At.IsZero() {
			p.At = time.Now().UTC()
		}
		body, err := json.Marshal(p)
		if err != nil {
			return fmt.Errorf("note warm: %w", err)
		}
		if _, err := tx.Exec(ctx, `UPDATE warm_node SET progress = $3, boot = $4 WHERE warm = $1 AND node = $2`,
			p.ID, n.ID, body, n.Boot); err != nil {
			return fmt.Errorf("note warm: %w", err)
		}
	}
	return nil
}

// dropWarms forgets what was asked for before t.
func (s *Store) dropWarms(ctx context.Context, t time.Time) error {
	if _, err := s.pool.Exec(ctx, `DELETE FROM warm WHERE asked < $1`, t); err != nil {
		return fmt.Errorf("drop old warms: %w", err)
	}
	return nil
}
