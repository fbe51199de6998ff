package edge

import (
	"net/http"
	"strings"

	"meridian/edge/httpcache"
	"meridian/metadata"
	"meridian/metadata/tally"
)

// sliceMissing is the detail of a hit whose head was held, but not the slice
// with which its body begins.
const sliceMissing = "slice-missing"

// peerDetail is the detail of what an edge answers another one of its region.
const peerDetail = "peer"

// cacheStatus is the node's member of Cache-Status.
func (x *exchange) cacheStatus(f *found) httpcache.Status {
	s := httpcache.Status{Cache: "meridian-" + x.n.cfg.Tier + "-" + x.n.cfg.Region}
	if x.fromPeer {
		s.Detail = peerDetail
	}
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
// member is the next tier's own, or a peer's, behind which is the next tier's. An
// origin has none.
func depthOf(h http.Header) tally.Depth {
	members, err := httpcache.ParseStatus(h["Cache-Status"])
	if err != nil || len(members) == 0 {
		return tally.Origin
	}
	last := members[len(members)-1]
	if strings.HasPrefix(last.Cache, "meridian-"+metadata.TierEdge+"-") {
		if last.Hit {
			return tally.Self
		}
		if members = members[:len(members)-1]; len(members) == 0 {
			return tally.Origin
		}
		last = members[len(members)-1]
	}
	if last.Hit {
		return tally.Regional
	}
	return tally.Origin
}
