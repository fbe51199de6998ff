package edge

import (
	"maps"
	"net/http"

	"meridian/edge/pull"
)

// ask is the request of the plan.
func (p *plan) ask(f *flight) pull.Ask {
	v := p.visit
	a := v.baseAsk(http.MethodGet)
	a.Interim = func(status int, h http.Header) {
		select {
		case f.interim <- interim{status, maps.Clone(h)}:
		default: // more than anybody sends
		}
	}
	v.n.flights.mu.Lock()
	shy := v.n.flights.isShy(p.held.name, v.n.now())
	v.n.flights.mu.Unlock()
	if p.held.head != nil || !shy {
		// What comes is for the cache: the client's conditions are answered from it.
		for _, name := range conditionFields {
			a.Set[name] = nil
		}
	}
	if p.held.head != nil {
		setHeader(a.Set, "If-None-Match", p.held.head.ETag())
		setHeader(a.Set, "If-Modified-Since", p.held.head.Fields.Get("Last-Modified"))
	}
	switch {
	case p.index >= 0:
		a.Set["If-Range"] = nil
		setHeader(a.Set, "Range", sliceRange(p.index))
	case p.held.head != nil:
		a.Set["Range"], a.Set["If-Range"] = nil, nil
	}
	return a
}

var conditionFields = []string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"}

func setHeader(h http.Header, name, value string) {
	if value != "" {
		h[name] = []string{value}
	}
}

// baseAsk is the client's request as an origin gets it.
func (v *visit) baseAsk(method string) pull.Ask {
	a := pull.Ask{
		Method: method, Target: v.target, Header: v.r.Header, Set: http.Header{},
		Remote: v.r.RemoteAddr, Base: v.r.Host, Host: v.host, TLS: v.r.TLS != nil,
	}
	if v.ours {
		for _, name := range []string{"Authorization", "X-Amz-Date", "X-Amz-Content-Sha256", "X-Amz-Security-Token"} {
			a.Set[name] = nil
		}
	}
	return a
}
