package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/minio-go/v7"
	miniocredentials "github.com/minio/minio-go/v7/pkg/credentials"

	"meridian/metadata/postgres/pgserver"
)

// devCluster is a meridian dev that runs for a test.
type devCluster struct {
	t    testing.TB
	dir  string
	base int
	cred credentials
	out  *lineBuffer
	stop func() int // ends it and returns its exit code
}

// startDev runs meridian dev, in this process, on free ports and a directory of
// its own, and returns when it is ready.
func startDev(t testing.TB, args ...string) *devCluster {
	t.Helper()
	return startDevIn(t, devDir(t), args...)
}

// devDir is a directory that the user Postgres runs as can get to.
func devDir(t testing.TB) string {
	t.Helper()
	requirePostgres(t)
	dir, err := os.MkdirTemp("", "meridian-test-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "data")
}

// requirePostgres skips where Postgres is not installed, except in CI, where
// make test has installed it.
func requirePostgres(t testing.TB) {
	t.Helper()
	if _, err := pgserver.FindBinaries(t.Context()); err != nil {
		missing(t, err.Error())
	}
}

// missing skips a test for want of something that make test installs; in CI
// that is a failure.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func startDevIn(t testing.TB, dir string, args ...string) *devCluster {
	t.Helper()
	c := &devCluster{t: t, dir: dir, base: freeBase(t), out: newLineBuffer()}
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	args = append([]string{"dev", "--data", dir, "--port-base", fmt.Sprint(c.base), "--log-level", "warn"}, args...)
	go func() {
		code <- run(ctx, args, process{stdout: c.out, stderr: testLog{t}, env: noEnv})
	}()
	c.stop = sync.OnceValue(func() int { cancel(); return <-code })
	t.Cleanup(func() { c.stop() })
	select {
	case <-c.out.line("ready"):
	case n := <-code:
		code <- n
		t.Fatalf("meridian dev ended with %d before it was ready", n)
	case <-time.After(5 * time.Minute):
		t.Fatal("meridian dev is not ready after five minutes")
	}
	var err error
	if c.cred, err = readCredentials(filepath.Join(dir, "credentials")); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *devCluster) url(port int) string        { return fmt.Sprintf("http://127.0.0.1:%d", c.base+port) }
func (c *devCluster) api() string                { return c.url(0) }
func (c *devCluster) s3(region int) string       { return c.url(1 + region) }
func (c *devCluster) regional(region int) string { return c.url(11 + region) }
func (c *devCluster) edge(region int) string     { return c.url(21 + region) }

// cli runs a client command of meridian against the cluster and returns what it
// printed.
func (c *devCluster) cli(args ...string) string {
	c.t.Helper()
	var out, errs strings.Builder
	args = append(args, "--api", c.api(), "--credentials", filepath.Join(c.dir, "credentials"))
	p := process{stdout: &out, stderr: &errs, env: noEnv}
	if code := run(c.t.Context(), args, p); code != 0 {
		c.t.Fatalf("meridian %v: exit code %d: %s", args, code, errs.String())
	}
	return out.String()
}

// call asks the API as root and fails unless it answers want.
func (c *devCluster) call(method, path, body string, want int) []byte {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.api()+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.cred.accessKey+":"+c.cred.secretKey)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if resp.StatusCode != want {
		c.t.Fatalf("%s %s = %d, want %d: %s", method, path, resp.StatusCode, want, text)
	}
	return text
}

// aws is an aws-sdk-go-v2 client of the S3 endpoint (or edge) at url.
func (c *devCluster) aws(url string) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(url), Region: "us-west", UsePathStyle: true,
		Credentials: awscredentials.NewStaticCredentialsProvider(c.cred.accessKey, c.cred.secretKey, ""),
	})
}

// minio is a minio-go client of the S3 endpoint at url.
func (c *devCluster) minio(url string) *minio.Client {
	c.t.Helper()
	m, err := minio.New(strings.TrimPrefix(url, "http://"), &minio.Options{
		Creds: miniocredentials.NewStaticV4(c.cred.accessKey, c.cred.secretKey, ""), Region: "us-west",
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

// answer is an HTTP answer with its body read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// get asks url, with headers given as name, value pairs.
func get(t testing.TB, url string, headers ...string) answer {
	t.Helper()
	a, err := tryGet(t.Context(), url, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func tryGet(ctx context.Context, url string, headers ...string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, body}, err
}

// eventually calls ok until it returns true, and fails the test after limit.
func eventually(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// photo is a JPEG that depends on seed.
func photo(t testing.TB, seed uint64, width, height int) []byte {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 1))
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for i := range img.Pix {
		img.Pix[i] = byte(rnd.Uint32())
	}
	img.Set(0, 0, color.White)
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// clip is an H.264 MP4 of some seconds and about 1 MB each, made by ffmpeg.
func clip(t testing.TB, seconds int) []byte {
	t.Helper()
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		missing(t, "ffmpeg is not installed: apt-get install ffmpeg")
	}
	path := filepath.Join(t.TempDir(), "clip.mp4")
	cmd := exec.CommandContext(t.Context(), ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30",
		"-t", fmt.Sprint(seconds), "-vf", "noise=alls=40:allf=t", "-c:v", "libx264", "-preset", "ultrafast", "-b:v", "8M", "-pix_fmt", "yuv420p", path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v: %s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// freeBase finds a port under which all 24 of meridian dev are free. Tests that
// look at once are given different ones.
func freeBase(t testing.TB) int {
	t.Helper()
search:
	for range 100 {
		base := 20000 + int(bases.Add(1)%300)*40
		for port := base; port < base+24; port++ {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				continue search
			}
			l.Close()
		}
		return base
	}
	t.Fatal("no 24 free ports in a row")
	return 0
}

// bases counts the bases of ports that were looked at, from a different one in
// every process.
var bases = func() *atomic.Uint32 {
	var n atomic.Uint32
	n.Store(rand.Uint32N(300))
	return &n
}()

// lineBuffer keeps what is written and tells when a line has appeared.
type lineBuffer struct {
	mu      sync.Mutex
	text    bytes.Buffer
	waiting map[string]chan struct{}
}

func newLineBuffer() *lineBuffer { return &lineBuffer{waiting: map[string]chan struct{}{}} }

func (b *lineBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.text.Write(p)
	for line, seen := range b.waiting {
		if strings.Contains("\n"+b.text.String(), "\n"+line+"\n") {
			close(seen)
			delete(b.waiting, line)
		}
	}
	return n, err
}

func (b *lineBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// line is closed when the line has been written.
func (b *lineBuffer) line(line string) <-chan struct{} {
	seen := make(chan struct{})
	b.mu.Lock()
	b.waiting[line] = seen
	b.mu.Unlock()
	_, _ = b.Write(nil) // it may be there already
	return seen
}

// testLog sends a log to the test's output.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", bytes.TrimRight(p, "\n"))
	return len(p), nil
}
