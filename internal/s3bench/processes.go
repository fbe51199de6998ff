package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// stat is what of /proc/PID/stat is looked at.
type stat struct {
	parent int
	cpu    time.Duration // its own, and of children that ended
}

// parseStat reads what /proc/PID/stat holds.
func parseStat(b []byte) (stat, error) {
	// The name may hold spaces and parentheses; what follows its last one does not.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 15 {
		return stat{}, fmt.Errorf("stat of a process has no times: %q", b)
	}
	var s stat
	var err error
	if s.parent, err = strconv.Atoi(fields[1]); err != nil {
		return stat{}, err
	}
	for _, f := range fields[11:15] {
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return stat{}, err
		}
		s.cpu += time.Duration(ticks) * (time.Second / 100)
	}
	return s, nil
}

// tree returns the processes that root started, itself among them.
func tree(root int) (map[int]stat, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	all := map[int]stat{}
	for _, path := range paths {
		b, err := os.ReadFile(path) //nolint:gosec // of /proc
		if err != nil {
			continue // ended meanwhile
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return nil, err
		}
		if all[pid], err = parseStat(b); err != nil {
			return nil, err
		}
	}
	found := map[int]stat{}
	for pid := range all {
		for at := pid; at > 1; at = all[at].parent {
			if at == root {
				found[pid] = all[pid]
				break
			}
		}
	}
	return found, nil
}

// cpu is the time that a server's processes have used so far.
func (s *server) cpu() (sum time.Duration, err error) {
	processes, err := tree(s.pid)
	for _, p := range processes {
		sum += p.cpu
	}
	return sum, err
}

// memory is what a server's processes hold now, in bytes. What they share counts
// once.
func (s *server) memory() (sum int64, err error) {
	processes, err := tree(s.pid)
	for pid := range processes {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue // ended meanwhile
		}
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
				kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
				if err != nil {
					return 0, err
				}
				sum += kib << 10
			}
		}
	}
	return sum, err
}

// watchMemory looks at the memory of servers until it is told to stop. A look at all
// their processes takes some 25 ms of a core, so it comes once a second.
func watchMemory(list []*server) (stop func()) {
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			for _, s := range list {
				if now, err := s.memory(); err == nil && now > s.peak.Load() {
					s.peak.Store(now)
				}
			}
			select {
			case <-end:
				return
			case <-time.After(time.Second):
			}
		}
	})
	return func() { close(end); wg.Wait() }
}

var syncCall = regexp.MustCompile(`\b(fsync|fdatasync|syncfs|sync_file_range)\([0-9]`)

// syncs tells how often a server syncs for 20 puts, one after the other.
func (s *server) syncs(ctx context.Context, dir string) (string, error) {
	if _, err := exec.LookPath("strace"); err != nil {
		return "not counted: no strace", nil //nolint:nilerr // it is not needed for anything else
	}
	processes, err := tree(s.pid)
	if err != nil {
		return "", err
	}
	trace := filepath.Join(dir, s.name+".strace")
	args := []string{"-f", "-q", "-e", "trace=fsync,fdatasync,syncfs,sync_file_range", "-o", trace}
	for pid := range processes {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	cmd := exec.CommandContext(ctx, "strace", args...) //nolint:gosec // numbers of our own
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return "", err
	}
	time.Sleep(time.Second) // it says nowhere that it is there
	asked := func() error {
		c, err := dial(ctx, s.host)
		if err != nil {
			return err
		}
		defer c.close()
		for i := range 20 {
			if err := c.expect(ctx, "PUT", fmt.Sprintf("/%s/synced/%d", bucket, i), content[:noteSize], 200); err != nil {
				return err
			}
		}
		return nil
	}()
	ended := cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait() // interrupted, it fails
	if err := errors.Join(asked, ended); err != nil {
		return "", fmt.Errorf("%w: strace said: %s", err, said.Bytes())
	}
	b, err := os.ReadFile(trace) //nolint:gosec // of our own directory
	if err != nil {
		return "", err
	}
	return strconv.Itoa(len(syncCall.FindAll(b, -1))), nil
}
