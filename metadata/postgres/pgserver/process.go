package pgserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// errOccupied says that another server still has the data directory, or that
// somebody took the port.
var errOccupied = errors.New("the data directory or the port is still in use")

// process is one run of the postgres program.
type process struct {
	cmd      *exec.Cmd
	stopping atomic.Bool
	done     chan struct{}
	ended    error // how it ended; read after done

	mu   sync.Mutex
	said []string // its last lines
}

// startProcess starts the server. The thread that starts it must live as long
// as the server does, because the kernel takes the end of that thread for the
// death of the parent: so a goroutine of its own starts it and waits for it.
func startProcess(s *Server) (*process, error) {
	p := &process{done: make(chan struct{})}
	p.cmd = exec.Command(filepath.Join(s.binaries.Dir, "postgres"), s.arguments()...) //nolint:noctx // Stop ends it in order
	s.account.prepare(p.cmd, s.dir)
	dieWithUs(p.cmd.SysProcAttr)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.listen(stderr, s)
		p.ended = p.cmd.Wait()
		close(p.done)
	}()
	return p, <-started
}

// listen reads what the server says until it ends.
func (p *process) listen(stderr io.Reader, s *Server) {
	const keep = 20
	lines := bufio.NewReaderSize(stderr, 64<<10)
	for {
		line, err := lines.ReadString('\n')
		if line = strings.TrimSpace(line); line != "" {
			p.mu.Lock()
			if !slices.Contains(p.said, line) { // one that every connection is told is said often
				p.said = append(p.said[max(0, len(p.said)-keep+1):], line)
			}
			p.mu.Unlock()
			if strings.HasPrefix(line, "PANIC") {
				s.log.Error("private postgres", "says", line)
			} else { // FATAL is what ended one connection, and its client's to tell
				s.log.Debug("private postgres", "says", line)
			}
		}
		if err != nil {
			return
		}
	}
}

// err tells how the process ended.
func (p *process) err() error {
	if p.stopping.Load() && p.ended == nil {
		return nil
	}
	p.mu.Lock()
	said := strings.Join(p.said, "; ")
	p.mu.Unlock()
	how := "it exited by itself"
	if p.ended != nil {
		how = p.ended.Error()
	}
	if p.stopping.Load() {
		return fmt.Errorf("the server did not stop in order: %s: %s", how, said)
	}
	if strings.Contains(said, `lock file "`) || strings.Contains(said, "pre-existing shared memory block") ||
		strings.Contains(said, "Address already in use") {
		return fmt.Errorf("%w: %s", errOccupied, said)
	}
	return fmt.Errorf("the server ended: %s: %s", how, said)
}

// awaitReady waits until the server takes connections. The eighth line of
// postmaster.pid tells; the first one tells whether the file is of this process.
func (p *process) awaitReady(ctx context.Context, data string) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.done:
			return p.err()
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("not ready: %w", ctx.Err()), p.stop(context.WithoutCancel(ctx)))
		case <-tick.C:
		}
		text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
		if err != nil {
			continue // not written yet; if it never is, the process ends
		}
		lines := strings.Split(string(text), "\n")
		if len(lines) >= 8 && lines[0] == strconv.Itoa(p.cmd.Process.Pid) && strings.TrimSpace(lines[7]) == "ready" {
			return nil
		}
	}
}

func (p *process) stop(ctx context.Context) error {
	select {
	case <-p.done:
		if p.stopping.Load() {
			return p.err()
		}
		return nil // Done and Err have told
	default:
	}
	p.stopping.Store(true)
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	// The two ways to stop, by "Shutting Down the Server" of the manual: fast,
	// and immediate.
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return p.err()
	case <-ctx.Done():
	}
	if err := p.cmd.Process.Signal(syscall.SIGQUIT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	return p.err()
}
