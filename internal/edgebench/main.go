// Command edgebench lays an edge beside nginx, Varnish, HAProxy and Apache
// Traffic Server as caches in front of the same objects, and prints what each
// answers from memory, in ratios to the edge. `make bench-edge` runs it.
//
// The servers run at once and are asked one after the other, in rounds, by wrk
// with 64 connections; the median of the rounds counts, which noise of the
// machine hits alike. Pinned, a server has one core and wrk another; unpinned,
// both share two. Every server logs or counts as its users have it do: the edge
// with access lines, counters and histograms, nginx with a buffered access log,
// Varnish into its shared memory. CPU time is that of all processes of a server.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"meridian/internal/program"
)

func main() { program.Main("edgebench", run) }

type options struct {
	each   time.Duration
	rounds int
	binary string
	port   int
	only   string
	// servers and cores choose among what is measured, hold measures nothing.
	servers, cores string
	hold           bool
}

func run(ctx context.Context, w io.Writer, args []string) (err error) {
	var o options
	flags := flag.NewFlagSet("edgebench", flag.ContinueOnError)
	flags.DurationVar(&o.each, "each", 5*time.Second, "how long each server is asked in a round")
	flags.IntVar(&o.rounds, "rounds", 3, "rounds, of which the median counts")
	flags.StringVar(&o.binary, "meridian", "bin/meridian", "the program to measure")
	flags.IntVar(&o.port, "port-base", 19400, "first of the ports used")
	flags.StringVar(&o.only, "only", "", "names of cases, comma-separated; empty: all")
	flags.StringVar(&o.servers, "servers", "", "names of servers to compare, comma-separated; empty: all")
	flags.StringVar(&o.cores, "cores", "pinned,unpinned", "pinned, unpinned or both, comma-separated")
	flags.BoolVar(&o.hold, "hold", false, "start and fill the servers, print where they listen, and wait for an interrupt")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if runtime.NumCPU() < 2 {
		return errors.New("two cores are needed: one for the server, one for wrk")
	}
	// Peers keep their caches in memory, as the edge does.
	dir, err := os.MkdirTemp("/dev/shm", "edgebench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // servers drop their rights
		return err
	}
	stopOrigin, err := serveOrigin(ctx, o.port)
	if err != nil {
		return err
	}
	defer stopOrigin()
	fmt.Fprintln(w, versions(ctx))
	for _, pinned := range []bool{true, false} {
		if pinned && !program.Chosen(o.cores, "pinned") || !pinned && !program.Chosen(o.cores, "unpinned") {
			continue
		}
		if err := compare(ctx, w, o, dir, pinned); err != nil {
			return err
		}
	}
	return nil
}

// compare starts all servers, fills them and prints a table.
func compare(ctx context.Context, w io.Writer, o options, dir string, pinned bool) (err error) {
	how := "Server and wrk share all cores"
	m := &machine{o: o, dir: filepath.Join(dir, "unpinned"), pinned: pinned}
	if pinned {
		how, m.dir = "Server on one core, wrk on another", filepath.Join(dir, "pinned")
	}
	fmt.Fprintf(w, "\n## %s\n", how)
	if err := os.Mkdir(m.dir, 0o755); err != nil { //nolint:gosec // servers drop their rights
		return err
	}
	defer func() { err = errors.Join(err, m.stop()) }()
	list, err := m.start(ctx)
	if err != nil {
		return err
	}
	if o.hold {
		for _, s := range list {
			fmt.Fprintf(w, "%s: port %d, TLS %d, process %d\n", s.name, s.port, s.tls, s.root.cmd.Process.Pid)
		}
		<-ctx.Done()
		return nil
	}
	for _, c := range cases {
		if !program.Chosen(o.only, c.name) {
			continue
		}
		if err := m.measure(ctx, w, list, c); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}
