package api

import (
	"net/http"
	"slices"
	"strings"

	"meridian/metadata"
)

type nodeList struct {
	Nodes []metadata.Node `json:"nodes"`
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
}

func (c *call) listNodes() error {
	nodes, err := c.store.ListNodes(c.ctx())
	if err != nil {
		return err
	}
	if nodes == nil {
		nodes = []metadata.Node{}
	}
	return c.json(http.StatusOK, nodeList{nodes})
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
	for _, name := range append(slices.Clone(c.opts.Regions), c.opts.Region) {
		at(name)
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

// knownRegions are the regions in which a bucket may be; nil where nobody has
// told us of any, so that any may be.
func (c *call) knownRegions() ([]string, error) {
	nodes, err := c.store.ListNodes(c.ctx())
	if err != nil {
		return nil, err
	}
	known := slices.Clone(c.opts.Regions)
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
