package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"
)

// result is what one turn, or the median of several, says.
type result struct {
	perSecond float64       // units
	cpu       time.Duration // of an operation
	p50, p99  time.Duration
}

// measure asks all servers in rounds and prints a table of ratios.
func measure(ctx context.Context, w io.Writer, o options, list []*server, r row) error {
	runs := make([][]result, len(list))
	for range o.rounds {
		for i, s := range list {
			got, err := turn(ctx, o, s, r)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			runs[i] = append(runs[i], got)
		}
	}
	fmt.Fprintf(w, "\n%s\n", r.name)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "server\t%s\t%s is\tCPU/op\tp50\tp99\n", r.unit, list[0].name)
	first := median(runs[0])
	for i, s := range list {
		m := median(runs[i])
		fmt.Fprintf(tw, "%s\t%.0f\t%.2f x\t%v\t%v\t%v\n", s.name, m.perSecond, first.perSecond/m.perSecond,
			m.cpu.Round(time.Microsecond), m.p50.Round(10*time.Microsecond), m.p99.Round(10*time.Microsecond))
	}
	return tw.Flush()
}

// turn asks one server for o.each.
func turn(ctx context.Context, o options, s *server, r row) (result, error) {
	syscall.Sync()
	runtime.GC()
	t := turns{most: -1, end: time.Now().Add(o.each)}
	if r.most != nil {
		t.most = int64(r.most(s, o.rounds))
		if t.most == 0 {
			return result{}, errors.New("nothing was put that could be deleted: ask for the row put-4KiB too")
		}
	}
	before, err := s.cpu()
	if err != nil {
		return result{}, err
	}
	begun := time.Now()
	took := make([][]time.Duration, clients)
	err = t.share(ctx, s, clients, func(ctx context.Context, c *client, i, n int) error {
		asked := time.Now()
		if err := r.ask(ctx, c, s, n); err != nil {
			return err
		}
		took[i] = append(took[i], time.Since(asked))
		return nil
	})
	if err != nil {
		return result{}, err
	}
	passed := time.Since(begun)
	after, err := s.cpu()
	if err != nil {
		return result{}, err
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	return result{
		perSecond: float64(len(all)) * r.each / passed.Seconds(),
		cpu:       (after - before) / time.Duration(len(all)),
		p50:       all[len(all)/2],
		p99:       all[len(all)*99/100],
	}, nil
}

// median is the run in the middle by units a second.
func median(runs []result) result {
	slices.SortFunc(runs, func(a, b result) int { return cmp.Compare(a.perSecond, b.perSecond) })
	return runs[len(runs)/2]
}

// summary prints what belongs to no row.
func summary(ctx context.Context, w io.Writer, dir string, list []*server) error {
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "server\tpeak memory, MB\t%s is\tsyncs in 20 puts of 4 KiB\tversion\n", list[0].name)
	for _, s := range list {
		syncs, err := s.syncs(ctx, dir)
		if err != nil {
			return fmt.Errorf("count what %s syncs: %w", s.name, err)
		}
		peak := float64(s.peak.Load())
		fmt.Fprintf(tw, "%s\t%.0f\t%.2f x\t%s\t%s\n", s.name, peak/1e6, float64(list[0].peak.Load())/peak, syncs, s.version)
	}
	return tw.Flush()
}
