// Command hitbench replays traces of requests against caches and prints the
// share of requests, and of bytes, that each would have answered: the policy of
// edge/cache/policy alone and inside the memory tier under concurrent callers,
// beside LRU, S3-FIFO, GDSF, otter, plain Ristretto, and MIN, which knows the
// future and bounds them all. `make bench-hits` runs it.
//
// Arguments are files of further traces: names that end in .trace hold
// big-endian 32-bit item numbers in request order (the format of the cache2k
// benchmarks, .xz is unpacked by the xz program), those in .csv one "key,size"
// a line.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"meridian/internal/program"
)

func main() { program.Main("hitbench", run) }

func run(_ context.Context, w io.Writer, args []string) error {
	flags := flag.NewFlagSet("hitbench", flag.ContinueOnError)
	requests := flags.Int("requests", 1_000_000, "requests of each generated trace")
	pace := flags.Duration("pace", 3*time.Microsecond, "time from request to request for caches that apply writes later")
	sizes := flags.String("sizes", "1,5,10,25", "sizes of the cache, in percent of the bytes that a trace asks for")
	if err := flags.Parse(args); err != nil {
		return err
	}
	percents, err := parsePercents(*sizes)
	if err != nil {
		return err
	}
	traces := generated(*requests)
	for _, name := range flags.Args() {
		t, err := load(name)
		if err != nil {
			return err
		}
		traces = append(traces, t)
	}
	for _, t := range traces {
		if err := compare(w, t, percents, *pace); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return twoTiers(w, cdn(*requests, 1), *pace)
}

func parsePercents(text string) ([]int64, error) {
	var all []int64
	for _, f := range strings.Split(text, ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(f), 10, 64)
		if err != nil || n < 1 || n > 100 {
			return nil, fmt.Errorf("size %q is not a percentage from 1 to 100", f)
		}
		all = append(all, n)
	}
	return all, nil
}

// compare prints one trace's table: a row for each cache, a column for each size.
func compare(w io.Writer, t trace, percents []int64, pace time.Duration) error {
	total, items := t.footprint()
	fmt.Fprintf(w, "\n%s: %d requests of %d items, %s\n", t.name, len(t.requests), items, bytesText(total))
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(tab, "hits % / bytes %\t")
	for _, p := range percents {
		fmt.Fprintf(tab, "at %d %%\t", p)
	}
	fmt.Fprintln(tab)
	// The goal is held against the better of these two.
	rivals := []string{"S3-FIFO", "GDSF"}
	best, ours := make([]float64, len(percents)), make([]float64, len(percents))
	for _, c := range contenders(pace) {
		fmt.Fprintf(tab, "%s\t", c.name)
		for i, p := range percents {
			r, err := c.replay(t, total*p/100, items)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			for _, rival := range rivals {
				if c.name == rival {
					best[i] = max(best[i], r.hits)
				}
			}
			if c.name == oursName {
				ours[i] = r.hits
			}
			fmt.Fprintf(tab, "%.1f / %.1f\t", 100*r.hits, 100*r.bytes)
		}
		fmt.Fprintln(tab)
	}
	fmt.Fprintf(tab, "ours against the better of %s\t", strings.Join(rivals, " and "))
	for i := range percents {
		fmt.Fprintf(tab, "%+.1f\t", 100*(ours[i]-best[i]))
	}
	fmt.Fprintln(tab)
	return tab.Flush()
}

func bytesText(n int64) string {
	const unit = 1 << 20
	return fmt.Sprintf("%d MiB", n/unit)
}
