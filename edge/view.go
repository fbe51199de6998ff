package edge

import (
	"context"
	"fmt"
	"slices"
	"time"

	"meridian/edge/pull"
	"meridian/internal/cors"
	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
	"meridian/metadata/access"
)

// refreshPause is how often, at most, requests that name what the node does not
// know make it ask again. It doubles with every ask that finds nothing, up to
// longestRefreshPause: anybody can make names up, each snapshot costs its maker what
// there is of keys and buckets, and the feed tells of new ones anyway.
const (
	refreshPause        = 200 * time.Millisecond
	longestRefreshPause = 10 * time.Second
)

// unknownTimeout bounds how long such a request waits for the answer.
const unknownTimeout = 2 * time.Second

// view is a snapshot made ready for look-ups. It never changes.
type view struct {
	seq     metadata.Seq
	buckets map[string]*metadata.Bucket
	access  map[string]*access.Bucket       // of the buckets
	keys    map[sigv4.Scope]metadata.DayKey // Service left empty
	callers map[string]access.Caller        // by access key
	ends    map[string]*time.Time           // of access keys that end
	// sessions verify temporary credentials.
	sessions map[sessionDay][]byte
	nodes    []metadata.Node
	regions  []string
	cors     map[string]*cors.Config // of the buckets that have one
	// zones are the buckets that are pull zones, by name and by host.
	zones, zoneHosts map[string]*zone
}

func newView(s metadata.Snapshot) *view {
	v := &view{
		seq:     s.Seq,
		buckets: make(map[string]*metadata.Bucket, len(s.Buckets)),
		keys:    make(map[sigv4.Scope]metadata.DayKey, len(s.Keys)),
		callers: map[string]access.Caller{},
		ends:    map[string]*time.Time{}, sessions: make(map[sessionDay][]byte, len(s.Sessions)),
		access: make(map[string]*access.Bucket, len(s.Buckets)),
		nodes:  s.Nodes,
		cors:   map[string]*cors.Config{},
		zones:  map[string]*zone{}, zoneHosts: map[string]*zone{},
	}
	for i := range s.Buckets {
		b := &s.Buckets[i]
		v.buckets[b.Name] = b
		// What cannot be read lets nobody in.
		if a, err := access.Of(b); err == nil {
			v.access[b.Name] = a
		}
		v.addZone(b)
		// One that cannot be read lets nobody in.
		if config, err := cors.Parse(b.Config["cors"]); err != nil {
			v.cors[b.Name] = &cors.Config{}
		} else if config != nil {
			v.cors[b.Name] = config
		}
	}
	for _, k := range s.Keys {
		v.keys[sigv4.Scope{AccessKey: k.AccessKey, Date: k.Date, Region: k.Region}] = k
		v.addCaller(&k, s.Policies[k.AccessKey])
		// Keys were derived for the regions there are, so they name them.
		if !slices.Contains(v.regions, k.Region) {
			v.regions = append(v.regions, k.Region)
		}
	}
	for _, k := range s.Sessions {
		v.sessions[sessionDay{k.AccessKey, k.Date}] = k.Key
	}
	for _, n := range s.Nodes {
		if n.Region != "" && !slices.Contains(v.regions, n.Region) {
			v.regions = append(v.regions, n.Region)
		}
	}
	slices.Sort(v.regions)
	return v
}

// addCaller notes who has an access key, once for all of its days. A policy that
// cannot be read lets nobody in.
func (v *view) addCaller(k *metadata.DayKey, policy []byte) {
	if _, known := v.callers[k.AccessKey]; known {
		return
	}
	c, err := access.CallerOf(k.User, k.Role, policy)
	if err != nil {
		c = &access.Caller{}
	}
	v.callers[k.AccessKey] = *c
	if k.Expires != nil {
		v.ends[k.AccessKey] = k.Expires
	}
}

// addZone notes a bucket that is a pull zone. Of two that claim a host the first
// by name has it.
func (v *view) addZone(b *metadata.Bucket) {
	p, err := pull.New(b)
	if b.Pull.IsZero() || err != nil { // the API lets no such zone in
		return
	}
	z := &zone{Zone: p, bucket: b}
	v.zones[b.Name] = z
	for _, h := range b.Pull.Hosts {
		if v.zoneHosts[h] == nil {
			v.zoneHosts[h] = z
		}
	}
}

