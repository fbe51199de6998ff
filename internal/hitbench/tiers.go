package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// Sizes of the two tiers, in percent of the bytes that the trace asks for.
const (
	edges           = 3
	edgePercent     = 1
	regionalPercent = 5
)

// twoTiers replays a trace through edges behind which there is one regional
// cache, and prints who answered: what neither did is left to the origin.
func twoTiers(w io.Writer, t trace, pace time.Duration) error {
	total, items := t.footprint()
	fmt.Fprintf(w, "\n%s through %d edges of %d %% and a regional cache of %d %%: requests answered by\n", t.name, edges, edgePercent, regionalPercent)
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tab, "cache\tedge\tregional\torigin\t")
	for _, c := range []struct {
		name  string
		open  func(int64) (cacher, error)
		paced time.Duration
	}{
		{"LRU", plain(newLRU), 0}, {"S3-FIFO", plain(newS3FIFO), 0}, {"GDSF", plain(newGDSF), 0}, {oursName, plain(newOurs), 0},
		{"Ristretto", nil, pace},
	} {
		open := c.open
		if open == nil {
			var stores []interface{ Close() }
			defer func() {
				for _, s := range stores {
					s.Close()
				}
			}()
			open = func(budget int64) (cacher, error) {
				r, err := newRistretto(budget, items)
				if err != nil {
					return nil, err
				}
				stores = append(stores, r)
				return askFunc(func(q request) bool { return askRistretto(r, q) }), nil
			}
		}
		edge, regional, err := throughTiers(t, total, open, c.paced)
		if err != nil {
			return err
		}
		fmt.Fprintf(tab, "%s\t%.1f %%\t%.1f %%\t%.1f %%\t\n", c.name, 100*edge, 100*regional, 100*(1-edge-regional))
	}
	return tab.Flush()
}

// plain is an open that cannot fail.
func plain(open func(int64) cacher) func(int64) (cacher, error) {
	return func(budget int64) (cacher, error) { return open(budget), nil }
}

type askFunc func(request) bool

func (f askFunc) get(r request) bool { return f(r) }

// throughTiers is the share of requests that edges, and the regional cache behind
// them, answer. Clients are spread over the edges by turns.
func throughTiers(t trace, total int64, open func(int64) (cacher, error), pace time.Duration) (edge, regional float64, err error) {
	var near [edges]cacher
	for i := range near {
		if near[i], err = open(total * edgePercent / 100); err != nil {
			return 0, 0, err
		}
	}
	far, err := open(total * regionalPercent / 100)
	if err != nil {
		return 0, 0, err
	}
	turn, hits, saved := 0, 0, 0
	paced(t, pace, func(r request) bool {
		turn++
		switch {
		case near[turn%edges].get(r):
			hits++
		case far.get(r):
			saved++
		}
		return false
	})
	n := float64(len(t.requests))
	return float64(hits) / n, float64(saved) / n, nil
}
