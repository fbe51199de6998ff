package lifecycle

import (
	"strings"
	"time"

	"meridian/metadata"
)

// Action is what becomes of a version.
type Action int

// The actions. Each but Keep is bound to what was looked at.
const (
	Keep             Action = iota
	Expire                  // the current version: as if a client had deleted the key
	RemoveNoncurrent        // a version, or a delete marker, that is not the latest
	RemoveMarker            // the delete marker that is all there is of a key
	RemoveLast              // the current version that is all there is of a key
)

// Item is a version as it stands among those of its key.
type Item struct {
	*metadata.Version
	// Latest says that it is the current version, or the marker that hides the
	// key.
	Latest bool
	// Superseded is when the version that followed it was written.
	Superseded time.Time
	// Newer is how many noncurrent versions of the key are newer.
	Newer int
	// Alone says that the key has no other version.
	Alone bool
	// Current is, of one that is not the latest, that which is.
	Current *metadata.Version
}

// Decide says what becomes of a version now, and by which rule: the first of
// those that are due. One that ends the whole key comes before others: were the key
// only hidden, its versions would be there for ever.
func (c *Config) Decide(it Item, now time.Time, clock Clock) (Action, *Rule) {
	latest := it.Version
	if !it.Latest {
		latest = it.Current
	}
	for i := range c.Rules {
		r := &c.Rules[i]
		if r.Status != Enabled || latest == nil || !r.endsKey(latest, now, clock) {
			continue
		}
		switch {
		case !it.Latest:
			return RemoveNoncurrent, r
		case !it.Alone:
			return Keep, nil // until the others are gone, one of which would be current without it
		case it.DeleteMarker:
			return RemoveMarker, r
		}
		return RemoveLast, r
	}
	for i := range c.Rules {
		r := &c.Rules[i]
		if r.Status != Enabled || !r.selects(it.Version) {
			continue
		}
		if a := r.decide(it, now, clock); a != Keep {
			return a, r
		}
	}
	return Keep, nil
}

func (r *Rule) decide(it Item, now time.Time, clock Clock) Action {
	due := func(t time.Time) bool { return !t.After(now) }
	e, n := r.Expiration, r.Noncurrent
	switch {
	case !it.Latest:
		if n != nil && it.Newer >= deref(n.Newer) && (n.Days == nil || due(clock.After(it.Superseded, *n.Days))) {
			return RemoveNoncurrent
		}
	case it.DeleteMarker:
		// A rule with Days removes the markers that it has left itself, once they
		// are of that age and nothing is left below them.
		if it.Alone && e != nil && (deref(e.DeleteMarker) || e.Days != nil && due(clock.After(it.Modified, *e.Days))) {
			return RemoveMarker
		}
	default:
		if at, ok := r.expiry(it.Version, clock); ok && due(at) {
			return Expire
		}
	}
	return Keep
}

// endsKey says whether the rule ends a whole key now, by its current version or by
// the delete marker that hides it.
func (r *Rule) endsKey(latest *metadata.Version, now time.Time, clock Clock) bool {
	if !r.selects(latest) {
		return false
	}
	if latest.DeleteMarker {
		return r.Hidden != nil && r.Hidden.Days != nil && !clock.After(latest.Modified, *r.Hidden.Days).After(now)
	}
	if r.Expiration == nil || !deref(r.Expiration.AllVersions) {
		return false
	}
	at, ok := r.expiry(latest, clock)
	return ok && !at.After(now)
}

// expiry is when the rule ends a current version that it selects.
func (r *Rule) expiry(v *metadata.Version, clock Clock) (time.Time, bool) {
	e := r.Expiration
	switch {
	case e == nil:
		return time.Time{}, false
	case e.Days != nil:
		return clock.After(v.Modified, *e.Days), true
	case e.Date != nil:
		return e.Date.Time, true
	}
	return time.Time{}, false
}

// Expiry is when a current version ends, and by which rule; false where it does
// not.
func (c *Config) Expiry(v *metadata.Version, clock Clock) (at time.Time, rule string, ends bool) {
	if c == nil || v.DeleteMarker {
		return time.Time{}, "", false
	}
	for i := range c.Rules {
		r := &c.Rules[i]
		if r.Status != Enabled || !r.selects(v) {
			continue
		}
		if t, ok := r.expiry(v, clock); ok && (!ends || t.Before(at)) {
			at, rule, ends = t, r.ID, true
		}
	}
	return at, rule, ends
}

// Abandoned is the rule by which an upload is to be ended now; nil if none is.
func (c *Config) Abandoned(u *metadata.Upload, now time.Time, clock Clock) *Rule {
	for i := range c.Rules {
		r := &c.Rules[i]
		if r.Status == Enabled && r.Abort != nil && r.Abort.Days != nil && strings.HasPrefix(u.Template.Key, r.selection().prefix) &&
			!clock.After(u.Created, *r.Abort.Days).After(now) {
			return r
		}
	}
	return nil
}

// AbortsUploads says whether a rule ends uploads.
func (c *Config) AbortsUploads() bool {
	for i := range c.Rules {
		if c.Rules[i].Status == Enabled && c.Rules[i].Abort != nil {
			return true
		}
	}
	return false
}

// selects says whether the rule is about v, by key, tags and size.
func (r *Rule) selects(v *metadata.Version) bool {
	s := r.selection()
	if !strings.HasPrefix(v.Key, s.prefix) || s.greater != nil && v.Size <= *s.greater || s.lessThan != nil && v.Size >= *s.lessThan {
		return false
	}
	for _, t := range s.tags {
		if value, ok := v.Tags[t.Key]; !ok || value != t.Value {
			return false
		}
	}
	return true
}
