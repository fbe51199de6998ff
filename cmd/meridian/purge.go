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

func purgeCommand(s *settings, p process) func(context.Context, []string) error {
	var api apiOptions
	api.declare(s)
	var ask metadata.Purge
	s.list(&ask.Prefixes, "prefix", "`prefixes` of URLs (/bucket/dir/)")
	s.list(&ask.SurrogateKeys, "surrogate-key", "surrogate `keys`")
	s.flags.StringVar(&ask.Bucket, "bucket", "", "every object of a `bucket`")
	s.flags.BoolVar(&ask.Everything, "everything", false, "all that is cached")
	s.flags.BoolVar(&ask.Soft, "soft", false, "revalidate before the next use instead of forgetting")
	wait := s.flags.Duration("wait", 10*time.Second, "how long to wait for every node to apply it; 0 does not wait")
	s.flags.Usage = usageWith(s, p.stdout, "meridian purge [URL ...] [options]")
	return func(ctx context.Context, args []string) error {
		ask.URLs = args
		var status metadata.PurgeStatus
		if err := api.call(ctx, http.MethodPost, "/v1/purge", purgeRequest(ask), &status); err != nil {
			return err
		}
		deadline := time.Now().Add(*wait)
		for *wait > 0 {
			if err := api.call(ctx, http.MethodGet, "/v1/purge/"+url.PathEscape(status.ID), nil, &status); err != nil {
				return err
			}
			if len(status.Waiting) == 0 || time.Now().After(deadline) {
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(50 * time.Millisecond):
			}
		}
		fmt.Fprintf(p.stdout, "purge %s\n", status.ID)
		w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		for _, a := range status.Acks {
			fmt.Fprintf(w, "%s\tapplied after %s\t%d entries\n", a.Node, a.Applied.Sub(status.Asked).Round(time.Millisecond), a.Entries)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if *wait > 0 && len(status.Waiting) > 0 {
			return fmt.Errorf("not yet applied by %s; they apply it before they serve again", strings.Join(status.Waiting, ", "))
		}
		return nil
	}
}

// purgeRequest is what POST /v1/purge takes: a Purge whose ID is not chosen
// here.
func purgeRequest(ask metadata.Purge) map[string]any {
	return map[string]any{
		"urls": ask.URLs, "prefixes": ask.Prefixes, "surrogate_keys": ask.SurrogateKeys,
		"bucket": ask.Bucket, "everything": ask.Everything, "soft": ask.Soft,
	}
}
