// Command s3bench lays Meridian, with its blobs on disk and a Postgres of its own,
// beside MinIO and the POSIX backend of versitygw, and prints what each does with
// the same S3 requests, in ratios to Meridian. `make bench-s3` runs it.
//
// The servers run at once, on one disk and with the durability that they have by
// default, and are asked one after the other, in rounds, by the same 16 clients in
// this process; the median of the rounds counts, which noise of the machine hits
// alike. Before each turn dirty pages are written out, so that nobody waits for
// what another left behind. Clients and server share the cores: CPU time and
// memory are those of all processes of a server, for Meridian also of Postgres,
// of the metadata role, of a regional cache and of an edge.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"meridian/internal/program"
)

func main() { program.Main("s3bench", run) }

type options struct {
	each            time.Duration
	rounds          int
	meridian, tools string
	dir             string
	rows, servers   string // names, comma-separated
	hold            bool
}

func run(ctx context.Context, w io.Writer, args []string) (err error) {
	var o options
	flags := flag.NewFlagSet("s3bench", flag.ContinueOnError)
	flags.DurationVar(&o.each, "each", 5*time.Second, "how long each server is asked in a round")
	flags.IntVar(&o.rounds, "rounds", 3, "rounds, of which the median counts")
	flags.StringVar(&o.meridian, "meridian", "bin/meridian", "the program to measure")
	flags.StringVar(&o.tools, "tools", "", "directory with the programs minio and versitygw")
	flags.StringVar(&o.dir, "dir", "", "directory for the data, on the disk to measure with (default: that of temporary files)")
	flags.StringVar(&o.rows, "rows", "", "names of rows, comma-separated; empty: all")
	flags.StringVar(&o.servers, "servers", "", "names of servers, comma-separated; empty: all")
	flags.BoolVar(&o.hold, "hold", false, "start and fill the servers, print where they listen, and wait for an interrupt")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := check(o); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "s3bench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := onDisk(dir); err != nil {
		return err
	}
	// Meridian's own directory is to be there too.
	if err := os.Setenv("TMPDIR", dir); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // Postgres gives root up
		return err
	}
	m := &machine{o: o, dir: dir}
	defer func() { err = errors.Join(err, m.stop()) }()
	list, err := m.start(ctx)
	if err != nil {
		return err
	}
	if o.hold {
		for _, s := range list {
			fmt.Fprintf(w, "%s: %s, access key %s, secret %s, process %d\n", s.name, s.host, accessKey, secretKey, s.pid)
		}
		<-ctx.Done()
		return nil
	}
	stopWatching := watchMemory(list)
	for _, r := range rows {
		if !program.Chosen(o.rows, r.name) {
			continue
		}
		if err := measure(ctx, w, o, list, r); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	stopWatching()
	return summary(ctx, w, dir, list)
}

// check refuses options that would end the run late.
func check(o options) error {
	for _, name := range strings.Split(o.rows, ",") {
		if name != "" && !slices.ContainsFunc(rows, func(r row) bool { return r.name == name }) {
			var names []string
			for _, r := range rows {
				names = append(names, r.name)
			}
			return fmt.Errorf("no row is called %q; there are: %s", name, strings.Join(names, ","))
		}
	}
	for _, path := range []string{o.meridian, filepath.Join(o.tools, "minio"), filepath.Join(o.tools, "versitygw")} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("a server is missing, make bench-s3 installs it: %w", err)
		}
	}
	if o.rounds < 1 || o.each <= 0 {
		return errors.New("-rounds and -each must be more than nothing")
	}
	return nil
}

// onDisk refuses a directory in memory, where syncing costs nothing.
func onDisk(dir string) error {
	const tmpfs = 0x01021994
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return err
	}
	if fs.Type == tmpfs {
		return fmt.Errorf("%s is in memory, where syncing costs nothing: name a directory on a disk with -dir (make bench-s3 DIR=...)", dir)
	}
	return nil
}
