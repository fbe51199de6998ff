package edge

import (
	"net/http"

	"meridian/edge/httpcache"
	"meridian/metadata/tally"
)

// sliceMissing is the detail of a hit whose head was held, but not the slice
// with which its body begins.
const sliceMissing = "slice-missing"

// cacheStatus is the node's member of Cache-Status.
func (x *exchange) cacheStatus(f *found) httpcache.Status {
	s := httpcache.Status{Cache: "meridian-" + x.n.cfg.Tier + "-" + x.n.cfg.Region}
	if f.filled == nil {
		s.Hit = true
		s.SetTTL(f.head.TTL(x.n.now()))
		if x.sample.Result == tally.Miss {
			s.Hit, s.HasTTL, s.Forward, s.Detail = false, false, httpcache.ForwardPartial, sliceMissing
		}
		return s
	}
	s.Forward, s.Stored, s.Collapsed = f.forward, f.filled.stored, !f.led
	if status := f.filled.status; status != http.StatusOK && status != http.StatusPartialContent {
		s.ForwardStatus = status
	}
	return s
}

// depthOf tells from an answer's Cache-Status which tier had to answer: the last
// member is the next tier's own, and an origin has none.
func depthOf(h http.Header) tally.Depth {
	members, err := httpcache.ParseStatus(h["Cache-Status"])
	if err != nil || len(members) == 0 || !members[len(members)-1].Hit {
		return tally.Origin
	}
	return tally.Regional
}
