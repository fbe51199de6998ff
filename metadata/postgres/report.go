package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/metadata"
)

var _ metadata.Reports = (*Store)(nil)

// Report implements metadata.Reports. Postgres adds the minutes up to one row
// for each tier and combination of the groups asked for; the rest is done here,
// over a number of rows that does not grow with the window.
func (s *Store) Report(ctx context.Context, q metadata.ReportQuery) (metadata.Report, error) {
	by, err := reportGroups(q)
	if err != nil {
		return metadata.Report{}, fmt.Errorf("report: %w", err)
	}
	now := time.Now().UTC()
	// Minutes that overlap the window, the running one included. There is no
	// upper bound: the clock of a node may be ahead.
	since := now.Add(-q.Window - time.Minute)
	rows, err := s.pool.Query(ctx, reportSQL(by), since)
	if err != nil {
		return metadata.Report{}, fmt.Errorf("report: %w", err)
	}
	cells, err := pgx.CollectRows(rows, scanCell)
	if err != nil {
		return metadata.Report{}, fmt.Errorf("report: %w", err)
	}

	report := metadata.Report{Window: q.Window.String(), GeneratedAt: now}
	report.Tiers = reportRows(cells, func(cell) group { return group{} }, true)
	for _, g := range []struct {
		name string
		rows *[]metadata.ReportRow
		of   func(cell) group
	}{
		{metadata.ByRegion, &report.Regions, func(c cell) group { return group{region: c.region} }},
		{metadata.ByNode, &report.Nodes, func(c cell) group { return group{region: c.region, node: c.node} }},
		{metadata.ByBucket, &report.Buckets, func(c cell) group { return group{bucket: c.bucket} }},
		{metadata.ByClass, &report.Classes, func(c cell) group { return group{class: c.class} }},
	} {
		*g.rows = []metadata.ReportRow{} // a list also where it is empty
		if by[g.name] {
			*g.rows = reportRows(cells, g.of, false)
		}
	}
	return report, nil
}

func reportGroups(q metadata.ReportQuery) (map[string]bool, error) {
	if q.Window <= 0 {
		return nil, metadata.Invalidf("window %s is not positive", q.Window)
	}
	all := []string{metadata.ByRegion, metadata.ByNode, metadata.ByBucket, metadata.ByClass}
	names := q.By
	if len(names) == 0 {
		names = all
	}
	by := map[string]bool{}
	for _, name := range names {
		if name != "tier" && !slices.Contains(all, name) {
			return nil, metadata.Invalidf("report by %q: known are tier, %s", name, strings.Join(all, ", "))
		}
		by[name] = true
	}
	return by, nil
}

// reportSQL adds up by tier and those columns that the groups need.
func reportSQL(by map[string]bool) string {
	columns := []string{"tier"}
	for _, c := range []struct {
		name string
		need bool
	}{
		{"region", by[metadata.ByRegion] || by[metadata.ByNode]},
		{"node", by[metadata.ByNode]},
		{"bucket", by[metadata.ByBucket]},
		{"class", by[metadata.ByClass]},
	} {
		if c.need {
			columns = append(columns, c.name)
		} else {
			columns = append(columns, "'' AS "+c.name)
		}
	}
	return "SELECT " + strings.Join(columns, ", ") + ", " + sumsSQL() + `
		  FROM cache_minute WHERE minute > $1 GROUP BY 1, 2, 3, 4, 5`
}

// sumsSQL adds up the numbers of a counter, as scanSums reads them.
func sumsSQL() string {
	var sums []string
	for _, c := range counterColumns {
		sums = append(sums, "sum("+c+")::bigint")
	}
	// A sum for each bucket of the histogram: an aggregate over whole arrays
	// would build an array for every row it reads.
	latency := make([]string, metadata.LatencyBuckets)
	for i := range latency {
		latency[i] = fmt.Sprintf("coalesce(sum(latency[%d]), 0)::bigint", i+1)
	}
	return strings.Join(sums, ", ") + ", ARRAY[" + strings.Join(latency, ", ") + "]"
}

