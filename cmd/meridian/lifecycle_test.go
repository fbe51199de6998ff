package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
)

func TestRestartKeepsEverythingAndASecondDevIsRefused(t *testing.T) {
	t.Parallel()
	dir := devDir(t)
	c := startDevIn(t, dir)
	c.cli("bucket", "create", "kept", "--visibility", "public-read")
	body := photo(t, 5, 320, 200)
	if _, err := c.minio(c.s3(1)).PutObject(t.Context(), "kept", "p.jpg", bytes.NewReader(body), int64(len(body)), minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the record", func() bool { return len(c.media("")) == 1 })
	before := c.cred

	var errs strings.Builder
	second := []string{"dev", "--data", dir, "--port-base", fmt.Sprint(freeBase(t))}
	if code := run(t.Context(), second, process{stdout: io.Discard, stderr: &errs, env: noEnv}); code != 1 || !strings.Contains(errs.String(), dir) {
		t.Errorf("a second meridian dev on the directory: exit code %d, %q", code, errs.String())
	}

	if code := c.stop(); code != 0 {
		t.Fatalf("meridian dev ended with %d", code)
	}
	assertNoPostgres(t, dir)
	c = startDevIn(t, dir)
	if c.cred != before {
		t.Error("the root credentials changed at a restart")
	}
	if a := get(t, c.edge(2)+"/kept/p.jpg"); a.status != http.StatusOK || !bytes.Equal(a.body, body) {
		t.Errorf("after a restart: %d, %d bytes", a.status, len(a.body))
	}
	if n := len(c.media("")); n != 1 {
		t.Errorf("%d media records after a restart, want 1", n)
	}
}

// TestKillLosesNoAcknowledgedWrite kills the program in the middle of 200
// parallel puts: what was acknowledged is whole afterwards, and nothing else is
// visible.
func TestKillLosesNoAcknowledgedWrite(t *testing.T) {
	t.Parallel()
	rounds := 1
	if os.Getenv("TEST_LONG") != "" {
		rounds = 5
	}
	requirePostgres(t)
	binary := buildMeridian(t)
	dir := devDir(t)
	for round := range rounds {
		killDuringPuts(t, binary, dir, round)
	}
}

func killDuringPuts(t *testing.T, binary, dir string, round int) {
	t.Helper()
	const puts = 200
	bucket := fmt.Sprintf("round-%d", round)
	c, cmd := startProcess(t, binary, dir)
	c.cli("bucket", "create", bucket)
	body := func(i int) []byte { return bytes.Repeat([]byte(fmt.Sprintf("%06d-", i)), 100+i*i*5) } // up to 1.4 MB

	var mu sync.Mutex
	acknowledged := map[string]int{}
	enough := make(chan struct{})
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range puts {
		client := c.minio(c.s3(i % 3))
		wg.Go(func() {
			<-start
			key := fmt.Sprintf("k%03d", i)
			b := body(i)
			_, err := client.PutObject(t.Context(), bucket, key, bytes.NewReader(b), int64(len(b)), minio.PutObjectOptions{})
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			acknowledged[key] = i
			if len(acknowledged) == 40 {
				close(enough)
			}
		})
	}
	close(start)
	<-enough
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	wg.Wait()
	if len(acknowledged) == puts {
		t.Log("all puts were acknowledged before the kill; the test shows less than it could")
	}
	eventually(t, time.Minute, "Postgres is gone after kill -9", func() bool { return len(postgresOf(dir)) == 0 })

	c, cmd = startProcess(t, binary, dir)
	seen := map[string]bool{}
	for o := range c.minio(c.s3(2)).ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		seen[o.Key] = true
		i, err := strconv.Atoi(strings.TrimPrefix(o.Key, "k"))
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.minio(c.s3(0)).GetObject(t.Context(), bucket, o.Key, minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil || !bytes.Equal(got, body(i)) {
			t.Errorf("round %d: %s is listed with %d bytes, want %d: %v", round, o.Key, len(got), len(body(i)), err)
		}
	}
	for key := range acknowledged {
		if !seen[key] {
			t.Errorf("round %d: %s was acknowledged and is lost", round, key)
		}
	}
	t.Logf("round %d: %d acknowledged before the kill, %d visible after it", round, len(acknowledged), len(seen))
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("meridian dev after SIGTERM: %v", err)
	}
	assertNoPostgres(t, dir)
}

