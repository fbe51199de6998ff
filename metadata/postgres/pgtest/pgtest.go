// Package pgtest gives every test a database of its own on one private Postgres
// per test process. The server ends with the process, however that ends; its
// data directory stays in the temporary directory of the machine and is used
// again by the next test process, which saves it the making of a new one.
package pgtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgserver"
)

// Region is the region of the stores that New opens.
const Region = "europe"

const patience = 5 * time.Minute

// shared is the one server of the process. It cannot belong to a test, since
// the tests that use it end in any order.
var shared = sync.OnceValues(start)

// New returns a catalogue on a database that is the test's own. Without
// Postgres on the machine the test is skipped, in CI it fails.
func New(t testing.TB) *postgres.Store {
	t.Helper()
	store, err := postgres.Open(t.Context(), Config(t))
	if err != nil {
		t.Fatalf("open the catalogue: %v", err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// Config is how to open a catalogue on a fresh database. Several stores may be
// opened on it; they are to be closed before the test ends.
func Config(t testing.TB) postgres.Config {
	t.Helper()
	return postgres.Config{
		URL:       URL(t),
		MasterKey: sha256.Sum256([]byte("a master key for tests")),
		Region:    Region,
		MaxConns:  8,
	}
}

// URL makes a database for the test, with the schema in it, and returns its
// connection string.
func URL(t testing.TB) string {
	t.Helper()
	server, err := shared()
	if err != nil {
		if errors.Is(err, pgserver.ErrNotInstalled) && os.Getenv("CI") != "true" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	name := "test_" + strings.ToLower(rand.Text())
	if err := server.create(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := server.drop(ctx, name); err != nil {
			t.Error(err)
		}
	})
	return databaseURL(server.admin, name)
}

func databaseURL(admin, name string) string {
	u, err := url.Parse(admin)
	if err != nil {
		return admin // pgserver made it
	}
	u.Path = "/" + name
	q := u.Query()
	q.Set("connect_timeout", strconv.Itoa(int(patience.Seconds()))) // machines that test are busy
	u.RawQuery = q.Encode()
	return u.String()
}

type server struct {
	admin    string // URL of a database to create others from
	template string // name of an empty catalogue
	// list is a directory with a file for each database of a test, by which the
	// next process finds those that a killed one left behind.
	list string
}

// start starts the server in the first directory that no other test process
// uses, removes what is left of the last one, and makes the template.
func start() (server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	root := filepath.Join(os.TempDir(), fmt.Sprintf("meridian-test-%d", os.Getuid()))
	pg, dir, err := startAnywhere(ctx, root)
	if err != nil {
		return server{}, err
	}
	s := server{admin: pg.URL(), template: "empty_catalogue", list: filepath.Join(dir, "databases")}
	if err := os.MkdirAll(s.list, 0o700); err != nil {
		return server{}, err
	}
	left, err := os.ReadDir(s.list)
	if err != nil {
		return server{}, err
	}
	for _, entry := range left {
		if err := s.drop(ctx, entry.Name()); err != nil {
			return server{}, err
		}
	}
	if err := postgres.DropDatabase(ctx, s.admin, s.template); err != nil {
		return server{}, err
	}
	if err := postgres.CreateDatabase(ctx, s.admin, s.template, ""); err != nil {
		return server{}, err
	}
	store, err := postgres.Open(ctx, postgres.Config{URL: databaseURL(s.admin, s.template), Region: Region})
	if err != nil {
		return server{}, err
	}
	return s, store.Close()
}

func (s server) create(ctx context.Context, name string) error {
	if err := os.WriteFile(filepath.Join(s.list, name), nil, 0o600); err != nil {
		return err
	}
	return postgres.CreateDatabase(ctx, s.admin, name, s.template)
}

func (s server) drop(ctx context.Context, name string) error {
	if err := postgres.DropDatabase(ctx, s.admin, name); err != nil {
		return err
	}
	return os.Remove(filepath.Join(s.list, name))
}

func startAnywhere(ctx context.Context, root string) (*pgserver.Server, string, error) {
	if err := os.Mkdir(root, 0o711); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, "", err
	}
	const most = 64
	for i := range most {
		dir := filepath.Join(root, fmt.Sprintf("postgres-%d", i))
		c := pgserver.Config{Dir: dir, Settings: map[string]string{
			"max_connections": "500",
			// Tests check that Meridian commits in time, not that the disk of
			// this machine keeps what was synced to it.
			"fsync":            "off",
			"full_page_writes": "off",
		}}
		pg, err := pgserver.Start(ctx, c)
		switch {
		case err == nil:
			return pg, dir, nil
		case errors.Is(err, pgserver.ErrRunning):
			continue
		case errors.Is(err, pgserver.ErrNotInstalled):
			return nil, "", err
		}
		// A machine that crashed, or another version of Postgres: begin anew.
		if os.RemoveAll(dir) != nil {
			return nil, "", err
		}
		pg, err = pgserver.Start(ctx, c)
		return pg, dir, err
	}
	return nil, "", fmt.Errorf("more than %d test processes run at once", most)
}
