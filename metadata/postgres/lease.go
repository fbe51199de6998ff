package postgres

import (
	"context"
	"fmt"
	"time"

	"meridian/metadata"
)

var _ metadata.Leases = (*Store)(nil)

// TakeLease implements metadata.Leases.
func (s *Store) TakeLease(ctx context.Context, name, holder string, lease time.Duration) (bool, error) {
	tag, err := s.pool.Exec(ctx, `
		INSERT INTO lease (name, holder, until) VALUES ($1, $2, clock_timestamp() + $3::interval)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
		 WHERE lease.holder = excluded.holder OR lease.until < clock_timestamp()`, name, holder, lease)
	if err != nil {
		return false, fmt.Errorf("take the lease of %s: %w", name, err)
	}
	return tag.RowsAffected() > 0, nil
}

// DropLease implements metadata.Leases.
func (s *Store) DropLease(ctx context.Context, name, holder string) error {
	if _, err := s.pool.Exec(ctx, `DELETE FROM lease WHERE name = $1 AND holder = $2`, name, holder); err != nil {
		return fmt.Errorf("drop the lease of %s: %w", name, err)
	}
	return nil
}
