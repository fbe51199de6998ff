package edge_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"meridian/internal/session"
	"meridian/internal/sigv4"
	"meridian/metadata"
)

const (
	clusterSecret = "cluster secret of the tests"
	userKey       = "AKUSER"
	userSecret    = "user secret"
	adminKey      = "AKADMIN"
	adminSecret   = "admin secret"
	writerOnlyKey = "AKNOBODY" // a role that may not read
	ownerKey      = "AKOWNER"  // of role user, as is the other
	ownerSecret   = "owner secret"
	ownerUser     = "owner"
	otherKey      = "AKOTHER"
	otherSecret   = "other secret"
	otherUser     = "other"
)

var errCut = errors.New("link is cut")

// control is a metadata role in memory: snapshots, pushes and a feed, each of
// which can be cut off.
type control struct {
	mu       sync.Mutex
	changed  chan struct{}
	seq      uint64
	events   []metadata.Event
	gone     metadata.Seq // events up to it are not retained
	buckets  map[string]metadata.Bucket
	policies map[string]json.RawMessage // of access keys
	revoked  map[string]bool            // access keys
	nodes    []metadata.Node
	pushes   []metadata.Push
	applied  map[string]map[uint64]bool // by boot
	noFeed   bool
	noPush   bool
	noSnap   bool
	lostAcks int // pushes that are applied, but whose answers get lost
	snaps    int
}

func newControl() *control {
	return &control{changed: make(chan struct{}), buckets: map[string]metadata.Bucket{}, applied: map[string]map[uint64]bool{}}
}

func seqOf(n uint64) metadata.Seq { return metadata.Seq{Xid: n, ID: n} }

// change runs f under the lock and wakes whoever waits.
func (c *control) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *control) emit(e metadata.Event) (s metadata.Seq) {
	c.change(func() {
		c.seq++
		e.Seq, e.Time = seqOf(c.seq), time.Now()
		c.events = append(c.events, e)
		s = e.Seq
	})
	return s
}

func (c *control) putBucket(b metadata.Bucket) metadata.Seq {
	c.mu.Lock()
	_, known := c.buckets[b.Name]
	c.buckets[b.Name] = b
	c.mu.Unlock()
	kind := metadata.BucketCreated
	if known {
		kind = metadata.BucketUpdated
	}
	return c.emit(metadata.Event{Type: kind, Bucket: b.Name})
}

func (c *control) Push(_ context.Context, p metadata.Push) (metadata.PushReply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.noPush {
		return metadata.PushReply{}, errCut
	}
	boot := p.Node.ID + "/" + p.Node.Boot
	if c.applied[boot] == nil {
		c.applied[boot] = map[uint64]bool{}
	}
	if !c.applied[boot][p.Number] {
		c.applied[boot][p.Number] = true
		c.pushes = append(c.pushes, p)
		if len(p.Changed) > 0 {
			c.seq++
			data, err := json.Marshal(metadata.ZoneData{Node: p.Node.ID, Targets: p.Changed})
			if err != nil {
				return metadata.PushReply{}, err
			}
			c.events = append(c.events, metadata.Event{Seq: seqOf(c.seq), Time: time.Now(), Type: metadata.ZoneChanged, Region: p.Node.Region, Data: data})
		}
		if !slices.ContainsFunc(c.nodes, func(n metadata.Node) bool { return n.ID == p.Node.ID }) {
			c.nodes = append(c.nodes, p.Node)
		}
		close(c.changed)
		c.changed = make(chan struct{})
	}
	if c.lostAcks > 0 {
		c.lostAcks--
		return metadata.PushReply{}, errCut
	}
	var cluster string
	for _, n := range c.nodes {
		cluster += n.ID + " "
	}
	return metadata.PushReply{Head: seqOf(c.seq), Cluster: cluster}, nil
}

func (c *control) Snapshot(context.Context) (metadata.Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.noSnap {
		return metadata.Snapshot{}, errCut
	}
	c.snaps++
	s := metadata.Snapshot{Seq: seqOf(c.seq), Nodes: slices.Clone(c.nodes), Policies: maps.Clone(c.policies)}
	for _, b := range c.buckets {
		s.Buckets = append(s.Buckets, b)
	}
	now := time.Now().UTC()
	for _, k := range []struct{ id, secret, role, user string }{
		{userKey, userSecret, metadata.RoleReadOnly, "user"}, {adminKey, adminSecret, metadata.RoleAdmin, "admin"}, {writerOnlyKey, userSecret, "nothing", "nobody"},
		{ownerKey, ownerSecret, metadata.RoleUser, ownerUser}, {otherKey, otherSecret, metadata.RoleUser, otherUser},
	} {
		if c.revoked[k.id] {
			continue
		}
		if c.policies[k.id] != nil {
			k.role = "" // as the catalogue has it
		}
		for day := -7; day <= 1; day++ {
			date := now.AddDate(0, 0, day).Format("20060102")
			if day >= -2 {
				s.Sessions = append(s.Sessions, metadata.SessionKey{AccessKey: k.id, Date: date, Key: session.KeyOf(k.secret, date)})
			}
			s.Keys = append(s.Keys, metadata.DayKey{AccessKey: k.id, Role: k.role, User: k.user, Date: date, Region: "us-east-1",
				Key: sigv4.DeriveKey(k.secret, date, "us-east-1", "s3")})
		}
	}
	return s, nil
}

func (c *control) Follow(ctx context.Context, after metadata.Seq, fn func(metadata.Event) error) error {
	for {
		c.mu.Lock()
		changed, cut := c.changed, c.noFeed
		gone := after.Compare(c.gone) < 0
		var next []metadata.Event
		for _, e := range c.events {
			if e.Seq.Compare(after) > 0 {
				next = append(next, e)
			}
		}
		c.mu.Unlock()
		switch {
		case cut:
			return errCut
		case gone:
			return metadata.ErrFeedGone
		}
		for _, e := range next {
			if err := fn(e); err != nil {
				return err
			}
			after = e.Seq
		}
		if len(next) > 0 {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// cut takes the metadata role away from its nodes, but for snapshots if those
// are wanted.
func (c *control) cut(feed, push, snap bool) {
	c.change(func() { c.noFeed, c.noPush, c.noSnap = feed, push, snap })
}

// state is what a node last said of itself.
func (c *control) state(node string) (state string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pushes {
		if p.Node.ID == node {
			state = p.Node.State
		}
	}
	return state
}

// total adds up what a node has pushed.
func (c *control) total(node string) (sum metadata.Counter, views int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pushes {
		if p.Node.ID != node {
			continue
		}
		for _, k := range p.Counters {
			sum.Requests += k.Requests
			sum.Hits += k.Hits
			sum.Misses += k.Misses
			sum.Stale += k.Stale
			sum.Revalidated += k.Revalidated
			sum.Pass += k.Pass
			sum.Bytes += k.Bytes
			sum.HitBytes += k.HitBytes
			sum.AnsweredRegional += k.AnsweredRegional
			sum.AnsweredOrigin += k.AnsweredOrigin
			sum.Latency.Merge(k.Latency)
			sum.Prefetch.Add(k.Prefetch)
		}
		for _, v := range p.Views {
			views += v.Count
		}
	}
	return sum, views
}

// eventually waits until ok holds, looking again whenever the control plane
// changes and every few milliseconds besides.
func (c *control) eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !ok() {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-time.After(2 * time.Millisecond):
		case <-deadline:
			t.Fatalf("never came true: %s", what)
		}
	}
}

var (
	_ metadata.Nodes    = (*control)(nil)
	_ metadata.Follower = (*control)(nil)
)
