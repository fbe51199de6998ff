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

var _ metadata.Purges = (*Store)(nil)

// AskPurge implements metadata.Purges.
func (s *Store) AskPurge(ctx context.Context, p metadata.Purge) (metadata.PurgeStatus, metadata.Seq, error) {
	if err := p.Check(); err != nil {
		return metadata.PurgeStatus{}, metadata.Seq{}, fmt.Errorf("ask purge: %w", err)
	}
	var err error
	if p.ID, err = newULID(); err != nil {
		return metadata.PurgeStatus{}, metadata.Seq{}, fmt.Errorf("ask purge: %w", err)
	}
	body, err := json.Marshal(p)
	if err != nil {
		return metadata.PurgeStatus{}, metadata.Seq{}, fmt.Errorf("ask purge: %w", err)
	}
	status := metadata.PurgeStatus{Purge: p, Acks: []metadata.PurgeAck{}}
	var seq metadata.Seq
	err = retry(ctx, false, func() error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
			if err = tx.QueryRow(ctx, `INSERT INTO purge (id, body) VALUES ($1, $2) RETURNING asked`,
				p.ID, body).Scan(&status.Asked); err != nil {
				return err
			}
			if status.Waiting, err = waitingNodes(ctx, tx, p.ID); err != nil {
				return err
			}
			seq, err = s.emit(ctx, tx, metadata.Event{Type: metadata.PurgeAsked, Bucket: p.Bucket, Data: body})
			return err
		})
	})
	if err != nil {
		return metadata.PurgeStatus{}, metadata.Seq{}, fmt.Errorf("ask purge: %w", err)
	}
	s.ring()
	return status, seq, nil
}

// PurgeStatus implements metadata.Purges.
func (s *Store) PurgeStatus(ctx context.Context, id string) (metadata.PurgeStatus, error) {
	status, err := s.purgeStatus(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		err = metadata.ErrNoSuchPurge
	}
	if err != nil {
		return metadata.PurgeStatus{}, fmt.Errorf("purge %q: %w", id, err)
	}
	return status, nil
}

func (s *Store) purgeStatus(ctx context.Context, id string) (status metadata.PurgeStatus, err error) {
	if !isText(id) {
		return status, metadata.ErrNoSuchPurge
	}
	// One state of the database: no node is neither waiting nor done.
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, s.pool, options, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT body, asked FROM purge WHERE id = $1`, id).
			Scan(&status.Purge, &status.Asked); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			SELECT purge, node, applied, entries FROM purge_ack WHERE purge = $1 ORDER BY applied, node`, id)
		if err != nil {
			return err
		}
		if status.Acks, err = pgx.CollectRows(rows, pgx.RowToStructByPos[metadata.PurgeAck]); err != nil {
			return err
		}
		status.Waiting, err = waitingNodes(ctx, tx, id)
		return err
	})
	return status, err
}

// waitingNodes are the live cache nodes that have not acknowledged the purge.
func waitingNodes(ctx context.Context, db querier, purge string) ([]string, error) {
	return queryTexts(ctx, db, `
		SELECT n.id FROM node n
		 WHERE n.tier IN ('edge', 'regional') AND n.last_seen >= now() - $2::interval
		   AND NOT EXISTS (SELECT FROM purge_ack a WHERE a.purge = $1 AND a.node = n.id)
		 ORDER BY n.id`, purge, metadata.NodeTimeout)
}

// dropPurges forgets the purges asked before t, with their acknowledgements.
func (s *Store) dropPurges(ctx context.Context, t time.Time) error {
	if _, err := s.pool.Exec(ctx, `DELETE FROM purge WHERE asked < $1`, t); err != nil {
		return fmt.Errorf("drop old purges: %w", err)
	}
	return nil
}
