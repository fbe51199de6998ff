package metadata

import (
	"context"
	"slices"
	"time"
)

// Warm asks cache nodes to fetch objects before anybody asks for them. URLs and
// prefixes are as in a Purge, of objects that there are; a prefix stands for those
// below it when the Warm is asked for.
type Warm struct {
	ID       string   `json:"id"`
	URLs     []string `json:"urls,omitempty"`
	Prefixes []string `json:"prefixes,omitempty"`
	// Regions and Tiers say which nodes: all of them where they are empty.
	Regions []string `json:"regions,omitempty"`
	Tiers   []string `json:"tiers,omitempty"`
}

// Limits of a Warm, which travels to every node as one event: objects, and bytes
// of their names.
const (
	MaxWarmObjects = 5000
	MaxWarmBytes   = 1 << 20
)

// Check refuses with ErrInvalid what names nothing, or no cache nodes.
func (w Warm) Check() error {
	switch {
	case len(w.URLs) == 0 && len(w.Prefixes) == 0:
		return Invalidf("warm names nothing: give urls or prefixes")
	case len(w.URLs)+len(w.Prefixes) > MaxWarmObjects:
		return Invalidf("warm names %d things, more than %d", len(w.URLs)+len(w.Prefixes), MaxWarmObjects)
	}
	for _, t := range w.Tiers {
		if t != TierEdge && t != TierRegional {
			return Invalidf("tier %.40q caches nothing: %s and %s do", t, TierEdge, TierRegional)
		}
	}
	return nil
}

// Concerns reports whether a node is to do it.
func (w Warm) Concerns(tier, region string) bool {
	return (len(w.Tiers) == 0 || slices.Contains(w.Tiers, tier)) && (len(w.Regions) == 0 || slices.Contains(w.Regions, region))
}

// WarmObject is an object to be fetched.
type WarmObject struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
}

// WarmData is the Data of the event of a Warm.
type WarmData struct {
	Warm
	Objects []WarmObject `json:"objects"`
}

// WarmFailure is an object that a node could not fetch, or not wholly.
type WarmFailure struct {
	WarmObject
	Error string `json:"error"`
}

// MaxWarmFailures is how many failures a node tells one by one.
const MaxWarmFailures = 20

// WarmProgress is how far a node is with a Warm.
type WarmProgress struct {
	ID string `json:"id"`
	// Objects are those it is to hold: at a regional cache, its own share of those
	// of the region. They are Fetched, Held before, Failed, or yet to come.
	Objects  int           `json:"objects"`
	Fetched  int           `json:"fetched"`
	Held     int           `json:"held"`
	Failed   int           `json:"failed"`
	Bytes    int64         `json:"bytes"` // fetched
	Failures []WarmFailure `json:"failures,omitempty"`
	Done     bool          `json:"done"`
	At       time.Time     `json:"at"`
}

// States of a node in a WarmStatus.
const (
	WarmWaiting     = "waiting" // it has told of nothing yet
	WarmRunning     = "running"
	WarmDone        = "done"
	WarmAway        = "away"        // it has fallen silent
	WarmInterrupted = "interrupted" // it was started anew, and has forgotten
)

// WarmNode is a node that a Warm concerns.
type WarmNode struct {
	Node     string        `json:"node"`
	Tier     string        `json:"tier"`
	Region   string        `json:"region"`
	State    string        `json:"state"`
	Progress *WarmProgress `json:"progress,omitempty"` // what it told last
}

// WarmStatus is what is known of a Warm.
type WarmStatus struct {
	Warm
	Objects int        `json:"objects"` // that its URLs and prefixes stand for
	Asked   time.Time  `json:"asked"`
	Nodes   []WarmNode `json:"nodes"`
	// Done says that no node will do more: none is waiting or running.
	Done bool `json:"done"`
}

// Warms keeps what nodes were asked to fetch, and how far they are.
type Warms interface {
	// AskWarm records w under a new ID, for all known nodes that it concerns, and
	// writes its event. objects are what w stands for. ErrInvalid for what Check
	// refuses, for too many objects or none, and where no node is concerned.
	AskWarm(ctx context.Context, w Warm, objects []WarmObject) (WarmStatus, Seq, error)
	// WarmStatus tells how far the nodes are; ErrNoSuchWarm if it is unknown or too
	// long ago.
	WarmStatus(ctx context.Context, id string) (WarmStatus, error)
}
