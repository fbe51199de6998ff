package metadata

import (
	"encoding/json"
	"fmt"
	"time"
)

// Modes of a retention. Governance lets those go on who have the permission to
// bypass it; compliance nobody.
const (
	Governance = "GOVERNANCE"
	Compliance = "COMPLIANCE"
)

// Values of Lock.Hold; the empty string means that there never was one.
const (
	HoldOn  = "ON"
	HoldOff = "OFF"
)

// Lock keeps a version from being removed: by a retention until a time, and by a
// legal hold for as long as that is on. The zero value keeps nothing.
type Lock struct {
	Mode  string    `json:"mode,omitempty"` // of the retention; empty: none
	Until time.Time `json:"until,omitzero"` // of the retention
	Hold  string    `json:"hold,omitempty"`
}

// Retained says whether a retention is in force.
func (l Lock) Retained(now time.Time) bool { return l.Mode != "" && l.Until.After(now) }

// Check refuses what is no lock.
func (l Lock) Check() error {
	switch {
	case l.Mode != "" && l.Mode != Governance && l.Mode != Compliance:
		return Invalidf("retention mode %q is neither %s nor %s", l.Mode, Governance, Compliance)
	case (l.Mode == "") != l.Until.IsZero():
		return Invalidf("a retention has both a mode and a time")
	case l.Hold != "" && l.Hold != HoldOn && l.Hold != HoldOff:
		return Invalidf("legal hold %q is neither %s nor %s", l.Hold, HoldOn, HoldOff)
	}
	return nil
}

// Retain is l with the retention of to in place of its own. One in force may be
// extended by anybody; compliance cannot be weakened, governance only with
// bypass: ErrLocked.
func (l Lock) Retain(to Lock, now time.Time, bypass bool) (Lock, error) {
	extends := to.Mode == l.Mode && !to.Until.Before(l.Until)
	if l.Retained(now) && !extends && (l.Mode == Compliance || !bypass) {
		return l, fmt.Errorf("%w: by %s retention until %s", ErrLocked, l.Mode, l.Until.Format(time.RFC3339))
	}
	l.Mode, l.Until = to.Mode, to.Until
	return l, nil
}

// ObjectLockConfig is the subresource of a bucket that holds its ObjectLock.
const ObjectLockConfig = "object-lock"

// ObjectLock says that the versions of a bucket can be locked. Once there it
// stays, and the bucket is versioned for as long as it exists.
type ObjectLock struct {
	// Mode is that of the retention which versions get that come without one of
	// their own, for so many days or years from when they were written; empty:
	// none.
	Mode  string `json:"mode,omitempty"`
	Days  int    `json:"days,omitempty"`
	Years int    `json:"years,omitempty"`
}

// Greatest periods of a default retention.
const (
	MaxLockDays  = 36_500
	MaxLockYears = 100
)

// ObjectLock is the bucket's object lock; nil where it has none.
func (b *Bucket) ObjectLock() (*ObjectLock, error) {
	document, ok := b.Config[ObjectLockConfig]
	if !ok {
		return nil, nil
	}
	var l ObjectLock
	if err := json.Unmarshal(document, &l); err != nil {
		return nil, Invalidf("object lock of bucket %s: %s", b.Name, err)
	}
	return &l, nil
}

// CheckObjectLock refuses an object lock that cannot be, and a bucket with one
// that is not versioned.
func (b *Bucket) CheckObjectLock() error {
	l, err := b.ObjectLock()
	if err != nil || l == nil {
		return err
	}
	switch {
	case b.Versioning != VersioningEnabled:
		return Invalidf("a bucket with object lock has versioning %s for good", VersioningEnabled)
	case l.Mode == "" && (l.Days != 0 || l.Years != 0), l.Mode != "" && (l.Days == 0) == (l.Years == 0):
		return Invalidf("a default retention has a mode, and either days or years")
	case l.Mode != "" && l.Mode != Governance && l.Mode != Compliance:
		return Invalidf("retention mode %q is neither %s nor %s", l.Mode, Governance, Compliance)
	case l.Days < 0 || l.Days > MaxLockDays || l.Years < 0 || l.Years > MaxLockYears:
		return Invalidf("a default retention of %d days or %d years is not within 1 to %d days or %d years", l.Days, l.Years, MaxLockDays, MaxLockYears)
	}
	return nil
}
