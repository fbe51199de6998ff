package catalogtest

import (
	"errors"
	"math"
	"testing"
	"time"

	"meridian/metadata"
)

// Reports checks metadata.Reports.
func Reports(t *testing.T, open func(t *testing.T) metadata.Store) {
	for name, test := range map[string]func(*testing.T, metadata.Store){
		"Empty":         testEmptyReport,
		"AddsUp":        testReportAddsUp,
		"Window":        testReportWindow,
		"GroupsAsked":   testReportGroups,
		"Prefetch":      testReportPrefetch,
		"SharesAddUp":   testReportShares,
		"LatencyTimes":  testReportLatency,
		"Series":        testSeriesAddsUp,
		"SeriesSteps":   testSeriesSteps,
		"SeriesFilters": testSeriesFilters,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func report(t *testing.T, s metadata.Store, q metadata.ReportQuery) metadata.Report {
	t.Helper()
	r, err := s.Report(t.Context(), q)
	if err != nil {
		t.Fatalf("Report %+v: %v", q, err)
	}
	if len(r.Tiers) != 3 || r.Tiers[0].Tier != metadata.TierEdge || r.Tiers[1].Tier != metadata.TierRegional ||
		r.Tiers[2].Tier != metadata.TierOrigin {
		t.Fatalf("tiers of the report are %+v, want edge, regional, origin", r.Tiers)
	}
	return r
}

func testEmptyReport(t *testing.T, s metadata.Store) {
	r := report(t, s, metadata.ReportQuery{Window: 5 * time.Minute})
	for _, row := range r.Tiers {
		if row != (metadata.ReportRow{Tier: row.Tier}) {
			t.Errorf("a row without requests is %+v", row)
		}
	}
	if r.Window != "5m0s" || time.Since(r.GeneratedAt).Abs() > time.Hour {
		t.Errorf("window %q, generated %s", r.Window, r.GeneratedAt)
	}
	for _, rows := range [][]metadata.ReportRow{r.Regions, r.Nodes, r.Buckets, r.Classes} {
		if rows == nil || len(rows) != 0 {
			t.Errorf("a group without requests is %#v, want an empty list", rows)
		}
	}
}

// edgeCounter has all of its numbers different.
func edgeCounter(bucket, class string) metadata.Counter {
	c := metadata.Counter{
		Minute: time.Now().UTC().Truncate(time.Minute), Bucket: bucket, Class: class,
		Requests: 100, Hits: 70, Misses: 15, Stale: 8, Revalidated: 5, Pass: 2,
		Bytes: 5000, HitBytes: 4000, AnsweredRegional: 12, AnsweredOrigin: 9,
	}
	return c
}

func testReportAddsUp(t *testing.T, s metadata.Store) {
	regional := metadata.Counter{
		Minute: time.Now().UTC().Truncate(time.Minute), Bucket: "photos", Class: metadata.ClassPhoto,
		Requests: 21, Hits: 12, Misses: 9, Bytes: 900, HitBytes: 500,
	}
	origin := regional
	origin.Requests, origin.Hits, origin.Misses, origin.Bytes, origin.HitBytes = 9, 9, 0, 400, 400
	push(t, s, metadata.Push{Node: node("edge-1", metadata.TierEdge, "europe"), Number: 1, Counters: []metadata.Counter{
		edgeCounter("photos", metadata.ClassPhoto), edgeCounter("films", metadata.ClassVideo),
	}})
	push(t, s, metadata.Push{Node: node("edge-2", metadata.TierEdge, "asia"), Number: 1, Counters: []metadata.Counter{
		edgeCounter("photos", metadata.ClassPhoto),
	}})
	push(t, s, metadata.Push{Node: node("regional-1", metadata.TierRegional, "europe"), Number: 1, Counters: []metadata.Counter{regional}})
	push(t, s, metadata.Push{Node: node("origin-1", metadata.TierOrigin, "europe"), Number: 1, Counters: []metadata.Counter{origin}})

	r := report(t, s, metadata.ReportQuery{Window: 5 * time.Minute})
	edge := r.Tiers[0]
	if edge.Requests != 300 || edge.Hits != 210 || edge.Misses != 45 || edge.Stale != 24 || edge.Revalidated != 15 ||
		edge.Pass != 6 || edge.Bytes != 15000 || edge.HitBytes != 12000 {
		t.Errorf("edge = %+v, want three times the counter", edge)
	}
	near(t, "hit ratio", edge.HitRatio, 0.83)
	near(t, "byte hit ratio", edge.ByteHitRatio, 0.8)
	near(t, "share of the edge", edge.Share, 0.79)
	near(t, "share of the regional", r.Tiers[1].Share, 0.12)
	near(t, "share of the origin", r.Tiers[2].Share, 0.09)
	near(t, "hit ratio of the origin", r.Tiers[2].HitRatio, 1)
	if r.Tiers[1].Requests != 21 || r.Tiers[2].Requests != 9 {
		t.Errorf("tiers = %+v", r.Tiers)
	}

	for _, group := range []struct {
		name     string
		rows     []metadata.ReportRow
		of       func(metadata.ReportRow) string
		requests map[string]int64 // at edges
	}{
		{"region", r.Regions, func(r metadata.ReportRow) string { return r.Region }, map[string]int64{"europe": 200, "asia": 100}},
		{"node", r.Nodes, func(r metadata.ReportRow) string { return r.Node }, map[string]int64{"edge-1": 200, "edge-2": 100}},
		{"bucket", r.Buckets, func(r metadata.ReportRow) string { return r.Bucket }, map[string]int64{"photos": 200, "films": 100}},
		{"class", r.Classes, func(r metadata.ReportRow) string { return r.Class }, map[string]int64{"photo": 200, "video": 100}},
	} {
		var total [3]int64
		for _, row := range group.rows {
			switch row.Tier {
			case metadata.TierEdge:
				total[0] += row.Requests
				if want := group.requests[group.of(row)]; row.Requests != want {
					t.Errorf("by %s: %+v, want %d requests", group.name, row, want)
				}
			case metadata.TierRegional:
				total[1] += row.Requests
			case metadata.TierOrigin:
				total[2] += row.Requests
			}
		}
		if total != [3]int64{300, 21, 9} {
			t.Errorf("by %s the requests of the tiers are %v, want 300, 21, 9: %+v", group.name, total, group.rows)
		}
	}
	for _, row := range r.Nodes {
		if row.Node == "regional-1" && (row.Region != "europe" || row.Requests != 21) {
			t.Errorf("row of a node = %+v", row)
		}
	}
}

func testReportWindow(t *testing.T, s metadata.Store) {
	n := node("edge-1", metadata.TierEdge, "europe")
	var counters []metadata.Counter
	now := time.Now()
	for age := range 20 { // 1, 2, 4, ... requests: a sum tells which minutes are in it
		c := counter("photos", metadata.ClassPhoto, 0)
		c.Minute = now.Add(-time.Duration(age) * time.Minute)
		c.Requests, c.Hits = 1<<age, 1<<age
		counters = append(counters, c)
	}
	push(t, s, metadata.Push{Node: n, Number: 1, Counters: counters})
	for _, minutes := range []int{1, 5, 10} {
		r := report(t, s, metadata.ReportQuery{Window: time.Duration(minutes) * time.Minute})
		got := r.Tiers[0].Requests
		// The running minute and those that overlap the window. While this test
		// runs a minute may pass, and the oldest drop out.
		full, later := int64(1)<<(minutes+1)-1, int64(1)<<minutes-1
		if got != full && got != later {
			t.Errorf("a window of %d minutes has %b requests, want %b", minutes, got, full)
		}
	}
	for _, window := range []time.Duration{0, -time.Minute} {
		_, err := s.Report(t.Context(), metadata.ReportQuery{Window: window})
		wantError(t, "window "+window.String(), err, metadata.ErrInvalid)
	}
}

func testReportGroups(t *testing.T, s metadata.Store) {
	push(t, s, metadata.Push{Node: node("edge-1", metadata.TierEdge, "europe"), Number: 1, Counters: []metadata.Counter{
		edgeCounter("photos", metadata.ClassPhoto), edgeCounter("films", metadata.ClassPhoto),
	}})
	lists := func(r metadata.Report) [4]bool {
		return [4]bool{len(r.Regions) > 0, len(r.Nodes) > 0, len(r.Buckets) > 0, len(r.Classes) > 0}
	}
	for _, c := range []struct {
		by   []string
		want [4]bool
	}{
		{nil, [4]bool{true, true, true, true}},
		{[]string{"tier"}, [4]bool{}},
		{[]string{"region"}, [4]bool{true, false, false, false}},
		{[]string{"node", "tier"}, [4]bool{false, true, false, false}},
		{[]string{"class", "bucket"}, [4]bool{false, false, true, true}},
	} {
		r := report(t, s, metadata.ReportQuery{Window: time.Hour, By: c.by})
		if got := lists(r); got != c.want || r.Tiers[0].Requests != 200 {
			t.Errorf("by %q: %d requests, groups %v, want %v", c.by, r.Tiers[0].Requests, got, c.want)
		}
	}
	_, err := s.Report(t.Context(), metadata.ReportQuery{Window: time.Hour, By: []string{"region", "weather"}})
	wantError(t, "an unknown group", err, metadata.ErrInvalid)
}

func testReportShares(t *testing.T, s metadata.Store) {
	// Numbers that floating point cannot divide evenly.
	var counters []metadata.Counter
	for i, bucket := range []string{"bucket-a", "bucket-b", "bucket-c"} {
		c := counter(bucket, metadata.ClassOther, 0)
		c.Requests = int64(7*i + 3)
		c.Misses, c.AnsweredRegional, c.AnsweredOrigin = c.Requests, int64(i), 1
		counters = append(counters, c)
	}
	push(t, s, metadata.Push{Node: node("edge-1", metadata.TierEdge, "europe"), Number: 1, Counters: counters})
	r := report(t, s, metadata.ReportQuery{Window: time.Hour})
	sums := map[string]float64{}
	for _, row := range r.Tiers {
		sums["tiers"] += row.Share
	}
	for _, rows := range [][]metadata.ReportRow{r.Regions, r.Nodes, r.Buckets, r.Classes} {
		for _, row := range rows {
			sums[row.Region+"/"+row.Node+"/"+row.Bucket+"/"+row.Class] += row.Share
		}
	}
	if len(sums) != 7 {
		t.Errorf("%d groups, want 7: %v", len(sums), sums)
	}
	for name, sum := range sums {
		near(t, "sum of shares of "+name, sum, 1)
	}
}

func testReportLatency(t *testing.T, s metadata.Store) {
	fast, slow := counter("photos", metadata.ClassPhoto, 0), counter("photos", metadata.ClassPhoto, 0)
	var all metadata.Histogram
	for i := range 1000 {
		c, d := &fast, time.Duration(i)*time.Microsecond
		if i%50 == 0 {
			c, d = &slow, 300*time.Millisecond+time.Duration(i)*time.Millisecond
		}
		c.Requests, c.Hits = c.Requests+1, c.Hits+1
		c.Latency.Add(d)
		all.Add(d)
	}
	n := node("edge-1", metadata.TierEdge, "europe")
	push(t, s, metadata.Push{Node: n, Number: 1, Counters: []metadata.Counter{fast}}) // the shorter histogram first,
	push(t, s, metadata.Push{Node: n, Number: 2, Counters: []metadata.Counter{slow}}) // then the longer one
	push(t, s, metadata.Push{Node: n, Number: 3, Counters: []metadata.Counter{counter("photos", metadata.ClassPhoto, 0)}})
	row := report(t, s, metadata.ReportQuery{Window: time.Hour}).Tiers[0]
	near(t, "median", row.LatencyMS.P50, all.Quantile(0.5))
	near(t, "99th percentile", row.LatencyMS.P99, all.Quantile(0.99))
	if row.LatencyMS.P99 < 300 || row.LatencyMS.P50 > 1 {
		t.Errorf("latencies = %+v", row.LatencyMS)
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9 {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// What was fetched ahead is told also where nobody asked for anything.
func testReportPrefetch(t *testing.T, s metadata.Store) {
	asked := edgeCounter("photos", metadata.ClassPhoto)
	asked.Prefetch = metadata.Prefetch{Fetched: 9, FetchedBytes: 900, Won: 4, WonBytes: 400, Wasted: 3, WastedBytes: 300}
	quiet := counter("films", metadata.ClassVideo, 0)
	quiet.Prefetch = metadata.Prefetch{Fetched: 1, FetchedBytes: 10}
	n := node("edge-1", metadata.TierEdge, "europe")
	push(t, s, metadata.Push{Node: n, Number: 1, Counters: []metadata.Counter{asked, quiet, quiet}})
	push(t, s, metadata.Push{Node: n, Number: 2, Counters: []metadata.Counter{asked}})

	r := report(t, s, metadata.ReportQuery{Window: 5 * time.Minute})
	want := metadata.Prefetch{Fetched: 20, FetchedBytes: 1820, Won: 8, WonBytes: 800, Wasted: 6, WastedBytes: 600}
	if got := r.Tiers[0]; got.Prefetch != want || got.Requests != 200 {
		t.Errorf("edges: %+v, want %+v", got, want)
	}
	if r.Tiers[1].Prefetch != (metadata.Prefetch{}) {
		t.Errorf("regional caches: %+v", r.Tiers[1].Prefetch)
	}
	films := metadata.Prefetch{Fetched: 2, FetchedBytes: 20}
	if len(r.Buckets) != 4 || r.Buckets[0].Bucket != "films" || r.Buckets[0].Prefetch != films {
		t.Errorf("by bucket: %+v", r.Buckets)
	}
	if len(r.Nodes) == 0 || r.Nodes[0].Prefetch != want {
		t.Errorf("by node: %+v", r.Nodes)
	}

	bad := quiet
	bad.Prefetch.Wasted = -1
	if _, err := s.Push(t.Context(), metadata.Push{Node: n, Number: 3, Counters: []metadata.Counter{bad}}); !errors.Is(err, metadata.ErrInvalid) {
		t.Errorf("a negative figure: %v", err)
	}
}
