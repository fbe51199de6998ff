package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"meridian/metadata"
)

var _ metadata.NodeList = (*Store)(nil)

// ListNodes implements metadata.NodeList.
func (s *Store) ListNodes(ctx context.Context) ([]metadata.Node, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+nodeColumns+` FROM node ORDER BY id`, metadata.NodeTimeout)
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	nodes, err := pgx.CollectRows(rows, scanNode)
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	return nodes, nil
}
