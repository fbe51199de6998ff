package main

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"meridian/metadata"
)

// topology knows the nodes of the cluster, for roles that read the catalogue
// themselves.
type topology struct {
	list  metadata.NodeList
	log   *slog.Logger
	nodes atomic.Pointer[[]metadata.Node]

	mu   sync.Mutex
	last time.Time // of the last look
}

const (
	topologyEvery = time.Second
	// topologyPause is how often, at most, somebody who misses a region makes
	// it look again.
	topologyPause = 200 * time.Millisecond
)

func newTopology(list metadata.NodeList, log *slog.Logger) *topology {
	t := &topology{list: list, log: log}
	t.nodes.Store(&[]metadata.Node{})
	return t
}

// Run looks every second until ctx ends.
func (t *topology) Run(ctx context.Context) error {
	tick := time.NewTicker(topologyEvery)
	defer tick.Stop()
	for {
		if err := t.refresh(ctx); err != nil && ctx.Err() == nil {
			t.log.Warn("cannot list the cluster's nodes", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (t *topology) refresh(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if wait := topologyPause - time.Since(t.last); wait > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
	nodes, err := t.list.ListNodes(ctx)
	t.last = time.Now()
	if err != nil {
		return err
	}
	t.nodes.Store(&nodes)
	return nil
}

// all are the nodes as last seen; where that were none, it looks.
func (t *topology) all(ctx context.Context) ([]metadata.Node, error) {
	if len(*t.nodes.Load()) == 0 {
		if err := t.refresh(ctx); err != nil {
			return nil, err
		}
	}
	return *t.nodes.Load(), nil
}

// regions are those that have a node, and the given ones.
func (t *topology) regions(given []string) []string {
	names := slices.Clone(given)
	for _, n := range *t.nodes.Load() {
		if !slices.Contains(names, n.Region) {
			names = append(names, n.Region)
		}
	}
	return names
}

// origins are the URLs of a region's origins, live ones first. One that just
// fell silent is still worth a try.
func (t *topology) origins(region string) []string {
	urls := t.known(region)
	if len(urls) == 0 {
		ctx, cancel := context.WithTimeout(context.Background(), topologyEvery)
		defer cancel()
		if err := t.refresh(ctx); err != nil {
			t.log.Warn("cannot list the cluster's nodes", "err", err)
		}
		urls = t.known(region)
	}
	return urls
}

func (t *topology) known(region string) []string {
	var live, silent []string
	for _, n := range *t.nodes.Load() {
		switch {
		case n.Tier != metadata.TierOrigin || n.Region != region:
		case n.Live:
			live = append(live, n.URL)
		default:
			silent = append(silent, n.URL)
		}
	}
	return append(live, silent...)
}
