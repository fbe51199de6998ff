package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"meridian/metadata"
)

func bucketCommand(s *settings, p process) func(context.Context, []string) error {
	var api apiOptions
	api.declare(s)
	region := s.flags.String("region", "", "home `region` of a new bucket")
	visibility := s.flags.String("visibility", "", "private or public-read")
	placement := s.flags.String("placement", "", "which `regions` hold copies: home, all, or names, comma-separated")
	residency := s.flags.String("residency", "", "`regions` in which the bucket may be, comma-separated, or any")
	edgeTTL := s.flags.Duration("edge-ttl", 0, "how long edges keep what has no Cache-Control")
	var pull pullOptions
	pull.declare(s)
	var rules ruleOptions
	rules.declare(s)
	s.flags.Usage = usageWith(s, p.stdout, "meridian bucket create NAME | list | set NAME | delete NAME [options]")
	return func(ctx context.Context, args []string) error {
		verb, name, err := subcommand(args, "create, list, set, delete")
		if err != nil {
			return err
		}
		change := map[string]any{}
		if *visibility != "" {
			change["visibility"] = *visibility
		}
		if *placement != "" {
			change["placement"] = metadata.Placement(splitList(*placement))
		}
		switch *residency {
		case "":
		case "any":
			change["residency"] = []string{}
		default:
			change["residency"] = splitList(*residency)
		}
		if *edgeTTL != 0 {
			change["cache"] = map[string]any{"edge_ttl": metadata.Duration(*edgeTTL)}
		}
		if err := rules.into(change); err != nil {
			return err
		}
		if err := pull.into(change); err != nil {
			return err
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
				return usagef("nothing to set: give --visibility, --placement, --residency, --edge-ttl, --max-size, --types, --quota, --quota-objects or --pull")
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
			fmt.Fprintln(w, "NAME\tREGION\tPLACEMENT\tRESIDENCY\tVISIBILITY\tVERSIONING\tCREATED")
			for _, b := range list.Buckets {
				versioning := b.Versioning
				if versioning == "" {
					versioning = "off"
				}
				residency := "any"
				if len(b.Residency) > 0 {
					residency = strings.Join(b.Residency, ",")
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", b.Name, b.Region, strings.Join(b.Placement, ","), residency, b.Visibility, versioning, b.Created.Format(time.RFC3339))
			}
			return w.Flush()
		}
		return usagef("usage: meridian bucket create NAME | list | set NAME | delete NAME")
	}
}

// ruleOptions are the upload rules of a bucket.
type ruleOptions struct {
	maxSize, types, quota string
	quotaObjects          int64
}

func (o *ruleOptions) declare(s *settings) {
	s.flags.StringVar(&o.maxSize, "max-size", "", "greatest object, as 10GiB; 0 is no limit")
	s.flags.StringVar(&o.types, "types", "", "content `types` that may come in, as image/*,video/mp4; any takes all")
	s.flags.StringVar(&o.quota, "quota", "", "how much the bucket may hold, as 2TiB; 0 is no limit")
	s.flags.Int64Var(&o.quotaObjects, "quota-objects", -1, "how many object versions it may hold; 0 is no limit, -1 leaves it as it is")
}

// into adds the rules that were given to the body of a request.
func (o *ruleOptions) into(change map[string]any) error {
	rules := map[string]any{}
	var n size
	for option, given := range map[string]struct{ rule, text string }{"max-size": {"max_size", o.maxSize}, "quota": {"quota_bytes", o.quota}} {
		if given.text == "" {
			continue
		}
		if err := n.UnmarshalText([]byte(given.text)); err != nil {
			return usagef("--%s: %v", option, err)
		}
		rules[given.rule] = int64(n)
	}
	switch o.types {
	case "":
	case "any":
		rules["types"] = []string{}
	default:
		rules["types"] = strings.Split(o.types, ",")
	}
	if o.quotaObjects >= 0 {
		rules["quota_objects"] = o.quotaObjects
	}
	if len(rules) > 0 {
		change["upload_rules"] = rules
	}
	return nil
}
