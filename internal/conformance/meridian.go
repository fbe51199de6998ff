package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// The root key of the Meridian under test. Its user is called as the key: the
// suites take access keys for the IDs of users.
const (
	rootKey    = "root"
	rootSecret = "conformance-secret"
)

// meridian is the one under test: `meridian dev` with its own data and ports.
type meridian struct {
	o options
	// regions, comma-separated, are called as those of S3 that the suite makes
	// buckets in. The endpoint that it tests is that of the first.
	regions string
	dir     string
	base    int // first of its ports
	cmd     *exec.Cmd
	runs    int
}

// api is the URL of the metadata API, s3 that of an S3 endpoint.
func (m *meridian) api() string    { return "http://" + m.addr(0) }
func (m *meridian) s3() string     { return "http://" + m.addr(1) }
func (m *meridian) s3Host() string { return m.addr(1) }

func (m *meridian) addr(offset int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(m.base+offset))
}

// start starts Meridian with nothing in it and waits until it is ready.
func (m *meridian) start(ctx context.Context) (err error) {
	if m.dir == "" {
		if m.dir, err = os.MkdirTemp("", "conformance"); err != nil {
			return err
		}
		if err := os.Chmod(m.dir, 0o711); err != nil { //nolint:gosec // Postgres gives root up
			return err
		}
		if m.base, err = freePorts(ctx); err != nil {
			return err
		}
	}
	m.runs++
	data := filepath.Join(m.dir, "data-"+strconv.Itoa(m.runs))
	log, err := os.Create(filepath.Join(m.dir, "meridian.log")) //nolint:gosec // in our own directory
	if err != nil {
		return err
	}
	defer log.Close()
	m.cmd = exec.Command(m.o.meridian, "dev", "--data", data, "--port-base", strconv.Itoa(m.base), "--regions", m.regions) //nolint:gosec,noctx // ended by stop, in order
	m.cmd.Env = append(suiteEnv(), "MERIDIAN_ROOT_ACCESS_KEY="+rootKey, "MERIDIAN_ROOT_SECRET_KEY="+rootSecret)
	m.cmd.Stderr = log
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to pass on
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := m.cmd.Start(); err != nil {
		return err
	}
	ready := make(chan bool, 1)
	go func() { // ends when Meridian does
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if lines.Text() == "ready" {
				ready <- true
			}
		}
		ready <- false
	}()
	select {
	case ok := <-ready:
		if ok {
			return nil
		}
	case <-time.After(time.Minute):
	case <-ctx.Done():
	}
	said, _ := os.ReadFile(log.Name())
	return errors.Join(fmt.Errorf("meridian did not get ready; it said: %s", said), m.stop())
}

// stop ends Meridian and removes its data.
func (m *meridian) stop() error {
	err := m.end()
	if m.o.keep {
		fmt.Fprintln(os.Stderr, "conformance: Meridian's data and log are in", m.dir)
		return err
	}
	return errors.Join(err, os.RemoveAll(m.dir))
}

func (m *meridian) end() error {
	if err := m.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	ended := time.AfterFunc(30*time.Second, func() { _ = m.cmd.Process.Kill() })
	defer ended.Stop()
	return m.cmd.Wait()
}

// clean removes the buckets that a test left behind: tests count them, and use
// their names again. Where one holds what may not be removed, Meridian begins
// anew.
func (m *meridian) clean(ctx context.Context) error {
	client, err := minio.New(m.s3Host(), &minio.Options{Creds: credentials.NewStaticV4(rootKey, rootSecret, ""), Region: "us-east-1"})
	if err != nil {
		return err
	}
	buckets, err := client.ListBuckets(ctx)
	if err != nil {
		return fmt.Errorf("look for buckets that a test left behind: %w", err)
	}
	for _, b := range buckets {
		if emptied(ctx, client, b.Name) {
			continue
		}
		if err := m.end(); err != nil {
			return err
		}
		return m.start(ctx)
	}
	return nil
}

func emptied(ctx context.Context, client *minio.Client, bucket string) bool {
	versions := client.ListObjects(ctx, bucket, minio.ListObjectsOptions{WithVersions: true, Recursive: true})
	for v := range versions {
		if v.Err != nil {
			return false
		}
		err := client.RemoveObject(ctx, bucket, v.Key, minio.RemoveObjectOptions{VersionID: v.VersionID, GovernanceBypass: true})
		if err != nil {
			return false
		}
	}
	return client.RemoveBucket(ctx, bucket) == nil
}

// freePorts finds a row of ports for meridian dev of which nobody listens on any.
func freePorts(ctx context.Context) (int, error) {
	for range 100 {
		var listen net.ListenConfig
		l, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		base := l.Addr().(*net.TCPAddr).Port/2 + 5000 // below those that systems hand out
		_ = l.Close()                                 // nothing was accepted
		if free(ctx, base, 30) {
			return base, nil
		}
	}
	return 0, errors.New("found no 30 free ports in a row")
}

func free(ctx context.Context, base, n int) bool {
	for i := range n {
		var listen net.ListenConfig
		l, err := listen.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(base+i)))
		if err != nil {
			return false
		}
		_ = l.Close() // nothing was accepted
	}
	return true
}
