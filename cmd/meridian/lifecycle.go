package main

import (
	"time"

	"meridian/metadata/lifecycle"
)

// lifecycleOptions say when lifecycle rules are applied.
type lifecycleOptions struct {
	every, day time.Duration
}

// declare declares the options of who applies rules.
func (o *lifecycleOptions) declare(s *settings) {
	s.flags.DurationVar(&o.every, "lifecycle-interval", 0, "time between two walks through a bucket by its lifecycle rules (default 1h, or a quarter of a shorter --lifecycle-day)")
	o.declareDay(s)
}

// declareDay declares the option of who tells when objects end.
func (o *lifecycleOptions) declareDay(s *settings) {
	s.flags.DurationVar(&o.day, "lifecycle-day", 24*time.Hour, "how long a day of lifecycle rules is, for trying them out; a shorter one is not rounded to midnight UTC. The same for every origin and metadata role")
}

func (o *lifecycleOptions) check() error {
	switch {
	case o.day < 100*time.Millisecond || o.day > 24*time.Hour:
		return usagef("--lifecycle-day must be between 100ms and 24h")
	case o.every != 0 && (o.every < 10*time.Millisecond || o.every > 24*time.Hour):
		return usagef("--lifecycle-interval must be between 10ms and 24h")
	}
	return nil
}

func (o *lifecycleOptions) clock() lifecycle.Clock {
	if o.day == 24*time.Hour {
		return lifecycle.Clock{}
	}
	return lifecycle.Clock{Day: o.day}
}
