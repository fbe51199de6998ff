// Package pgserver runs a private Postgres as a child of this process, from the
// programs that are installed on the machine. Its data live in one directory,
// only this process knows its password, and on Linux it never outlives this
// process, not even one that was killed. The data stay as they are when the
// server stops; a server that was killed recovers at the next start.
package pgserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"meridian/internal/filelock"
)

// Config says where the server lives.
type Config struct {
	// Dir holds the data, the password and the socket. It is made if it is
	// missing. As root, the user postgres (or nobody) must be able to reach it.
	Dir string
	// Settings are further parameters of Postgres.
	Settings map[string]string
	// Log gets what the server says; nothing is logged where it is nil.
	Log *slog.Logger
}

// Server is a running Postgres.
type Server struct {
	dir      string
	settings map[string]string
	log      *slog.Logger
	account  account
	binaries Binaries
	secret   string
	lock     *os.File
	host     string // a socket directory or a loopback address
	port     int
	process  *process
}

const (
	// recoveryPatience is how long a start may take that replays what a crash
	// left; ctx may end it sooner.
	recoveryPatience = 10 * time.Minute
	// leftoverPatience is how long the server of a parent that was killed may
	// take to stop; stopPatience is what it has where the parent lives.
	leftoverPatience = time.Minute
	// stopPatience is how long a server may take to stop before it is told to
	// drop everything and recover at the next start.
	stopPatience = 30 * time.Second
	// maxSocketPath is what all systems can bind.
	maxSocketPath = 100
)

// Start makes the database if there is none, starts the server and returns when
// it takes connections. ErrRunning if another process has one in this
// directory; ErrNotInstalled if there is no Postgres. ctx bounds the start only:
// Stop ends the server.
func Start(ctx context.Context, c Config) (*Server, error) {
	s := &Server{settings: c.Settings, log: c.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.start(ctx, c.Dir); err != nil {
		if s.lock != nil {
			_ = filelock.Release(s.lock)
		}
		return nil, fmt.Errorf("private postgres: %w", err)
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, dir string) (err error) {
	if s.dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if s.account, err = findAccount(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(s.dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := s.account.checkPath(s.dir); err != nil {
		return err
	}
	if err := s.account.own(s.dir); err != nil {
		return err
	}
	if s.lock, err = lockFile(filepath.Join(s.dir, "lock")); err != nil {
		return err
	}
	if s.binaries, err = binariesFor(ctx, s.data()); err != nil {
		return err
	}
	if s.secret, err = s.password(); err != nil {
		return err
	}
	began := time.Now()
	if err := s.initialise(ctx); err != nil {
		return err
	}
	if err := s.launch(ctx); err != nil {
		return err
	}
	s.log.Info("private postgres is ready", "version", s.binaries.Major, "took", time.Since(began).Round(time.Millisecond))
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// launch starts the server; while the server of a parent that was killed still
// stops, again and again.
func (s *Server) launch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recoveryPatience)
	defer cancel()
	for deadline := time.Now().Add(leftoverPatience); ; {
		if err := s.choosePlace(ctx); err != nil {
			return err
		}
		p, err := startProcess(s)
		if err != nil {
			return err
		}
		err = p.awaitReady(ctx, s.data())
		if err == nil {
			s.process = p
			return nil
		}
		if !errors.Is(err, errOccupied) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// choosePlace decides where the server listens: on a socket beside its data, or
// where that path is too long for one, on a free loopback port.
func (s *Server) choosePlace(ctx context.Context) error {
	const port = 5432 // a part of the socket's name only
	if len(filepath.Join(s.dir, fmt.Sprintf(".s.PGSQL.%d.lock", port))) <= maxSocketPath {
		s.host, s.port = s.dir, port
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil || !ok {
		return errors.Join(errors.New("no free loopback port"), err)
	}
	s.host, s.port = "127.0.0.1", addr.Port
	return nil
}

func (s *Server) onSocket() bool { return filepath.IsAbs(s.host) }

// arguments are the parameters of the server. Nothing is written to its
// configuration file, so that each start of a newer program uses newer ones.
func (s *Server) arguments() []string {
	args := []string{"-D", s.data()}
	set := func(name, value string) { args = append(args, "-c", name+"="+value) }
	if s.onSocket() {
		set("listen_addresses", "")
		set("unix_socket_directories", s.host)
		set("unix_socket_permissions", "0700")
	} else {
		set("listen_addresses", s.host)
		set("unix_socket_directories", "")
	}
	set("port", strconv.Itoa(s.port))
	set("cluster_name", "meridian")
	set("fsync", "on")
	set("full_page_writes", "on")
	set("synchronous_commit", "on")
	set("wal_compression", "on")
	set("max_wal_size", "4GB")
	set("checkpoint_timeout", "15min")
	set("shared_buffers", "256MB")
	set("max_connections", "200")
	set("random_page_cost", "1.1")
	set("timezone", "UTC")
	set("log_timezone", "UTC")
	set("logging_collector", "off")
	set("log_destination", "stderr")
	set("log_line_prefix", "")
	set("log_checkpoints", "off")
	// A refused statement is its sender's to report. Its text, with the values
	// in it, belongs into no log.
	set("log_min_messages", "fatal")
	set("log_min_error_statement", "panic")
	for name, value := range s.settings {
		set(name, value)
	}
	return args
}

// URL is the connection string of the server's database, password included.
func (s *Server) URL() string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(superuser, s.secret), Path: "/postgres"}
	if s.onSocket() {
		u.RawQuery = url.Values{"host": {s.host}, "port": {strconv.Itoa(s.port)}}.Encode()
	} else {
		u.Host = net.JoinHostPort(s.host, strconv.Itoa(s.port))
		u.RawQuery = "sslmode=disable"
	}
	return u.String()
}

// Done is closed when the server has ended, Stop or not.
func (s *Server) Done() <-chan struct{} { return s.process.done }

// Err tells, once Done is closed, why the server ended; nil after a Stop.
func (s *Server) Err() error {
	select {
	case <-s.process.done:
		return s.process.err()
	default:
		return nil
	}
}

// Stop ends the server and waits until it has. Open connections are cut. Where
// it takes too long, or ctx ends, the server drops everything at once; what was
// committed is safe also then. Stopping twice is allowed.
func (s *Server) Stop(ctx context.Context) error {
	err := s.process.stop(ctx)
	if closing := filelock.Release(s.lock); closing != nil && !errors.Is(closing, os.ErrClosed) {
		err = errors.Join(err, closing)
	}
	if err != nil {
		return fmt.Errorf("private postgres: %w", err)
	}
	return nil
}

// Run lets the server live until ctx ends and then stops it. It returns an
// error at once if the server ends by itself.
func (s *Server) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return s.Stop(context.WithoutCancel(ctx))
	case <-s.Done():
		return errors.Join(s.Err(), s.Stop(context.WithoutCancel(ctx)))
	}
}
