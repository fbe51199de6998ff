package peer

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// probeEvery is the time between two measurements of a region,
	// probeTimeout how long one may take.
	probeEvery   = 10 * time.Second
	probeTimeout = 3 * time.Second
)

// Distances knows how far other regions are, in round-trip time: it asks an
// endpoint of each whether it lives, now and then, and counts how long the
// answer takes. Its methods may run at once.
type Distances struct {
	peers   *Peers
	regions func() []string

	mu    sync.Mutex
	times map[string]time.Duration // absent: never measured; unreachable: no answer
}

const unreachable = time.Duration(1<<63 - 1)

// NewDistances measures the regions that regions names, by way of the endpoints
// and the transport of p. Run makes it work.
func NewDistances(p *Peers, regions func() []string) *Distances {
	return &Distances{peers: p, regions: regions, times: map[string]time.Duration{}}
}

// Run measures until ctx ends.
func (d *Distances) Run(ctx context.Context) error {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		d.Measure(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Measure measures every region once.
func (d *Distances) Measure(ctx context.Context) {
	var all sync.WaitGroup
	for _, region := range d.regions() {
		all.Go(func() {
			took, err := d.probe(ctx, region)
			if ctx.Err() != nil {
				return
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			was, known := d.times[region]
			switch {
			case err != nil:
				took = unreachable
			case known && was != unreachable:
				took = (3*was + took) / 4 // one slow answer is no greater distance
			}
			d.times[region] = took
		})
	}
	all.Wait()
}

// Nearest sorts regions: near ones before far ones, those not measured yet
// behind them, those that did not answer last.
func (d *Distances) Nearest(regions []string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	far := func(region string) time.Duration {
		if t, ok := d.times[region]; ok {
			return t
		}
		return unreachable - 1
	}
	sorted := slices.Clone(regions)
	slices.SortStableFunc(sorted, func(a, b string) int { return cmp.Compare(far(a), far(b)) })
	return sorted
}

// probe is the time of an answer over a connection that is open already.
func (d *Distances) probe(ctx context.Context, region string) (took time.Duration, err error) {
	endpoints := d.peers.Endpoints(region)
	if len(endpoints) == 0 {
		return 0, fmt.Errorf("region %s: no endpoint is known", region)
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	reused := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
	for try := 0; try < 2 && !reused; try++ {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(endpoints[0], "/")+"/healthz", nil)
		if err != nil {
			return 0, err
		}
		start := time.Now()
		resp, err := d.peers.client.Do(r)
		if err != nil {
			return 0, err
		}
		took = time.Since(start)
		_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection is used again
		_ = resp.Body.Close()
	}
	return took, nil
}
