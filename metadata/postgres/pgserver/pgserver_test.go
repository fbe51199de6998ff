package pgserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/metadata/postgres/pgserver"
)

// parentDir, in the environment, makes the test program a parent that starts a
// server there and then waits to be killed.
const parentDir = "PGSERVER_TEST_PARENT_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentDir); dir != "" {
		s, err := pgserver.Start(context.Background(), pgserver.Config{Dir: dir})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(s.URL())
		select {}
	}
	os.Exit(m.Run())
}

// directory is one that Postgres can come to, whoever runs the test.
func directory(t *testing.T) string {
	t.Helper()
	if _, err := pgserver.FindBinaries(t.Context()); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir, err := os.MkdirTemp("", "pgserver")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "postgres")
}

func start(t *testing.T, dir string) *pgserver.Server {
	t.Helper()
	s, err := pgserver.Start(t.Context(), pgserver.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.WithoutCancel(t.Context())) })
	return s
}

func query(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	var answer string
	if err := conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

// keep commits something to find again.
func keep(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 'this' AS what")
	if err = errors.Join(err, conn.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func TestDataOutliveTheServer(t *testing.T) {
	t.Parallel()
	dir := directory(t)
	s := start(t, dir)
	for name, want := range map[string]string{"fsync": "on", "synchronous_commit": "on", "data_checksums": "on",
		"server_encoding": "UTF8", "lc_collate": "C", "timezone": "UTC"} {
		if got := query(t, s.URL(), "SHOW "+name); got != want {
			t.Errorf("%s = %s, want %s", name, got, want)
		}
	}
	keep(t, s.URL())
	if err := s.Stop(t.Context()); err != nil {
		t.Fatalf("Stop: %v", err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop again: %v", err)
	}
	select {
	case <-s.Done():
	default:
		t.Error("Done is open after Stop")
	}
	if err := s.Err(); err != nil {
		t.Errorf("Err after Stop: %v", err)
	}
	if got := query(t, start(t, dir).URL(), "SELECT what FROM kept"); got != "this" {
		t.Errorf("after a restart the table holds %q", got)
	}
}

func TestOnlyThePasswordOpens(t *testing.T) {
	t.Parallel()
	dir := directory(t)
	s := start(t, dir)
	info, err := os.Stat(filepath.Join(dir, "password"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the password file is %v, %v", info.Mode(), err)
	}
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	for _, who := range []*url.Userinfo{url.User("meridian"), url.UserPassword("meridian", "guess"), url.UserPassword("postgres", "guess")} {
		u.User = who
		if conn, err := pgx.Connect(t.Context(), u.String()); err == nil {
			_ = conn.Close(t.Context())
			t.Errorf("%s was let in", who)
		}
	}
}

func TestSecondParentIsRefused(t *testing.T) {
	t.Parallel()
	dir := directory(t)
	s := start(t, dir)
	_, err := pgserver.Start(t.Context(), pgserver.Config{Dir: dir})
	if !errors.Is(err, pgserver.ErrRunning) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("a second start: %v; want ErrRunning naming the process", err)
	}
	query(t, s.URL(), "SELECT 'alive'")
}

func TestLongDirectoryListensOnLoopback(t *testing.T) {
	t.Parallel()
	s := start(t, filepath.Join(directory(t)+strings.Repeat("x", 100), "postgres"))
	if u, err := url.Parse(s.URL()); err != nil || u.Hostname() != "127.0.0.1" {
		t.Errorf("URL = %s, %v", s.URL(), err)
	}
	query(t, s.URL(), "SELECT 'alive'")
}

func postmaster(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.SplitN(string(text), "\n", 2)[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// TestServerThatIsKilled kills the server: its owner is told, and the next start
// finds what was committed, though the killed one's children may still linger.
func TestServerThatIsKilled(t *testing.T) {
	t.Parallel()
	dir := directory(t)
	s := start(t, dir)
	keep(t, s.URL())
	if err := syscall.Kill(postmaster(t, dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil {
		t.Error("Run of a server that was killed returned no error")
	}
	if s.Err() == nil {
		t.Error("Err of a server that was killed is nil")
	}
	if got := query(t, start(t, dir).URL(), "SELECT what FROM kept"); got != "this" {
		t.Errorf("after the crash the table holds %q", got)
	}
}

// TestParentThatIsKilled kills the parent: the server ends too, and another
// parent takes over at once.
func TestParentThatIsKilled(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a process of the death of its parent")
	}
	dir := directory(t)
	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env = append(os.Environ(), parentDir+"="+dir)
	out, err := parent.StdoutPipe()
	if err == nil {
		err = parent.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(url, "postgres://") {
		t.Fatalf("the parent said %q, %v", url, err)
	}
	url = strings.TrimSpace(url)
	keep(t, url)
	pid := postmaster(t, dir)
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	s := start(t, dir)
	if got := query(t, s.URL(), "SELECT what FROM kept"); got != "this" {
		t.Errorf("after the parent was killed the table holds %q", got)
	}
	if now := postmaster(t, dir); now == pid {
		t.Error("the server of the killed parent still runs")
	}
}

// TestHalfMadeDatabaseIsMadeAnew: what a crash in initdb leaves is no database.
func TestHalfMadeDatabaseIsMadeAnew(t *testing.T) {
	t.Parallel()
	dir := directory(t)
	half := filepath.Join(dir, "data.new")
	if err := os.MkdirAll(half, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	query(t, start(t, dir).URL(), "SELECT 'alive'")
}

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	dir := directory(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if s, err := pgserver.Start(ctx, pgserver.Config{Dir: dir}); err == nil {
		_ = s.Stop(t.Context())
		t.Fatal("the server started in no time")
	}
	query(t, start(t, dir).URL(), "SELECT 'alive'") // nothing of the failed start is in the way
}

func TestRefusedDirectories(t *testing.T) {
	t.Parallel()
	dir := directory(t)
	for name, prepare := range map[string]func(dir string) error{
		"data of another version": func(dir string) error {
			err := os.MkdirAll(filepath.Join(dir, "data"), 0o755)
			return errors.Join(err, os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("9\n"), 0o600))
		},
		"password": func(dir string) error {
			s := start(t, dir)
			return errors.Join(s.Stop(t.Context()), os.Remove(filepath.Join(dir, "password")))
		},
		"closed to user": func(dir string) error {
			return os.MkdirAll(filepath.Dir(dir), 0o700)
		},
	} {
		sub := filepath.Join(dir+strings.ReplaceAll(name, " ", "-"), "postgres")
		if err := prepare(sub); err != nil {
			t.Fatal(err)
		}
		_, err := pgserver.Start(t.Context(), pgserver.Config{Dir: sub})
		switch name {
		case "closed to user":
			if os.Geteuid() == 0 && (err == nil || !strings.Contains(err.Error(), name)) {
				t.Errorf("%s: %v", name, err)
			}
		case "data of another version":
			if !errors.Is(err, pgserver.ErrNotInstalled) || !strings.Contains(err.Error(), "--database-url") {
				t.Errorf("%s: %v", name, err)
			}
		default:
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
