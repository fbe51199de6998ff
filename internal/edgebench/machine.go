package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"meridian/internal/program"
	"meridian/internal/sigv4"
)

// machine runs the servers of one comparison.
type machine struct {
	o         options
	dir       string
	pinned    bool
	running   []*process
	back      *process // all of Meridian but the edge
	cert, key string
}

// process is a server, with all processes that it started.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has
	also  *process      // a second one of the same server, or nil
}

// run starts a server in a session of its own, by which its processes are found.
func (m *machine) run(_ context.Context, name string, pinned bool, program string, args ...string) (*process, error) {
	if pinned {
		args = append([]string{"-c", "0", program}, args...)
		program = "taskset"
	}
	log, err := os.Create(filepath.Join(m.dir, name+".log")) //nolint:gosec // in our own directory
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(program, args...) //nolint:gosec,noctx // ended by stop, in order
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended says nothing: it was told to
		close(p.ended)
	}()
	m.running = append(m.running, p)
	return p, nil
}

// stop ends all servers, the last first.
func (m *machine) stop() error {
	var failed error
	for i := len(m.running) - 1; i >= 0; i-- {
		p := m.running[i]
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-p.ended:
		case <-time.After(15 * time.Second):
			failed = errors.Join(failed, fmt.Errorf("%s did not stop", p.cmd.Path))
		}
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // what is left of its session
	}
	return failed
}

// cpu is the time that a server's processes have used so far.
func (p *process) cpu() (sum time.Duration, err error) {
	if p.also != nil {
		if sum, err = p.also.cpu(); err != nil {
			return 0, err
		}
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, path := range stats {
		b, err := os.ReadFile(path) //nolint:gosec // of /proc
		if err != nil {
			continue // ended meanwhile
		}
		// The name may hold spaces; what follows its parenthesis does not.
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(fields) < 13 || fields[3] != strconv.Itoa(p.cmd.Process.Pid) { // the session
			continue
		}
		for _, f := range fields[11:13] {
			ticks, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", path, err)
			}
			sum += time.Duration(ticks) * (time.Second / 100)
		}
	}
	return sum, nil
}

// fill asks for everything twice: the second time it has to come from the cache.
func (m *machine) fill(ctx context.Context, s *server) error {
	for _, port := range []int{s.port, s.tls} {
		if port == 0 {
			continue
		}
		base := fmt.Sprintf("http://127.0.0.1:%d", port)
		if port == s.tls {
			base = fmt.Sprintf("https://127.0.0.1:%d", port)
		}
		if err := m.await(ctx, base+small.path(0)); err != nil {
			return err
		}
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(16)
		for _, k := range kinds {
			for i := range k.count {
				g.Go(func() error {
					for range 2 {
						if err := ask(ctx, base+k.path(i), k.size, 0); err != nil {
							return err
						}
					}
					if s.ranges && k == slice {
						return ask(ctx, base+k.path(i), k.size, 64<<10)
					}
					return nil
				})
			}
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// await waits until a server answers.
func (m *machine) await(ctx context.Context, url string) error {
	if err := program.Await(ctx, func() error { return ask(ctx, url, small.size, 0) }); err != nil {
		return fmt.Errorf("it does not serve: %w", err)
	}
	return nil
}

// ask asks for an object, or for its first bytes, and looks at what it gets.
func ask(ctx context.Context, url string, size, first int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	want := http.StatusOK
	if first > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=0-%d", first-1))
		want, size = http.StatusPartialContent, first
	}
	resp, err := insecure.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && (resp.StatusCode != want || n != int64(size)) {
		err = fmt.Errorf("%w: %s of %d bytes from %s", errWrongAnswer, resp.Status, n, url)
	}
	return err
}

// upload puts the objects into Meridian.
func (m *machine) upload(ctx context.Context, data string, base int) error {
	creds := filepath.Join(data, "credentials")
	api := fmt.Sprintf("http://127.0.0.1:%d", base)
	var err error
	for range 300 {
		var out []byte
		out, err = exec.CommandContext(ctx, m.o.binary, "bucket", "create", bucket, "--region", "us-west", "--visibility", "public-read", //nolint:gosec // the program to measure
			"--api", api, "--credentials", creds).CombinedOutput()
		if err == nil {
			break
		}
		err = fmt.Errorf("create the bucket: %w: %s", err, out)
		time.Sleep(200 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	file, err := os.ReadFile(creds) //nolint:gosec // of our own directory
	if err != nil {
		return err
	}
	values := map[string]string{}
	for line := range strings.Lines(string(file)) {
		if k, v, ok := strings.Cut(line, "="); ok {
			values[strings.TrimSpace(k)] = strings.TrimSpace(v)
		}
	}
	signer := sigv4.Signer{AccessKey: values["aws_access_key_id"], Secret: values["aws_secret_access_key"]}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for _, k := range kinds {
		for i := range k.count {
			g.Go(func() error {
				req, err := http.NewRequestWithContext(ctx, http.MethodPut, fmt.Sprintf("http://127.0.0.1:%d%s", base+1, k.path(i)), bytes.NewReader(content[:k.size]))
				if err != nil {
					return err
				}
				req.Header.Set("Content-Type", contentType)
				req.Header.Set("Cache-Control", cacheControl)
				signer.Sign(req, sigv4.UnsignedPayload, time.Now())
				resp, err := insecure.Do(req)
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					return fmt.Errorf("%w: PUT %s: %s", errWrongAnswer, k.path(i), resp.Status)
				}
				return nil
			})
		}
	}
	return g.Wait()
}

// certificate makes one for this machine, unless there is one.
func (m *machine) certificate() error {
	m.cert, m.key = filepath.Join(m.dir, "cert.pem"), filepath.Join(m.dir, "key.pem")
	if _, err := os.Stat(m.cert); err == nil {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, 1),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if _, err := m.file("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))); err != nil {
		return err
	}
	_, err = m.file("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	return err
}

// joined is certificate and key in one file, as HAProxy wants them.
func (m *machine) joined() (string, error) {
	var both []byte
	for _, path := range []string{m.cert, m.key} {
		b, err := os.ReadFile(path) //nolint:gosec // of our own directory
		if err != nil {
			return "", err
		}
		both = append(both, b...)
	}
	return m.file("pair.pem", string(both))
}

func firstLine(ctx context.Context, program string, args ...string) string {
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput() //nolint:gosec // names of our own
	if err != nil {
		return program + " of unknown version"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}
