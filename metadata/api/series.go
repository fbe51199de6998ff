package api

import (
	"net/http"
	"time"

	"meridian/metadata"
)

// The window of a series, and the longest step.
const (
	defaultSeries = time.Hour
	maxStep       = 24 * time.Hour
)

func (c *call) series() error {
	q := metadata.SeriesQuery{Tier: c.query("tier"), Region: c.query("region"), Bucket: c.query("bucket"), Class: c.query("class")}
	var err error
	if q.Window, err = c.duration("window", defaultSeries, minWindow, maxWindow); err != nil {
		return err
	}
	if q.Step, err = c.duration("step", 0, time.Minute, maxStep); err != nil {
		return err
	}
	if q.Step%time.Minute != 0 {
		return badField("step", "%s is not made of whole minutes", q.Step)
	}
	switch q.Tier {
	case "", metadata.TierEdge, metadata.TierRegional, metadata.TierOrigin:
	default:
		return badField("tier", "%.40q is none of edge, regional, origin", q.Tier)
	}
	switch q.Class {
	case "", metadata.ClassPhoto, metadata.ClassVideo, metadata.ClassOther:
	default:
		return badField("class", "%.40q is none of photo, video, other", q.Class)
	}
	s, err := c.store.Series(c.ctx(), q)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, s)
}