// TestAnEdgeCutOffFromTheFeedRevalidates puts a proxy between an edge and the
// metadata role, cuts it, and overwrites.
func TestAnEdgeCutOffFromTheFeedRevalidates(t *testing.T) {
	t.Parallel()
	c := startDev(t)
	c.cli("bucket", "create", "cut", "--visibility", "public-read")
	put := func(text string) {
		t.Helper()
		if _, err := c.minio(c.s3(1)).PutObject(t.Context(), "cut", "k", strings.NewReader(text), int64(len(text)), minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	link := newLink(t, strings.TrimPrefix(c.api(), "http://"))
	url := c.startEdge("europe", "--metadata", "http://"+link.addr())
	put("old")
	for range 2 {
		if a := get(t, url+"/cut/k"); string(a.body) != "old" {
			t.Fatalf("before the cut: %d %q", a.status, a.body)
		}
	}
	link.cut()
	cutAt := time.Now()
	put("new")
	// Up to 5 s the edge may not have noticed; after that it never serves the
	// old version.
	time.Sleep(time.Until(cutAt.Add(5 * time.Second)))
	for range 3 {
		a := get(t, url+"/cut/k")
		if string(a.body) != "new" {
			t.Fatalf("5 s after the cut: %q, Cache-Status %s", a.body, a.header.Get("Cache-Status"))
		}
		if s := a.header.Get("Cache-Status"); strings.HasSuffix(s, "hit") {
			t.Errorf("an edge without the feed answers a plain hit: %s", s)
		}
	}
	link.mend()
	eventually(t, time.Minute, "the edge serves hits again", func() bool {
		return strings.Contains(get(t, url+"/cut/k").header.Get("Cache-Status"), "meridian-edge-europe; hit")
	})
}

// startEdge runs another edge of a region against the cluster.
func (c *devCluster) startEdge(region string, args ...string) string {
	c.t.Helper()
	all := append([]string{"edge", "--region", region, "--listen", "127.0.0.1:0", "--log-level", "warn", "--access-log=false",
		"--cluster-secret-file", filepath.Join(c.dir, "cluster-secret"), "--metadata", c.api()}, args...)
	out := newLineBuffer()
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() { code <- run(ctx, all, process{stdout: out, stderr: testLog{c.t}, env: noEnv}) }()
	c.t.Cleanup(func() { cancel(); <-code })
	select {
	case <-out.line("ready"):
	case n := <-code:
		code <- n
		c.t.Fatalf("meridian edge ended with %d before it was ready", n)
	case <-time.After(time.Minute):
		c.t.Fatal("meridian edge is not ready after a minute")
	}
	return strings.SplitN(out.String(), "\n", 2)[0]
}

func noEnv(string) (string, bool) { return "", false }

// buildMeridian builds the program once for a test that kills it.
func buildMeridian(t testing.TB) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "meridian")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	return binary
}

// startProcess runs meridian dev as a process of its own.
func startProcess(t testing.TB, binary, dir string, args ...string) (*devCluster, *exec.Cmd) {
	t.Helper()
	c := &devCluster{t: t, dir: dir, base: freeBase(t)}
	args = append([]string{"dev", "--data", dir, "--port-base", fmt.Sprint(c.base), "--log-level", "warn"}, args...)
	cmd := exec.Command(binary, args...)
	cmd.Stderr = testLog{t}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	lines := bufio.NewScanner(out)
	ready := false
	for !ready && lines.Scan() {
		ready = lines.Text() == "ready"
	}
	if !ready {
		t.Fatalf("meridian dev ended before it was ready: %v", errors.Join(lines.Err(), cmd.Wait()))
	}
	if c.cred, err = readCredentials(filepath.Join(dir, "credentials")); err != nil {
		t.Fatal(err)
	}
	return c, cmd
}

// postgresOf are the IDs of processes that run Postgres on a directory below
// dir.
func postgresOf(dir string) []string {
	var pids []string
	cmdlines, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well-formed
	for _, path := range cmdlines {
		line, err := os.ReadFile(path)
		if err == nil && bytes.Contains(line, []byte("postgres")) && bytes.Contains(line, []byte(dir)) {
			pids = append(pids, strings.Split(path, "/")[2])
		}
	}
	return pids
}

func assertNoPostgres(t *testing.T, dir string) {
	t.Helper()
	if pids := postgresOf(dir); len(pids) > 0 {
		t.Errorf("Postgres still runs as %v", pids)
	}
}

// link is a TCP proxy that can be cut: connections end and new ones are
// accepted but go nowhere, as in a network that drops packets.
type link struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	down     bool
	conns    map[net.Conn]bool
}

func newLink(t *testing.T, target string) *link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &link{listener: l, target: target, conns: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { k.carry(c) })
		}
	})
	t.Cleanup(func() { l.Close(); k.cut(); k.mend(); wg.Wait() })
	return k
}

func (k *link) addr() string { return k.listener.Addr().String() }

func (k *link) carry(c net.Conn) {
	defer c.Close()
	k.mu.Lock()
	down := k.down
	k.conns[c] = true
	k.mu.Unlock()
	if down {
		_, _ = io.Copy(io.Discard, c) // until it gives up or the link is mended
		return
	}
	far, err := net.Dial("tcp", k.target)
	if err != nil {
		return
	}
	defer far.Close()
	k.mu.Lock()
	k.conns[far] = true
	k.mu.Unlock()
	go func() {
		_, _ = io.Copy(far, c)
		far.Close()
	}()
	_, _ = io.Copy(c, far)
}

func (k *link) cut() { k.set(true) }

func (k *link) mend() { k.set(false) }

func (k *link) set(down bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.down = down
	for c := range k.conns {
		c.Close()
		delete(k.conns, c)
	}
}
