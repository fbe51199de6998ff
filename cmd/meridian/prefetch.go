package main

import "meridian/edge"

// prefetchOptions say how cache nodes act on what their region asks for most.
type prefetchOptions struct {
	mode   string
	budget size
}

func (o *prefetchOptions) declare(s *settings) {
	o.budget = edge.DefaultPrefetchBudget
	s.flags.StringVar(&o.mode, "prefetch", "on", "`on` or off: edges fetch ahead what their region asks for most, regional caches hold on to it")
	s.flags.TextVar(&o.budget, "prefetch-budget", o.budget, "`size` of what an edge fetches ahead in a minute, at most")
}

func (o *prefetchOptions) check() error {
	switch {
	case o.mode != "on" && o.mode != "off":
		return usagef("--prefetch is on or off, not %q", o.mode)
	case o.budget <= 0:
		return usagef("--prefetch-budget must be more than nothing; --prefetch off fetches nothing ahead")
	}
	return nil
}

func (o *prefetchOptions) config() edge.Prefetch {
	return edge.Prefetch{On: o.mode == "on", Budget: int64(o.budget)}
}
