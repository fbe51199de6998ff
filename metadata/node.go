package metadata

import (
	"context"
	"encoding/json"
	"time"
)

// Tiers of a node, and of a row of the hit report.
const (
	TierEdge     = "edge"
	TierRegional = "regional"
	TierOrigin   = "origin"
)

// States of a node, as it tells them itself.
const (
	NodeServing  = ""
	NodeDraining = "draining" // about to stop: nobody new should come
	// NodeImpaired: the upstreams of its own region fail, so that what it does
	// not hold comes from afar, or not at all. Of an origin: its store cannot be
	// reached; it reads from other regions, and new uploads are sent there.
	NodeImpaired = "impaired"
)

// Node is one running process of a region: an edge, a regional cache or an
// origin.
type Node struct {
	ID     string `json:"id"`   // stable over restarts, unique: "edge-europe-1"
	Boot   string `json:"boot"` // a ULID made at every start
	Tier   string `json:"tier"`
	Region string `json:"region"`
	// URL is where other nodes reach it, PublicURL where clients do (S3 tools
	// an origin, browsers an edge).
	URL       string `json:"url"`
	PublicURL string `json:"public_url"`
	// BlobBase is, for an origin, the URL of its blob store
	// ("s3://meridian-europe/").
	BlobBase string    `json:"blob_base,omitempty"`
	Version  string    `json:"version"` // of the program
	State    string    `json:"state,omitempty"`
	Started  time.Time `json:"started"`
	// Applied is how far the node has applied the feed.
	Applied  Seq       `json:"applied"`
	LastSeen time.Time `json:"last_seen"` // set by the catalogue
	Live     bool      `json:"live"`      // seen within NodeTimeout
}

// NodeTimeout is how long after its last push a node counts as live.
const NodeTimeout = 10 * time.Second

// Push is what a node tells at least every 2 s.
type Push struct {
	Node Node `json:"node"`
	// Number counts the pushes of a boot from 1; one that comes again is
	// applied once.
	Number   uint64    `json:"number"`
	Counters []Counter `json:"counters,omitempty"` // since the push before
	// Views are requests for photos and videos since the push before, by
	// bucket and key.
	Views []View `json:"views,omitempty"`
	// Purges were applied by the node since the push before.
	Purges []PurgeAck `json:"purges,omitempty"`
	// Warms are those of which the node has told less before.
	Warms []WarmProgress `json:"warms,omitempty"`
	// Changed are targets of pull zones that unsafe requests through the node have
	// changed since the push before.
	Changed []ZoneTarget `json:"changed,omitempty"`
}

// View counts the times an object was asked for from its first byte.
type View struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	Count  int64  `json:"count"`
}

// PushReply answers a Push.
type PushReply struct {
	// Head is Feed.Head, read after the push arrived. A node that has applied
	// it knows all that was acknowledged before it sent the push.
	Head Seq `json:"head"`
	// Cluster changes when a node comes, goes or moves: the sign to fetch a new
	// snapshot.
	Cluster string `json:"cluster"`
}

// Snapshot is what a cache node must know to answer by itself.
type Snapshot struct {
	// Seq: the snapshot holds at least the changes up to it.
	Seq     Seq      `json:"seq"`
	Buckets []Bucket `json:"buckets"`
	Nodes   []Node   `json:"nodes"` // live ones
	Keys    []DayKey `json:"keys"`
	// Policies are what access keys may do that have a Policy, by their IDs.
	Policies map[string]json.RawMessage `json:"policies,omitempty"`
	// Sessions verify the temporary credentials that were made of access keys.
	Sessions []SessionKey `json:"sessions,omitempty"`
}

// SessionKey verifies the temporary credentials that were made of an access key
// on one day, see package session.
type SessionKey struct {
	AccessKey string `json:"access_key"`
	Date      string `json:"date"` // 20060102
	Key       []byte `json:"key"`
}

// DayKey is a SigV4 signing key derived from an access key's secret for one
// day, region and service: enough to verify, useless beyond that scope.
type DayKey struct {
	AccessKey string     `json:"access_key"`
	Role      string     `json:"role"`
	User      string     `json:"user"`
	Date      string     `json:"date"` // 20060102
	Region    string     `json:"region"`
	Key       []byte     `json:"key"`
	Expires   *time.Time `json:"expires,omitempty"` // of the access key
}

// Nodes is how nodes report and learn of each other.
type Nodes interface {
	// Push registers the node and adds its counters to the minute they were
	// counted in. While two live processes claim one node ID the one that
	// started last is heard; the other gets ErrNodeReplaced. Counters of minutes
	// that are no longer kept, or lie more than 2 min ahead, are ErrInvalid.
	Push(ctx context.Context, p Push) (PushReply, error)
	Snapshot(ctx context.Context) (Snapshot, error)
}

// NodeList tells which nodes there are.
type NodeList interface {
	// ListNodes returns every node that has pushed, live or not, by ID. One that
	// has been silent for days may be forgotten.
	ListNodes(ctx context.Context) ([]Node, error)
}
