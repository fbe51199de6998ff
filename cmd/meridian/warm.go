package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"meridian/metadata"
)

func warmCommand(s *settings, p process) func(context.Context, []string) error {
	var api apiOptions
	api.declare(s)
	var ask metadata.Warm
	s.list(&ask.Prefixes, "prefix", "`prefixes` of URLs (/bucket/dir/)")
	s.list(&ask.Regions, "region", "`regions` whose caches fetch (default: all)")
	s.list(&ask.Tiers, "tier", "`tiers` that fetch, edge or regional (default: both)")
	wait := s.flags.Duration("wait", time.Minute, "how long to wait for every node to be done; 0 does not wait")
	s.flags.Usage = usageWith(s, p.stdout, "meridian warm [options] [URL ...]")
	return func(ctx context.Context, args []string) error {
		ask.URLs = args
		var status metadata.WarmStatus
		in := map[string]any{"urls": ask.URLs, "prefixes": ask.Prefixes, "regions": ask.Regions, "tiers": ask.Tiers}
		if err := api.call(ctx, http.MethodPost, "/v1/warm", in, &status); err != nil {
			return err
		}
		for deadline := time.Now().Add(*wait); *wait > 0 && !status.Done && time.Now().Before(deadline); {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(200 * time.Millisecond):
			}
			if err := api.call(ctx, http.MethodGet, "/v1/warm/"+url.PathEscape(status.ID), nil, &status); err != nil {
				return err
			}
		}
		if err := printWarm(p.stdout, status); err != nil {
			return err
		}
		return warmOutcome(status, *wait)
	}
}

func printWarm(out io.Writer, status metadata.WarmStatus) error {
	fmt.Fprintf(out, "warm %s: %d objects\n", status.ID, status.Objects)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, n := range status.Nodes {
		fmt.Fprintf(w, "%s\t%s", n.Node, n.State)
		if p := n.Progress; p != nil {
			fmt.Fprintf(w, "\t%d fetched, %s\t%d held before\t%d failed", p.Fetched, byteCount(p.Bytes), p.Held, p.Failed)
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, n := range status.Nodes {
		if n.Progress == nil {
			continue
		}
		for _, f := range n.Progress.Failures {
			fmt.Fprintf(out, "%s: /%s/%s: %s\n", n.Node, f.Bucket, f.Key, f.Error)
		}
	}
	return nil
}

// warmOutcome is an error where not all is there that was asked for.
func warmOutcome(status metadata.WarmStatus, wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	var failed, missing int
	for _, n := range status.Nodes {
		if n.State != metadata.WarmDone {
			missing++
		}
		if n.Progress != nil {
			failed += n.Progress.Failed
		}
	}
	if failed+missing > 0 {
		return fmt.Errorf("%d fetches failed, %d of %d nodes are not done", failed, missing, len(status.Nodes))
	}
	return nil
}
