package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"meridian/internal/devserver"
	"meridian/internal/program"
)

// server is one that is measured.
type server struct {
	name, version string
	host          string // and port
	pid           int    // of the process that started all others of it
	written       atomic.Int64
	deleted       atomic.Int64
	peak          atomic.Int64 // bytes of memory
}

// machine runs the servers of one comparison.
type machine struct {
	o     options
	dir   string
	stops []func() error
}

// start starts and fills the servers, Meridian first.
func (m *machine) start(ctx context.Context) ([]*server, error) {
	var list []*server
	for _, of := range []struct {
		name  string
		begin func(context.Context, string) (*server, error)
	}{{"meridian", m.meridian}, {"minio", m.minio}, {"versitygw", m.versitygw}} {
		if !program.Chosen(m.o.servers, of.name) {
			continue
		}
		s, err := of.begin(ctx, of.name)
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", of.name, err)
		}
		if err := fill(ctx, s); err != nil {
			return nil, fmt.Errorf("fill %s: %w", s.name, err)
		}
		fmt.Fprintln(os.Stderr, "filled", s.name)
		list = append(list, s)
	}
	if len(list) == 0 {
		return nil, errors.New("-servers names none of meridian, minio, versitygw")
	}
	return list, nil
}

// stop ends all servers.
func (m *machine) stop() error {
	var err error
	for _, stop := range m.stops {
		err = errors.Join(err, stop())
	}
	return err
}

func (m *machine) meridian(ctx context.Context, name string) (*server, error) {
	dev := &devserver.Server{Program: m.o.meridian, AccessKey: accessKey, SecretKey: secretKey, Args: []string{"--regions", region, "--log-level", "warn"}}
	if err := dev.Start(ctx); err != nil {
		return nil, err
	}
	m.stops = append(m.stops, dev.Stop)
	return &server{name: name, version: said(ctx, m.o.meridian, "version"), host: dev.S3Host(), pid: dev.Pid()}, nil
}

func (m *machine) minio(ctx context.Context, name string) (*server, error) {
	program := filepath.Join(m.o.tools, "minio")
	return m.run(ctx, name, []string{"MINIO_ROOT_USER=" + accessKey, "MINIO_ROOT_PASSWORD=" + secretKey, "MINIO_BROWSER=off", "MINIO_UPDATE=off"},
		module(ctx, program, "github.com/minio/minio"), func(host, data string) []string {
			return []string{program, "server", "--quiet", "--address", host, data}
		})
}

func (m *machine) versitygw(ctx context.Context, name string) (*server, error) {
	program := filepath.Join(m.o.tools, "versitygw")
	return m.run(ctx, name, []string{"ROOT_ACCESS_KEY=" + accessKey, "ROOT_SECRET_KEY=" + secretKey},
		module(ctx, program, "github.com/versity/versitygw"), func(host, data string) []string {
			return []string{program, "--quiet", "--keep-alive", "--port", host, "posix", data}
		})
}

// run starts a server that is one process, on a free port and with an empty
// directory.
func (m *machine) run(ctx context.Context, name string, env []string, version string, command func(host, data string) []string) (*server, error) {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	host := l.Addr().String()
	_ = l.Close() // nothing was accepted
	data := filepath.Join(m.dir, name)
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	log, err := os.Create(data + ".log") //nolint:gosec // in our own directory
	if err != nil {
		return nil, err
	}
	defer log.Close()
	args := command(host, data)
	cmd := exec.Command(args[0], args[1:]...) //nolint:gosec,noctx // ended by stop, in order
	cmd.Env = append(devserver.Env(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to pass on
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	m.stops = append(m.stops, func() error {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return fmt.Errorf("%s ended by itself: %w", name, err)
		}
		late := time.AfterFunc(15*time.Second, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		_ = cmd.Wait() // how it ended says nothing: it was told to
		return nil
	})
	s := &server{name: name, version: version, host: host, pid: cmd.Process.Pid}
	if err := await(ctx, s); err != nil {
		text, _ := os.ReadFile(data + ".log") //nolint:gosec // likewise
		return nil, fmt.Errorf("%w; it said: %s", err, text)
	}
	return s, nil
}

// await waits until a server lists its buckets.
func await(ctx context.Context, s *server) error {
	err := program.Await(ctx, func() error {
		c, err := dial(ctx, s.host)
		if err != nil {
			return err
		}
		defer c.close()
		return c.expect(ctx, http.MethodGet, "/", nil, http.StatusOK)
	})
	if err != nil {
		return fmt.Errorf("it does not serve: %w", err)
	}
	return nil
}

// fill puts the objects into a server and compares what comes back with them.
func fill(ctx context.Context, s *server) error {
	c, err := dial(ctx, s.host)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.expect(ctx, http.MethodPut, "/"+bucket, nil, http.StatusOK); err != nil {
		return err
	}
	for _, k := range kinds {
		if err := fillKind(ctx, s, k); err != nil {
			return err
		}
		var body bytes.Buffer
		if _, err := c.do(ctx, http.MethodGet, k.path(0), nil, &body); err != nil {
			return err
		}
		if !bytes.Equal(body.Bytes(), content[:k.size]) {
			return fmt.Errorf("%w: %s is not what was put", errWrongAnswer, k.path(0))
		}
	}
	return nil
}

func fillKind(ctx context.Context, s *server, k kind) error {
	t := turns{most: int64(k.count), end: time.Now().Add(time.Hour)}
	return t.share(ctx, s, min(clients, k.count), func(ctx context.Context, c *client, _, n int) error {
		return c.expect(ctx, http.MethodPut, k.path(n), content[:k.size], http.StatusOK)
	})
}

// module is the version of a program's module, as Go wrote it into the program.
func module(ctx context.Context, program, path string) string {
	for line := range strings.Lines(said(ctx, "go", "version", "-m", program)) {
		if f := strings.Fields(line); len(f) >= 3 && f[0] == "mod" && f[1] == path {
			return f[2]
		}
	}
	return "of unknown version"
}

func said(ctx context.Context, program string, args ...string) string {
	out, err := exec.CommandContext(ctx, program, args...).Output() //nolint:gosec // names of our own
	if err != nil {
		return "of unknown version"
	}
	return strings.TrimSpace(string(out))
}
