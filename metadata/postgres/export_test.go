package postgres

import "context"

// FlushStatistics has the one connection of the pool tell the server what it
// read, which it otherwise does once a second at most.
func (s *Store) FlushStatistics(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, "SELECT pg_stat_force_next_flush()")
	return err
}
