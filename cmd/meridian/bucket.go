package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"meridian/metadata"
)

func bucketCommand(s *settings, p process) func(context.Context, []string) error {
	var api apiOptions
	api.declare(s)
	region := s.flags.String("region", "", "home `region` of a new bucket")
	visibility := s.flags.String("visibility", "", "private or public-read")
	edgeTTL := s.flags.Duration("edge-ttl", 0, "how long edges keep what has no Cache-Control")
	s.flags.Usage = usageWith(s, p.stdout, "meridian bucket create NAME | list | set NAME | delete NAME [options]")
	return func(ctx context.Context, args []string) error {
		verb, name, err := subcommand(s, args, "create, list, set, delete")
		if err != nil {
			return err
		}
		change := map[string]any{}
		if *visibility != "" {
			change["visibility"] = *visibility
		}
		if *edgeTTL != 0 {
			change["cache"] = map[string]any{"edge_ttl": metadata.Duration(*edgeTTL)}
		}
		switch {
		case verb == "create" && name != "":
			change["name"] = name
			if *region != "" {
				change["region"] = *region
			}
			return api.call(ctx, http.MethodPost, "/v1/buckets", change, nil)
		case verb == "set" && name != "":
			if len(change) == 0 {
				return usagef("nothing to set: give --visibility or --edge-ttl")
			}
			return api.call(ctx, http.MethodPatch, "/v1/buckets/"+url.PathEscape(name), change, nil)
		case verb == "delete" && name != "":
			return api.call(ctx, http.MethodDelete, "/v1/buckets/"+url.PathEscape(name), nil, nil)
		case verb == "list" && name == "":
			var list struct{ Buckets []metadata.Bucket }
			if err := api.call(ctx, http.MethodGet, "/v1/buckets", nil, &list); err != nil {
				return err
			}
			w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tREGION\tVISIBILITY\tVERSIONING\tCREATED")
			for _, b := range list.Buckets {
				versioning := b.Versioning
				if versioning == "" {
					versioning = "off"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", b.Name, b.Region, b.Visibility, versioning, b.Created.Format(time.RFC3339))
			}
			return w.Flush()
		}
		return usagef("usage: meridian bucket create NAME | list | set NAME | delete NAME")
	}
}
