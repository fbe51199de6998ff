package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/metadata"
)

// seriesPoints is how many points a series has about where its step is ours to
// choose.
const seriesPoints = 120

// Series implements metadata.Reports. Postgres adds the minutes up by step and
// tier; steps that it has nothing of are filled in here.
func (s *Store) Series(ctx context.Context, q metadata.SeriesQuery) (metadata.Series, error) {
	now := time.Now().UTC()
	if err := s.checkSeries(&q); err != nil {
		return metadata.Series{}, fmt.Errorf("series: %w", err)
	}
	first, last := now.Add(-q.Window).Truncate(q.Step), now.Truncate(q.Step)
	points := int(last.Sub(first)/q.Step) + 1

	// The clock of a node may be ahead: what it counted is of the running step.
	rows, err := s.pool.Query(ctx, `
		SELECT least(date_bin($2, minute, $1), $3), tier, `+sumsSQL()+`
		  FROM cache_minute
		 WHERE minute >= $1 AND $4 IN ('', region) AND $5 IN ('', bucket) AND $6 IN ('', class)
		 GROUP BY 1, 2`, first, q.Step, last, q.Region, q.Bucket, q.Class)
	if err != nil {
		return metadata.Series{}, fmt.Errorf("series: %w", err)
	}
	sums := make([][len(tiers)]metadata.Counter, points)
	var at time.Time
	var tier string
	var sum metadata.Counter
	_, err = pgx.ForEachRow(rows, append([]any{&at, &tier}, scanSums(&sum)...), func() error {
		i, t := int(at.Sub(first)/q.Step), slices.Index(tiers[:], tier)
		if t >= 0 && i >= 0 && i < points {
			addCounter(&sums[i][t], sum)
		}
		return nil
	})
	if err != nil {
		return metadata.Series{}, fmt.Errorf("series: %w", err)
	}

	series := metadata.Series{Window: q.Window.String(), Step: q.Step.String(), GeneratedAt: now}
	for t, tier := range tiers {
		if q.Tier != "" && q.Tier != tier {
			continue
		}
		list := make([]metadata.SeriesPoint, points)
		for i, sum := range sums {
			list[i] = metadata.SeriesPoint{At: first.Add(time.Duration(i) * q.Step), Figures: figures(sum[t], shares(sum[0])[t])}
		}
		series.Tiers = append(series.Tiers, metadata.TierSeries{Tier: tier, Points: list})
	}
	return series, nil
}

// checkSeries refuses what cannot be told, and chooses a step where none is
// given.
func (s *Store) checkSeries(q *metadata.SeriesQuery) error {
	switch {
	case q.Window <= 0:
		return metadata.Invalidf("window %s is not positive", q.Window)
	case q.Window > s.retention.Counters:
		return metadata.Invalidf("window %s reaches behind the %s for which counters are kept", q.Window, s.retention.Counters)
	case q.Tier != "" && !slices.Contains(tiers[:], q.Tier):
		return metadata.Invalidf("tier %.40q is none of %s", q.Tier, strings.Join(tiers[:], ", "))
	case !isText(q.Region) || !isText(q.Bucket) || !isText(q.Class):
		return metadata.Invalidf("region, bucket or class is not text")
	}
	if q.Step == 0 {
		q.Step = seriesStep(q.Window)
	}
	switch {
	case q.Step < time.Minute || q.Step%time.Minute != 0:
		return metadata.Invalidf("step %s is not made of whole minutes", q.Step)
	case q.Window/q.Step+2 > metadata.MaxSeriesPoints:
		return metadata.Invalidf("step %s makes more than %d points of the window %s", q.Step, metadata.MaxSeriesPoints, q.Window)
	}
	return nil
}

// seriesStep is the shortest handy step that makes few enough points.
func seriesStep(window time.Duration) time.Duration {
	steps := []time.Duration{
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	}
	for _, step := range steps {
		if window/step <= seriesPoints {
			return step
		}
	}
	return (window / seriesPoints).Truncate(dayLength) + dayLength
}
