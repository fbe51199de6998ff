package edge

import (
	"context"

	"meridian/edge/cache"
	"meridian/edge/purge"
	"meridian/metadata"
)

// forget drops the heads that t selects, or with t.Soft marks them, and lets no
// running fill bring them back. s is the event that asks for it, and why what is
// told of those that are gone. It returns how many there were. When it returns,
// nobody who comes later is served from them.
func (n *Node) forget(ctx context.Context, s metadata.Seq, t purge.Target, why reason) int {
	for _, key := range n.fills.mark(s, &t, "") {
		n.heads.Forget(key)
	}
	if t.Soft {
		names := n.index.Select(t)
		for _, name := range names {
			n.mistrust(ctx, name)
		}
		return len(names)
	}
	names := n.index.Take(t)
	for _, name := range names {
		n.dropHead(ctx, name)
		n.reasons.lost(name, why, n.now())
	}
	// The index holds no less than the cache does, but an order is an order.
	for _, o := range t.Objects {
		n.dropHead(ctx, headName(o, ""))
	}
	return len(names)
}

// overwritten drops the heads of an object that has a new current version, but
// for one that already tells of that version: whoever reads right after a write
// fills the cache before the event of the write comes, with nothing older than
// it.
func (n *Node) overwritten(ctx context.Context, s metadata.Seq, o purge.Object, version string) {
	t := purge.Target{Objects: []purge.Object{o}}
	for _, key := range n.fills.mark(s, &t, version) {
		n.heads.Forget(key)
	}
	current := headName(o, "")
	h := n.cachedHead(ctx, current)
	keep := h != nil && version != "" && h.VersionID == version
	for _, name := range n.index.Take(t) {
		if name != current {
			n.dropHead(ctx, name)
		}
		if name != current || !keep {
			n.reasons.lost(name, overwritten, n.now())
		}
	}
	if !keep {
		n.dropHead(ctx, current)
		return
	}
	for _, name := range n.index.Add(o, current, h.SurrogateKeys()) {
		n.dropHead(ctx, name)
		n.reasons.lost(name, evicted, n.now())
	}
}

// mistrust makes a head be revalidated before its next use. That an event should
// delete the head meanwhile is excluded: both come from the feed, in order.
func (n *Node) mistrust(ctx context.Context, name string) {
	h := n.cachedHead(ctx, name)
	if h == nil {
		return
	}
	h.Suspect = true
	encoded, err := h.AppendBinary(nil)
	if err != nil {
		n.dropHead(ctx, name) // safe, if more than was asked for
		return
	}
	n.putOf(ctx, h, cache.Key{Class: cache.Head, Name: name}, encoded)
}
