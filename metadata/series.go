package metadata

import "time"

// MaxSeriesPoints is how many points of a tier a Series has at most: a day by
// the minute, and some.
const MaxSeriesPoints = 1500

// SeriesQuery asks for a Series.
type SeriesQuery struct {
	// Window is how far back the series reaches, and no longer than counters
	// are kept.
	Window time.Duration
	// Step is the length of a point: whole minutes, at most MaxSeriesPoints of
	// them in the window. Zero chooses one that makes some hundred points.
	Step time.Duration
	// Tier, Region, Bucket and Class leave out what is not of theirs, where they
	// are not empty.
	Tier, Region, Bucket, Class string
}

// Series is the hit report over time, as /v1/cache/series answers it.
type Series struct {
	Window      string       `json:"window"`
	Step        string       `json:"step"`
	GeneratedAt time.Time    `json:"generated_at"`
	Tiers       []TierSeries `json:"tiers"`
}

// TierSeries are the points of a tier, oldest first, one for every step of the
// window, also where there were no requests. All tiers have the same steps. The
// first point holds the beginning of the window, the last is the one that runs.
type TierSeries struct {
	Tier   string        `json:"tier"`
	Points []SeriesPoint `json:"points"`
}

// SeriesPoint is what was counted from At on for a step.
type SeriesPoint struct {
	At time.Time `json:"at"` // UTC, a multiple of the step
	Figures
}
