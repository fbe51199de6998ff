// Package devserver runs a `meridian dev` of its own, with its own data and free
// ports, for programs that try other people's software against it.
package devserver

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
	"strings"
	"syscall"
	"time"
)

// Offsets of the ports of meridian dev.
const (
	portAPI  = 0
	portS3   = 1
	portEdge = 21
	ports    = 30 // with up to nine regions
)

// Server is a meridian dev. Its exported fields are set before it starts.
type Server struct {
	// Program is bin/meridian.
	Program string
	// AccessKey and SecretKey are those of root.
	AccessKey, SecretKey string
	// Args are further options of meridian dev.
	Args []string
	// Keep leaves data and log where they are, and says where.
	Keep bool

	dir  string
	base int // first of its ports
	cmd  *exec.Cmd
	runs int
}

// API is the URL of the metadata API, S3 that of the S3 endpoint and Edge that of
// the edge of the first region, S3Host the host and port of S3.
func (s *Server) API() string    { return "http://" + s.addr(portAPI) }
func (s *Server) S3() string     { return "http://" + s.addr(portS3) }
func (s *Server) Edge() string   { return "http://" + s.addr(portEdge) }
func (s *Server) S3Host() string { return s.addr(portS3) }

// Pid is the process that started all others of the server.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Dir is a directory for whatever goes with the server, removed with it.
func (s *Server) Dir() string { return s.dir }

func (s *Server) addr(offset int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.base+offset))
}

// Env is this process's environment without what changes how SDKs reach a server.
func Env() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "AWS_") && !strings.HasPrefix(e, "MERIDIAN_") {
			env = append(env, e)
		}
	}
	return env
}

// Start starts Meridian with nothing in it and waits until it is ready. After End
// it starts another at the same ports.
func (s *Server) Start(ctx context.Context) (err error) {
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "meridian"); err != nil {
			return err
		}
		if err := os.Chmod(s.dir, 0o711); err != nil { //nolint:gosec // Postgres gives root up
			return err
		}
		if s.base, err = freePorts(ctx); err != nil {
			return err
		}
	}
	s.runs++
	data := filepath.Join(s.dir, "data-"+strconv.Itoa(s.runs))
	log, err := os.Create(s.log())
	if err != nil {
		return err
	}
	defer log.Close()
	args := append([]string{"dev", "--data", data, "--port-base", strconv.Itoa(s.base)}, s.Args...)
	s.cmd = exec.Command(s.Program, args...) //nolint:gosec,noctx // ended by stop, in order
	s.cmd.Env = append(Env(), "MERIDIAN_ROOT_ACCESS_KEY="+s.AccessKey, "MERIDIAN_ROOT_SECRET_KEY="+s.SecretKey)
	s.cmd.Stderr = log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to pass on
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
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
	said, _ := os.ReadFile(s.log())
	return errors.Join(fmt.Errorf("meridian did not get ready; it said: %s", said), s.Stop())
}

func (s *Server) log() string { return filepath.Join(s.dir, "meridian.log") }

// Stop ends Meridian and removes its data.
func (s *Server) Stop() error {
	err := s.End()
	if s.Keep {
		fmt.Fprintln(os.Stderr, "Meridian's data and log are in", s.dir)
		return err
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// End ends Meridian; its data stay until Stop.
func (s *Server) End() error {
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	ended := time.AfterFunc(30*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer ended.Stop()
	return s.cmd.Wait()
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
		if free(ctx, base, ports) {
			return base, nil
		}
	}
	return 0, fmt.Errorf("found no %d free ports in a row", ports)
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
