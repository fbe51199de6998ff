package edge

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"meridian/edge/cache"
	"meridian/edge/httpcache"
	"meridian/edge/purge"
	"meridian/internal/hop"
	"meridian/metadata"
)

const (
	// maxHeldRanges is how many ranges of slices are told, at most.
	maxHeldRanges = 100
	// maxLooked is how many slices of an object are looked for: those of the
	// first 64 GiB.
	maxLooked = 64 << 10
)

// explain tells what the node holds of an object, and why it last had to ask for
// it. versionID is that of the URL, or empty.
func (n *Node) explain(ctx context.Context, o purge.Object, versionID string) metadata.Holding {
	e := metadata.Holding{Node: n.cfg.ID, Tier: n.cfg.Tier, Region: n.cfg.Region, Lease: n.lease.held(), Queue: n.queue(o.Bucket)}
	name := headName(o, versionID)
	e.Miss = n.reasons.last(name, false)
	h := n.peek(ctx, name)
	if h == nil {
		return e
	}
	held := n.tellHead(h, e.Lease)
	e.Head = &held
	if h.Status != http.StatusOK || h.VersionID == "" {
		return e
	}
	// Other nodes ask for a version by its name.
	if m := n.reasons.last(versionName(o, h.VersionID), false); m != nil && (e.Miss == nil || m.At.After(e.Miss.At)) {
		e.Miss = m
	}
	e.SliceMiss = n.reasons.last(sliceName(o, h.VersionID, allSlices), true)
	if !h.Inline && h.Size > 0 {
		e.Slices = n.heldSlices(o, h)
	}
	return e
}

// queue tells of the slices of a bucket that ask, or wait to; nil where none waits.
func (n *Node) queue(bucket string) *metadata.Queue {
	taken, waiting := n.turns.Load(bucket)
	atPeers, more := n.peerTurns.Load(bucket)
	if waiting+more == 0 {
		return nil
	}
	return &metadata.Queue{Asking: taken + atPeers, Waiting: waiting + more}
}

// tellHead describes a head that is held.
func (n *Node) tellHead(h *httpcache.Head, lease bool) metadata.HeldHead {
	now := n.now()
	return metadata.HeldHead{
		Status: h.Status, Version: h.VersionID, ETag: h.ETag(), Size: h.Size, Inline: h.Inline,
		Age:  metadata.Duration(h.CurrentAge(now).Round(time.Millisecond)),
		TTL:  metadata.Duration(h.TTL(now).Round(time.Millisecond)),
		Next: httpcache.Decide(h, now, lease).String(),
	}
}

// peek reads a head, if it is held, without being counted as a miss.
func (n *Node) peek(ctx context.Context, name string) *httpcache.Head {
	if c, ok := n.cfg.Cache.(cache.Holder); ok && !c.Holds(cache.Key{Class: cache.Head, Name: name}) {
		return nil
	}
	return n.cachedHead(ctx, name)
}

// heldSlices looks for the slices of a version; nil where the cache cannot be
// looked into.
func (n *Node) heldSlices(o purge.Object, h *httpcache.Head) *metadata.HeldSlices {
	c, ok := n.cfg.Cache.(cache.Holder)
	if !ok {
		return nil
	}
	s := &metadata.HeldSlices{Total: (h.Size + cache.SliceSize - 1) / cache.SliceSize, Ranges: [][2]int64{}}
	inside := false // the range told last
	for i := range min(s.Total, maxLooked) {
		held := c.Holds(cache.Key{Class: cache.Slice, Name: sliceName(o, h.VersionID, i)})
		switch {
		case !held:
			inside = false
			continue
		case inside:
			s.Ranges[len(s.Ranges)-1][1] = i
		case len(s.Ranges) < maxHeldRanges:
			s.Ranges, inside = append(s.Ranges, [2]int64{i, i}), true
		}
		s.Held++
	}
	return s
}

// serveExplain answers the metadata role, which asks all nodes. Nobody else may:
// it tells what clients have read.
func (n *Node) serveExplain(w http.ResponseWriter, r *http.Request) {
	e, err := n.explainTo(r)
	answerNode(w, r, e, err)
}

func (n *Node) explainTo(r *http.Request) (metadata.Holding, error) {
	if r.Method != http.MethodGet {
		return metadata.Holding{}, errMethod()
	}
	c, err := n.identify(r)
	if err != nil {
		return metadata.Holding{}, err
	}
	if !c.node {
		return metadata.Holding{}, errDenied()
	}
	q := r.URL.Query()
	if target := q.Get("target"); target != "" {
		return n.explainTarget(r.Context(), q.Get("bucket"), target)
	}
	o, versionID := purge.Object{Bucket: q.Get("bucket"), Key: q.Get("key")}, q.Get("versionId")
	if metadata.CheckBucketName(o.Bucket) != nil || o.Key == "" || versionID != "" && !metadata.IsVersionID(versionID) {
		return metadata.Holding{}, errInvalid("A bucket and a key are wanted, and a versionId if any must be one.")
	}
	return n.explain(r.Context(), o, versionID), nil
}

// debug tells a caller who proved an identity, and asks for it, what the node
// holds of the object after all that this request brought. A link proves
// nothing of who has it.
func (x *exchange) debug(to http.Header) {
	if x.mayDebug() {
		to.Set(hop.Debug, debugLine(x.n.explain(x.r.Context(), x.object, x.versionID)))
	}
}

func (x *exchange) mayDebug() bool {
	return x.r.Header.Get(hop.Debug) == "1" && (x.caller.node || !x.caller.link && x.caller.canRead())
}

// debugLine writes a Holding as one line: "node=edge-1; head=serve; age=12s;
// ttl=23h59m48s; slices=3/10; miss=cold; result=miss; at=…".
func debugLine(e metadata.Holding) string {
	parts := []string{"node=" + e.Node, "lease=" + strconv.FormatBool(e.Lease)}
	if h := e.Head; h == nil {
		parts = append(parts, "head=none")
	} else {
		parts = append(parts, "head="+h.Next, "status="+strconv.Itoa(h.Status),
			"age="+time.Duration(h.Age).String(), "ttl="+time.Duration(h.TTL).String())
		if h.Version != "" {
			parts = append(parts, "version="+h.Version)
		}
		if h.Inline {
			parts = append(parts, "inline")
		}
	}
	if s := e.Slices; s != nil {
		parts = append(parts, fmt.Sprintf("slices=%d/%d", s.Held, s.Total))
	}
	if m := e.Miss; m != nil {
		parts = append(parts, "miss="+m.Reason)
		if m.Cause != "" {
			parts = append(parts, "cause="+m.Cause)
		}
		parts = append(parts, "result="+m.Result, "at="+m.At.Format(time.RFC3339Nano))
	}
	if len(e.Variants) > 0 && len(e.Variants[0].Fields) > 0 {
		parts = append(parts, "variants="+strconv.Itoa(len(e.Variants)))
	}
	if q := e.Queue; q != nil {
		parts = append(parts, fmt.Sprintf("asking=%d; waiting=%d", q.Asking, q.Waiting))
	}
	if m := e.SliceMiss; m != nil {
		parts = append(parts, fmt.Sprintf("slice-miss=%d:%s", *m.Slice, m.Reason))
	}
	return strings.Join(parts, "; ")
}