// scanSums are the places for what sumsSQL selects.
func scanSums(c *metadata.Counter) []any {
	return []any{&c.Requests, &c.Hits, &c.Misses, &c.Stale, &c.Revalidated, &c.Pass, &c.Bytes, &c.HitBytes,
		&c.AnsweredRegional, &c.AnsweredOrigin,
		&c.Prefetch.Fetched, &c.Prefetch.FetchedBytes, &c.Prefetch.Won, &c.Prefetch.WonBytes, &c.Prefetch.Wasted, &c.Prefetch.WastedBytes,
		&c.Latency}
}

// cell is the sum of a tier within a combination of groups.
type cell struct {
	tier, region, node, bucket, class string
	metadata.Counter
}

func scanCell(row pgx.CollectableRow) (cell, error) {
	var c cell
	err := row.Scan(append([]any{&c.tier, &c.region, &c.node, &c.bucket, &c.class}, scanSums(&c.Counter)...)...)
	return c, err
}

type group struct{ region, node, bucket, class string }

func (g group) compare(o group) int {
	return cmp.Or(cmp.Compare(g.region, o.region), cmp.Compare(g.node, o.node),
		cmp.Compare(g.bucket, o.bucket), cmp.Compare(g.class, o.class))
}

var tiers = [...]string{metadata.TierEdge, metadata.TierRegional, metadata.TierOrigin}

// reportRows adds the cells up by group and tier. Groups come in their order,
// tiers from the edge inwards. Tiers without requests are listed where they
// have a share or fetched ahead, and always where full is set.
func reportRows(cells []cell, of func(cell) group, full bool) []metadata.ReportRow {
	sums := map[group]*[len(tiers)]metadata.Counter{}
	if full {
		sums[group{}] = new([len(tiers)]metadata.Counter)
	}
	for _, c := range cells {
		i := slices.Index(tiers[:], c.tier)
		if i < 0 {
			continue
		}
		g := of(c)
		if sums[g] == nil {
			sums[g] = new([len(tiers)]metadata.Counter)
		}
		addCounter(&sums[g][i], c.Counter)
	}
	groups := make([]group, 0, len(sums))
	for g := range sums {
		groups = append(groups, g)
	}
	slices.SortFunc(groups, group.compare)

	rows := make([]metadata.ReportRow, 0, len(groups)*len(tiers))
	for _, g := range groups {
		sum := sums[g]
		shares := shares(sum[0])
		for i, tier := range tiers {
			if !full && sum[i].Requests == 0 && shares[i] == 0 && sum[i].Prefetch == (metadata.Prefetch{}) {
				continue
			}
			row := metadata.ReportRow{Tier: tier, Region: g.region, Node: g.node, Bucket: g.bucket, Class: g.class}
			row.Figures = figures(sum[i], shares[i])
			rows = append(rows, row)
		}
	}
	return rows
}

// shares tells which part of the requests at edges each tier answered.
func shares(edge metadata.Counter) [len(tiers)]float64 {
	if edge.Requests == 0 {
		return [len(tiers)]float64{}
	}
	n := float64(edge.Requests)
	return [...]float64{
		float64(edge.Requests-edge.AnsweredRegional-edge.AnsweredOrigin) / n,
		float64(edge.AnsweredRegional) / n,
		float64(edge.AnsweredOrigin) / n,
	}
}

func figures(c metadata.Counter, share float64) metadata.Figures {
	f := metadata.Figures{
		Requests: c.Requests, Hits: c.Hits, Misses: c.Misses, Stale: c.Stale, Revalidated: c.Revalidated, Pass: c.Pass,
		Bytes: c.Bytes, HitBytes: c.HitBytes, Share: share,
		Prefetch: c.Prefetch,
	}
	if c.Requests > 0 {
		f.HitRatio = float64(c.Hits+c.Stale+c.Revalidated) / float64(c.Requests)
	}
	if c.Bytes > 0 {
		f.ByteHitRatio = float64(c.HitBytes) / float64(c.Bytes)
	}
	f.LatencyMS.P50 = c.Latency.Quantile(0.50)
	f.LatencyMS.P99 = c.Latency.Quantile(0.99)
	return f
}
