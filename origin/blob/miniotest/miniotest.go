// Package miniotest starts MinIO servers for tests: one that a test process
// shares, and others of a test's own that can be stopped and started again. They
// end with the process, however that ends.
//
// The program is what deploy/install.sh test has installed.
package miniotest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// The credentials of every server.
const (
	AccessKey = "meridian-test"
	SecretKey = "meridian-test-secret"
)

const patience = time.Minute

// errMissing says that there is no MinIO to start.
var errMissing = errors.New("MinIO is not installed; run deploy/install.sh test")

// Program is the path of the server's program.
func Program() (string, error) {
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		cache = filepath.Join(home, ".cache")
	}
	path := filepath.Join(cache, "meridian", "minio")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w (no %s)", errMissing, path)
	} else if err != nil {
		return "", err
	}
	return path, nil
}

// Server is a MinIO on a directory. URL stays the same over Stop and Start.
type Server struct {
	URL string
	dir string
	cmd *exec.Cmd
	end chan struct{} // closed when it has ended
}

// shared is the one server of the process, which the tests that use it share
// since each start takes half a second. Its data go when the machine cleans its
// temporary files: nothing runs after the last test.
var shared = sync.OnceValues(func() (*Server, error) {
	root := filepath.Join(os.TempDir(), fmt.Sprintf("meridian-test-%d", os.Getuid()))
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	removeLeft(root)
	dir, err := os.MkdirTemp(root, fmt.Sprintf("minio-%d-", os.Getpid()))
	if err != nil {
		return nil, err
	}
	return begin(dir)
})

// removeLeft removes the data of servers whose process is gone.
func removeLeft(root string) {
	left, _ := filepath.Glob(filepath.Join(root, "minio-*"))
	for _, dir := range left {
		var pid int
		if _, err := fmt.Sscanf(filepath.Base(dir), "minio-%d-", &pid); err != nil {
			continue
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); errors.Is(err, fs.ErrNotExist) {
			_ = os.RemoveAll(dir) // else the next process does
		}
	}
}

// Shared is a server for all tests of the process; each takes a Bucket of its
// own. Without MinIO on the machine the test is skipped, in CI it fails.
func Shared(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	check(t, err)
	return s
}

// New starts a server for the test alone.
func New(t testing.TB) *Server {
	t.Helper()
	s, err := begin(t.TempDir())
	check(t, err)
	t.Cleanup(func() { s.Stop(t) })
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, errMissing) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Bucket is a name that no other test uses. The bucket is not made.
func (s *Server) Bucket() string { return "test-" + strings.ToLower(rand.Text()) }

// begin starts a server on a directory and a free port.
func begin(dir string) (*Server, error) {
	// The port is free now, and is not given out again at once.
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{URL: "http://" + l.Addr().String(), dir: dir}
	if err := l.Close(); err != nil {
		return nil, err
	}
	return s, s.start()
}

// Start starts a server that was stopped, on the same port and data.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	check(t, s.start())
}

// Stop kills the server at once, as a machine that loses its power; stopping it
// twice is no error.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("stop MinIO: %v", err)
	}
	<-s.end
	s.cmd = nil
}

func (s *Server) start() error {
	program, err := Program()
	if err != nil {
		return err
	}
	var log strings.Builder
	cmd := exec.CommandContext(context.Background(), program, "server", "--quiet", "--address", strings.TrimPrefix(s.URL, "http://"),
		"--console-address", "127.0.0.1:0", s.dir)
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+AccessKey, "MINIO_ROOT_PASSWORD="+SecretKey,
		"MINIO_BROWSER=off", "MINIO_UPDATE=off", "MINIO_CALLHOME_ENABLE=off")
	cmd.Stdout, cmd.Stderr = &log, &log
	dieWithUs(cmd)
	end, started := make(chan struct{}), make(chan error, 1)
	var ended error
	go func() {
		// The kernel ends the server with the thread that started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended = cmd.Wait()
			close(end)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start MinIO: %w", err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		select {
		case <-end:
			return fmt.Errorf("MinIO ended: %w\n%s", ended, log.String())
		default:
		}
		if s.ready() {
			s.cmd, s.end = cmd, end
			return nil
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill() // it may have ended
			<-end
			return fmt.Errorf("MinIO did not become ready in %v\n%s", patience, log.String())
		}
	}
}

// ready asks for something that only a signed request would get, since MinIO says
// that it is healthy before it answers those.
func (s *Server) ready() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusForbidden
}
