package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"meridian/metadata"
)

type nodeList struct {
	Nodes []nodeInfo `json:"nodes"`
}

type nodeInfo struct {
	metadata.Node
	// BehindSeconds is the age of the oldest event that the node has not said to
	// have applied, and 0 where it has applied all. Nodes say so every 2 s. It is
	// missing where a node is silent, does not follow the feed, or is behind what
	// the feed still holds.
	BehindSeconds *float64 `json:"behind_seconds,omitempty"`
}

type regionList struct {
	Regions []region `json:"regions"`
}

// region is what the nodes of a region add up to.
type region struct {
	Name string `json:"name"`
	// Live says whether an origin of the region is.
	Live bool `json:"live"`
	// S3 and Edges are the public URLs of live origins and edges.
	S3    []string `json:"s3"`
	Edges []string `json:"edges"`
	// Nodes counts all nodes by tier, LiveNodes those that are live.
	Nodes     map[string]int `json:"nodes"`
	LiveNodes map[string]int `json:"live_nodes"`
	// Replication is what the region has yet to copy from others.
	Replication replication `json:"replication"`
}

// replication is how far a region is behind with its copies.
type replication struct {
	Objects int64 `json:"objects"` // waiting, those being copied among them
	Bytes   int64 `json:"bytes"`
	// Lag is how long the oldest of them has been waiting.
	Lag    metadata.Duration `json:"lag"`
	Oldest *time.Time        `json:"oldest,omitempty"`
	// Failing counts those whose last try failed; LastError is of the latest.
	Failing   int64      `json:"failing"`
	LastError string     `json:"last_error,omitempty"`
	FailedAt  *time.Time `json:"failed_at,omitempty"`
}

func (c *call) listNodes() error {
	nodes, err := c.store.ListNodes(c.ctx())
	if err != nil {
		return err
	}
	list := nodeList{Nodes: make([]nodeInfo, len(nodes))}
	asked := map[metadata.Seq]*float64{} // nodes of a kind are mostly at one place
	for i, n := range nodes {
		list.Nodes[i].Node = n
		if !n.Live || n.Applied.IsZero() {
			continue
		}
		behind, ok := asked[n.Applied]
		if !ok {
			if behind, err = c.behind(n.Applied); err != nil {
				return err
			}
			asked[n.Applied] = behind
		}
		list.Nodes[i].BehindSeconds = behind
	}
	return c.json(http.StatusOK, list)
}

// behind is the age of the first event after a place in the feed, in seconds;
// nil where the feed does not go back as far.
func (c *call) behind(applied metadata.Seq) (*float64, error) {
	next, err := c.store.Poll(c.ctx(), applied, 1)
	if errors.Is(err, metadata.ErrFeedGone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	seconds := 0.0
	if len(next) > 0 {
		seconds = max(c.now().Sub(next[0].Time).Seconds(), 0)
	}
	return &seconds, nil
}

func (c *call) listRegions() error {
	regions, err := c.regions()
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, regionList{regions})
}

func (c *call) getRegion() error {
	regions, err := c.regions()
	if err != nil {
		return err
	}
	for _, r := range regions {
		if r.Name == c.param("name") {
			return c.json(http.StatusOK, r)
		}
	}
	return tell(errNoSuchRegion, "there is no region %.60q", c.param("name"))
}

// regions are those that were configured or have nodes, by name.
func (c *call) regions() ([]region, error) {
	nodes, err := c.store.ListNodes(c.ctx())
	if err != nil {
		return nil, err
	}
	byName := map[string]*region{}
	at := func(name string) *region {
		if byName[name] == nil {
			byName[name] = &region{Name: name, S3: []string{}, Edges: []string{}, Nodes: map[string]int{}, LiveNodes: map[string]int{}}
		}
		return byName[name]
	}
	known, err := c.store.KnownRegions(c.ctx())
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Concat(c.opts.Regions, []string{c.opts.Region}, known) {
		at(name)
	}
	backlogs, err := c.store.Backlogs(c.ctx())
	if err != nil {
		return nil, err
	}
	for _, b := range backlogs {
		at(b.Region).Replication = c.replication(b)
	}
	for _, n := range nodes {
		r := at(n.Region)
		r.Nodes[n.Tier]++
		if !n.Live {
			continue
		}
		r.LiveNodes[n.Tier]++
		switch n.Tier {
		case metadata.TierOrigin:
			r.Live = true
			r.S3 = append(r.S3, n.PublicURL)
		case metadata.TierEdge:
			r.Edges = append(r.Edges, n.PublicURL)
		}
	}
	list := make([]region, 0, len(byName))
	for _, r := range byName {
		list = append(list, *r)
	}
	slices.SortFunc(list, func(a, b region) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// replication says of a backlog what callers are told.
func (c *call) replication(b metadata.Backlog) replication {
	r := replication{Objects: b.Objects, Bytes: b.Bytes, Failing: b.Failing, LastError: b.Error}
	if !b.Oldest.IsZero() {
		r.Oldest, r.Lag = &b.Oldest, metadata.Duration(max(0, c.now().Sub(b.Oldest)).Round(time.Millisecond))
	}
	if !b.Failed.IsZero() {
		r.FailedAt = &b.Failed
	}
	return r
}

// knownRegions are the regions in which a bucket may be; nil where nobody has
// told us of any, so that any may be.
func (c *call) knownRegions() ([]string, error) {
	nodes, err := c.store.ListNodes(c.ctx())
	if err != nil {
		return nil, err
	}
	known, err := c.store.KnownRegions(c.ctx())
	if err != nil {
		return nil, err
	}
	known = append(known, c.opts.Regions...)
	for _, n := range nodes {
		if n.Tier == metadata.TierOrigin {
			known = append(known, n.Region)
		}
	}
	if len(known) == 0 {
		return nil, nil
	}
	known = append(known, c.opts.Region)
	slices.Sort(known)
	return slices.Compact(known), nil
}

// push takes what a node counted. It may come twice.
func (c *call) push() error {
	var p metadata.Push
	if err := c.decodeNode(&p); err != nil {
		return err
	}
	reply, err := c.store.Push(c.ctx(), p)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, reply)
}

// snapshot tells a node what it must know to answer by itself, day keys of all
// access keys among it.
func (c *call) snapshot() error {
	s, err := c.store.Snapshot(c.ctx())
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, s)
}
