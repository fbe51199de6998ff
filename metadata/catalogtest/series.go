package catalogtest

import (
	"testing"
	"time"

	"meridian/metadata"
)

func series(t *testing.T, s metadata.Store, q metadata.SeriesQuery) metadata.Series {
	t.Helper()
	r, err := s.Series(t.Context(), q)
	if err != nil {
		t.Fatalf("Series %+v: %v", q, err)
	}
	return r
}

// points are the points of a tier, which must be a step apart.
func points(t *testing.T, r metadata.Series, tier string) []metadata.SeriesPoint {
	t.Helper()
	step, err := time.ParseDuration(r.Step)
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range r.Tiers {
		for i, p := range of.Points {
			if i > 0 && !p.At.Equal(of.Points[i-1].At.Add(step)) {
				t.Errorf("%s: after %s comes %s, a step being %s", of.Tier, of.Points[i-1].At, p.At, step)
			}
			if !p.At.Equal(p.At.Truncate(step)) {
				t.Errorf("%s: a point at %s is no multiple of %s", of.Tier, p.At, step)
			}
		}
		if of.Tier == tier {
			return of.Points
		}
	}
	t.Fatalf("no tier %s in %+v", tier, r)
	return nil
}

// By the minute a series adds up to the report of the same window, and the
// minutes without requests are there as well.
func testSeriesAddsUp(t *testing.T, s metadata.Store) {
	now := time.Now()
	// Not the oldest minute of the window: it may pass while this test runs.
	ages := map[int]int64{0: 3, 1: 5, 4: 11, 8: 17}
	var counters []metadata.Counter
	for age, n := range ages {
		c := edgeCounter("photos", metadata.ClassPhoto)
		c.Minute = now.Add(-time.Duration(age) * time.Minute)
		c.Requests, c.Hits, c.Misses, c.Stale, c.Revalidated, c.Pass = n, n-1, 1, 0, 0, 0
		c.AnsweredRegional, c.AnsweredOrigin = 1, 0
		counters = append(counters, c)
	}
	ahead := counter("photos", metadata.ClassPhoto, 7) // a clock that is ahead counts for now
	ahead.Minute = now.Add(time.Minute)
	push(t, s, metadata.Push{Node: node("edge-1", metadata.TierEdge, "europe"), Number: 1, Counters: append(counters, ahead)})

	r := series(t, s, metadata.SeriesQuery{Window: 10 * time.Minute, Step: time.Minute})
	if r.Window != "10m0s" || r.Step != "1m0s" || len(r.Tiers) != 3 {
		t.Errorf("window %q by %q of %d tiers", r.Window, r.Step, len(r.Tiers))
	}
	edge, regional := points(t, r, metadata.TierEdge), points(t, r, metadata.TierRegional)
	if len(edge) != 11 || len(regional) != 11 {
		t.Fatalf("%d and %d points, want 11: ten minutes and the running one", len(edge), len(regional))
	}
	var sum metadata.Figures
	filled := 0
	for i, p := range edge {
		sum.Requests += p.Requests
		sum.Hits += p.Hits
		sum.Bytes += p.Bytes
		if p.Requests > 0 {
			filled++
			near(t, "hit ratio of a point", p.HitRatio, float64(p.Hits)/float64(p.Requests))
			near(t, "shares of a point", p.Share+regional[i].Share, 1)
		} else if p.Figures != (metadata.Figures{}) {
			t.Errorf("a point without requests is %+v", p)
		}
	}
	if want := report(t, s, metadata.ReportQuery{Window: 10 * time.Minute}).Tiers[0]; sum.Requests != want.Requests ||
		sum.Hits != want.Hits || sum.Bytes != want.Bytes || sum.Requests != 43 {
		t.Errorf("the points add up to %+v, the report says %+v", sum, want.Figures)
	}
	if filled < 4 || filled > 5 { // a minute may have passed between two pushes
		t.Errorf("%d points have requests, want 4", filled)
	}
}

