package edge

import (
	"context"

	"meridian/edge/cache"
	"meridian/edge/httpcache"
	"meridian/edge/purge"
	"meridian/metadata"
)

// earliness is why something is fetched that no client waits for.
type earliness uint8

const (
	onDemand   earliness = iota // one does
	prefetched                  // since its region asks for it often
	warmed                      // since somebody asked for it to be there
)

// manner is how a slice is fetched: for another edge of the region, or ahead.
type manner struct {
	fromPeer bool
	ahead    earliness
}

// keepEarly puts a value that was fetched for some reason, with so many bytes of
// a body in it, and remembers the body where that was early.
func (n *Node) keepEarly(ctx context.Context, why earliness, k cache.Key, v []byte, o purge.Object, h *httpcache.Head, bytes int64) {
	a, ok := n.cfg.Cache.(cache.Advised)
	if why != prefetched || !ok || h.Fields.Get(encryptedField) != "" {
		n.putOf(ctx, h, k, v)
	} else if err := a.PutAhead(ctx, k, v); err != nil {
		n.log.DebugContext(ctx, "cache put", "name", k.Name, "err", err)
	}
	if why != prefetched || k.Class == cache.Head && !h.Inline {
		return
	}
	n.budget.spend(bytes)
	n.ahead.fetched(k, early{
		bucket: o.Bucket, bytes: bytes,
		class: metadata.ClassOf(metadata.MediaType(h.Fields.Get("Content-Type"), o.Key)),
	})
}
