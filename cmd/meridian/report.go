package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"meridian/metadata"
)

func reportCommand(s *settings, p process) func(context.Context, []string) error {
	var api apiOptions
	api.declare(s)
	window := s.flags.Duration("window", 5*time.Minute, "how far back")
	var by []string
	s.list(&by, "by", "groups: tier, region, node, bucket, class (default all)")
	asJSON := s.flags.Bool("json", false, "print the report as the API answers it")
	return func(ctx context.Context, args []string) error {
		if err := noArguments(args); err != nil {
			return err
		}
		query := url.Values{"window": {window.String()}}
		if len(by) > 0 {
			query.Set("by", strings.Join(by, ","))
		}
		path := "/v1/cache/report?" + query.Encode()
		if *asJSON {
			var raw json.RawMessage
			if err := api.call(ctx, http.MethodGet, path, nil, &raw); err != nil {
				return err
			}
			_, err := fmt.Fprintln(p.stdout, string(raw))
			return err
		}
		var r metadata.Report
		if err := api.call(ctx, http.MethodGet, path, nil, &r); err != nil {
			return err
		}
		return printReport(p.stdout, r)
	}
}

// printReport draws the report as tables, one for each group that has rows.
func printReport(out io.Writer, r metadata.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "cache report of the last %s, at %s\n", r.Window, r.GeneratedAt.Format(time.RFC3339))
	groups := []struct {
		title string
		rows  []metadata.ReportRow
		name  func(metadata.ReportRow) string
	}{
		{"", r.Tiers, func(metadata.ReportRow) string { return "" }},
		{"region", r.Regions, func(row metadata.ReportRow) string { return row.Region }},
		{"node", r.Nodes, func(row metadata.ReportRow) string { return row.Node }},
		{"bucket", r.Buckets, func(row metadata.ReportRow) string { return row.Bucket }},
		{"class", r.Classes, func(row metadata.ReportRow) string { return row.Class }},
	}
	for _, g := range groups {
		if len(g.rows) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s\ttier\trequests\thits\tmisses\tstale\treval\tpass\thit ratio\tbyte ratio\tshare\tbytes\tp50 ms\tp99 ms\t\n", g.title)
		for _, row := range g.rows {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f%%\t%.1f%%\t%.1f%%\t%s\t%.2f\t%.2f\t\n",
				g.name(row), row.Tier, row.Requests, row.Hits, row.Misses, row.Stale, row.Revalidated, row.Pass,
				100*row.HitRatio, 100*row.ByteHitRatio, 100*row.Share, byteCount(row.Bytes), row.LatencyMS.P50, row.LatencyMS.P99)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return printPrefetch(out, r)
}

// printPrefetch tells what was fetched ahead of requests, if anything was.
func printPrefetch(out io.Writer, r metadata.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	told := false
	for _, row := range slices.Concat(r.Tiers, r.Regions, r.Nodes) {
		p := row.Prefetch
		if p == (metadata.Prefetch{}) {
			continue
		}
		if !told {
			told = true
			fmt.Fprintf(w, "\nfetched ahead\ttier\tfetched\tbytes\twon\tbytes\twasted\tbytes\t\n")
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d\t%s\t%d\t%s\t\n", cmp.Or(row.Node, row.Region, "all"), row.Tier,
			p.Fetched, byteCount(p.FetchedBytes), p.Won, byteCount(p.WonBytes), p.Wasted, byteCount(p.WastedBytes))
	}
	return w.Flush()
}

// byteCount writes n in the largest binary unit that leaves a digit before the
// point.
func byteCount(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), 0
	for v >= 1<<10 && unit < len("KMGTP") {
		v /= 1 << 10
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGTP"[unit-1])
}