func testSeriesSteps(t *testing.T, s metadata.Store) {
	push(t, s, metadata.Push{Node: node("edge-1", metadata.TierEdge, "europe"), Number: 1, Counters: []metadata.Counter{
		counter("photos", metadata.ClassPhoto, 8),
	}})
	const day = 24 * time.Hour
	for _, c := range []struct {
		window, step time.Duration
		want         string
		points       int // and one more where the window begins within a step
	}{
		{15 * time.Minute, 0, "1m0s", 16},
		{time.Hour, 0, "1m0s", 61},
		{day, 0, "15m0s", 97},
		{7 * day, 0, "2h0m0s", 85},
		{30 * day, 0, "6h0m0s", 121},
		{day, time.Minute, "1m0s", 1441},
		{90 * time.Second, time.Minute, "1m0s", 2},
		{time.Minute, time.Hour, "1h0m0s", 1},
	} {
		r := series(t, s, metadata.SeriesQuery{Window: c.window, Step: c.step})
		list := points(t, r, metadata.TierEdge)
		if r.Step != c.want || len(list) < c.points || len(list) > c.points+1 {
			t.Errorf("%s by %s: step %s, %d points, want %s, %d", c.window, c.step, r.Step, len(list), c.want, c.points)
		}
		var sum int64
		for _, p := range list {
			sum += p.Requests
		}
		if sum != 8 {
			t.Errorf("%s by %s: %d requests, want 8", c.window, c.step, sum)
		}
	}
	for _, q := range []metadata.SeriesQuery{
		{}, {Window: -time.Hour}, {Window: time.Hour, Step: time.Second}, {Window: time.Hour, Step: 90 * time.Second},
		{Window: time.Hour, Step: -time.Minute}, {Window: 10 * day, Step: time.Minute}, {Window: 31 * day}, {Window: time.Hour, Tier: "middle"},
		{Window: time.Hour, Bucket: "a\x00b"},
	} {
		_, err := s.Series(t.Context(), q)
		wantError(t, "a series that cannot be told", err, metadata.ErrInvalid)
	}
}

func testSeriesFilters(t *testing.T, s metadata.Store) {
	push(t, s, metadata.Push{Node: node("edge-1", metadata.TierEdge, "europe"), Number: 1, Counters: []metadata.Counter{
		counter("photos", metadata.ClassPhoto, 1), counter("films", metadata.ClassVideo, 2),
	}})
	push(t, s, metadata.Push{Node: node("edge-2", metadata.TierEdge, "asia"), Number: 1, Counters: []metadata.Counter{
		counter("photos", metadata.ClassPhoto, 4), counter("photos", metadata.ClassOther, 8),
	}})
	push(t, s, metadata.Push{Node: node("regional-1", metadata.TierRegional, "asia"), Number: 1, Counters: []metadata.Counter{
		counter("photos", metadata.ClassPhoto, 16),
	}})
	for _, c := range []struct {
		q    metadata.SeriesQuery
		want int64
	}{
		{metadata.SeriesQuery{}, 31},
		{metadata.SeriesQuery{Tier: metadata.TierEdge}, 15},
		{metadata.SeriesQuery{Tier: metadata.TierOrigin}, 0},
		{metadata.SeriesQuery{Region: "asia"}, 28},
		{metadata.SeriesQuery{Bucket: "photos", Tier: metadata.TierEdge}, 13},
		{metadata.SeriesQuery{Class: metadata.ClassPhoto, Region: "europe"}, 1},
		{metadata.SeriesQuery{Bucket: "none"}, 0},
	} {
		c.q.Window = time.Hour
		r := series(t, s, c.q)
		if c.q.Tier != "" && (len(r.Tiers) != 1 || r.Tiers[0].Tier != c.q.Tier) {
			t.Errorf("%+v has the tiers %+v", c.q, r.Tiers)
		}
		var sum int64
		for _, tier := range r.Tiers {
			for _, p := range tier.Points {
				sum += p.Requests
			}
		}
		if sum != c.want {
			t.Errorf("%+v: %d requests, want %d", c.q, sum, c.want)
		}
	}
}
