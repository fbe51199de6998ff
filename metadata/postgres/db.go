// Package postgres keeps the catalogue in Postgres: buckets, object versions,
// uploads, the feed of events, and what nodes and people add to them. It speaks
// SQL by hand through pgx, since the shape of the queries is what makes them
// cheap; the schema lies embedded beside it and is brought up to date by Open.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"meridian/internal/seal"
	"meridian/metadata"
)

// Config says which database to use and for whom.
type Config struct {
	// URL is a connection string as libpq reads it. Several hosts with
	// target_session_attrs=read-write follow a failover.
	URL string
	// MasterKey encrypts the secrets of access keys. It lives outside of the
	// database and is the same for all processes that use it.
	MasterKey [seal.KeySize]byte
	// Region is where this process runs; its events say so.
	Region string
	// MaxConns bounds the connections of the pool; 16 where it is 0.
	MaxConns int
	// Retention bounds what ages; zero means the defaults.
	Retention Retention
	// Log gets what is nobody's answer; nothing is logged where it is nil.
	Log *slog.Logger
}

var _ metadata.Store = (*Store)(nil)

// Store is the catalogue. All methods may run at once. It implements
// metadata.Store.
type Store struct {
	pool      *pgxpool.Pool
	log       *slog.Logger
	region    string
	seal      *seal.Sealer
	bell      *doorbell
	retention Retention
	days      counterDays
	withheld  withholding
	writes    together[*write]
	solitary  solitary
}

const (
	defaultConns = 16
	// openPatience is how long Open waits for a database that does not answer
	// yet, as when both are started together.
	openPatience = 30 * time.Second
)

// Open connects, brings the schema up to date and returns the catalogue. The
// caller closes it.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Region == "" {
		return nil, fmt.Errorf("open catalogue: %w", metadata.Invalidf("no region is given"))
	}
	sealer, err := seal.New(c.MasterKey)
	if err != nil {
		return nil, fmt.Errorf("open catalogue: %w", err)
	}
	pool, err := openPool(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open catalogue: %w", err)
	}
	if err := migrate(ctx, pool, c.Log); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open catalogue: %w", err)
	}
	s := &Store{
		pool:      pool,
		log:       c.Log,
		region:    c.Region,
		seal:      sealer,
		bell:      newDoorbell(ctx, pool, c.Log),
		retention: c.Retention.withDefaults(),
	}
	ctx = context.WithoutCancel(ctx)
	s.writes.send = func(list []*write) error { return s.writeTogether(ctx, list) }
	return s, nil
}

// Close ends the connections. It waits for calls that are under way, and never
// fails.
func (s *Store) Close() error {
	s.bell.close()
	s.writes.close()
	s.pool.Close()
	return nil
}

// Ping asks the database for an answer, for readiness checks.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.pool.Ping(ctx); err != nil {
		return fmt.Errorf("catalogue does not answer: %w", err)
	}
	return nil
}

// ring tells followers of the feed that events were committed.
func (s *Store) ring() { s.bell.ring() }

func openPool(ctx context.Context, c Config) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(c.URL)
	if err != nil {
		return nil, err
	}
	config.MaxConns = defaultConns
	if c.MaxConns > 0 {
		config.MaxConns = int32(min(c.MaxConns, 10_000))
	}
	config.MinIdleConns = min(2, config.MaxConns)
	config.MaxConnIdleTime = 5 * time.Minute
	config.MaxConnLifetime = time.Hour
	config.MaxConnLifetimeJitter = 10 * time.Minute
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	for name, value := range map[string]string{
		"application_name": "meridian",
		"TimeZone":         "UTC",
		// Every query here touches few rows; compiling one costs more than it.
		"jit": "off",
		// A process that vanished in mid-transaction must not hold up the feed.
		"idle_in_transaction_session_timeout": "60s",
	} {
		if _, given := config.ConnConfig.RuntimeParams[name]; !given {
			config.ConnConfig.RuntimeParams[name] = value
		}
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := awaitAnswer(ctx, pool, c.Log); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// awaitAnswer waits for a database that is starting. One that answers with a
// refusal (password, database name) is not waited for.
func awaitAnswer(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	told := false
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := pool.Ping(ctx)
		if err == nil || !isUnreachable(err) {
			return err
		}
		if !told {
			log.Info("waiting for the database", "error", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

// CreateDatabase makes the database name on the server that url leads to, as a
// copy of template where that is not empty.
func CreateDatabase(ctx context.Context, url, name, template string) error {
	return admin(ctx, url, "create database "+name, func(conn *pgx.Conn) error {
		sql := "CREATE DATABASE " + pgx.Identifier{name}.Sanitize()
		if template != "" {
			sql += " TEMPLATE " + pgx.Identifier{template}.Sanitize()
		}
		_, err := conn.Exec(ctx, sql)
		return err
	})
}

// DropDatabase removes a database and ends whatever uses it; one that does not
// exist is no error.
func DropDatabase(ctx context.Context, url, name string) error {
	return admin(ctx, url, "drop database "+name, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
		return err
	})
}

func admin(ctx context.Context, url, what string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, url)
	if err == nil {
		err = errors.Join(do(conn), conn.Close(ctx))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