// refresh fetches a snapshot unless the node has one of at least s already.
func (n *Node) refresh(ctx context.Context, s metadata.Seq) error {
	if err := n.lockSnapshot(ctx); err != nil {
		return err
	}
	defer n.unlockSnapshot()
	if v := n.view.Load(); v != nil && !s.IsZero() && v.seq.Compare(s) >= 0 {
		return nil
	}
	return n.fetchSnapshot(ctx, false)
}

// refreshUnknown is for a request that names what the view does not hold: it
// fetches a snapshot, unless one was asked for a moment ago. holds says whether a
// view has the name.
func (n *Node) refreshUnknown(ctx context.Context, holds func(*view) bool) {
	ctx, cancel := context.WithTimeout(ctx, unknownTimeout)
	defer cancel()
	if err := n.lockSnapshot(ctx); err != nil {
		return
	}
	defer n.unlockSnapshot()
	pause := max(n.unknownPause, refreshPause)
	if n.now().Sub(n.snapshotAsked) < pause {
		return
	}
	if err := n.fetchSnapshot(ctx, false); err != nil {
		n.log.WarnContext(ctx, "snapshot for an unknown name", "err", err)
		return
	}
	n.unknownPause = min(2*pause, longestRefreshPause)
	if v := n.view.Load(); v != nil && holds(v) {
		n.unknownPause = 0
	}
}

func (n *Node) lockSnapshot(ctx context.Context) error {
	select {
	case n.snapshotLock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (n *Node) unlockSnapshot() { <-n.snapshotLock }

// fetchSnapshot is called with the snapshot lock held. One that is older than
// the node's comes from a source that is behind, and counts only if the node
// starts over.
func (n *Node) fetchSnapshot(ctx context.Context, startOver bool) error {
	n.snapshotAsked = n.now()
	s, err := n.cfg.Control.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("refresh snapshot: %w", err)
	}
	if v := n.view.Load(); v != nil && s.Seq.Compare(v.seq) < 0 && !startOver {
		return nil
	}
	v := newView(s)
	n.view.Store(v)
	n.setUpstreams(v)
	return nil
}

// bucket finds a bucket, asking again for one that is not known.
func (n *Node) bucket(ctx context.Context, name string) (*metadata.Bucket, error) {
	v := n.view.Load()
	if v != nil && v.buckets[name] != nil {
		return v.buckets[name], nil
	}
	if metadata.CheckBucketName(name) != nil {
		return nil, errNoSuchBucket()
	}
	n.refreshUnknown(ctx, func(v *view) bool { return v.buckets[name] != nil })
	switch v = n.view.Load(); {
	case v == nil:
		return nil, errNotReady()
	case v.buckets[name] == nil:
		return nil, errNoSuchBucket()
	}
	return v.buckets[name], nil
}

// corsRules are those of a bucket; nil is the default.
func (n *Node) corsRules(bucket string) *cors.Config {
	if v := n.view.Load(); v != nil {
		return v.cors[bucket]
	}
	return nil
}

// signingKey is the sigv4.KeyFunc of the node: its own identity's keys are
// derived from the cluster secret, those of users come with the snapshot.
func (n *Node) signingKey(ctx context.Context, s sigv4.Scope) ([]byte, error) {
	if s.AccessKey == hop.NodeAccessKey {
		return sigv4.DeriveKey(n.cfg.ClusterSecret, s.Date, s.Region, s.Service), nil
	}
	s.Service, s.Token = "", ""
	for try := range 2 {
		v := n.view.Load()
		if v != nil {
			if k, ok := v.keys[s]; ok {
				if k.Expires != nil && !n.now().Before(*k.Expires) {
					break
				}
				return k.Key, nil
			}
			// Only an access key that may be new is worth asking for.
			if v.hasKey(s.AccessKey) {
				break
			}
		}
		if try == 0 {
			n.refreshUnknown(ctx, func(v *view) bool { return v.hasKey(s.AccessKey) })
		}
	}
	return nil, sigv4.ErrUnknownAccessKey
}

// verifier accepts the scopes that the view has keys for.
func (n *Node) verifier() *sigv4.Verifier {
	v := &sigv4.Verifier{Keys: n.signingKey, Now: n.now}
	if view := n.view.Load(); view != nil {
		v.Regions = view.regions
	}
	return v
}

func (v *view) hasKey(accessKey string) bool {
	_, known := v.callers[accessKey]
	return known
}

// everybody says whether everybody may read all that the bucket holds.
func (v *view) everybody(bucket string) bool {
	a := v.access[bucket]
	return a != nil && a.Open()
}
