package main

import (
	"strings"

	"meridian/metadata"
)

// pullOptions make a bucket a pull zone. The rest of what a zone can be told is
// for the API.
type pullOptions struct {
	origins, hosts []string
	host, query    string
	tier           string
}

func (o *pullOptions) declare(s *settings) {
	s.list(&o.origins, "pull", "make it a pull zone: `URLs` of an HTTP origin that edges cache, the first that can be reached, or none")
	s.list(&o.hosts, "pull-hosts", "`names` under which edges serve the pull zone at its root")
	s.flags.StringVar(&o.host, "pull-host-header", "", "`Host` that the origin of the pull zone is told (default: as in its URL)")
	s.flags.StringVar(&o.tier, "pull-tier", "", "who asks the origin of the pull zone: `regional` caches (default) or every edge itself")
	s.flags.StringVar(&o.query, "pull-query", "", "what of a query tells answers of the pull zone apart: all, none, or `parameters`, comma-separated")
}

// into adds the zone, if one was given, to the body of a request.
func (o *pullOptions) into(change map[string]any) error {
	if len(o.origins) == 0 {
		if len(o.hosts) > 0 || o.host != "" || o.query != "" || o.tier != "" {
			return usagef("--pull-hosts, --pull-host-header, --pull-tier and --pull-query need --pull: a pull zone is set as a whole")
		}
		return nil
	}
	if len(o.origins) == 1 && o.origins[0] == "none" {
		change["pull"] = nil
		return nil
	}
	zone := metadata.Pull{Origins: o.origins, Hosts: o.hosts, Host: o.host, Tier: o.tier}
	switch o.query {
	case "", metadata.QueryAll, metadata.QueryNone:
		zone.Query = o.query
	default:
		zone.Query, zone.QueryParams = metadata.QueryListed, strings.Split(o.query, ",")
	}
	change["pull"] = zone
	return nil
}
