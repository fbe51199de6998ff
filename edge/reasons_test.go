package edge

import (
	"fmt"
	"testing"
	"time"
)

func TestReasonsRememberTheNewest(t *testing.T) {
	t.Parallel()
	r := newReasons()
	at := time.Now()
	if got := r.absent("a"); got != cold || r.last("a", false) != nil {
		t.Errorf("of what was never heard of: %s", got)
	}
	r.lost("a", evicted, at)
	r.lost("a", purged, at.Add(time.Second))
	r.lost("a", overwritten, at) // heard of late
	if got := r.absent("a"); got != purged {
		t.Errorf("lost to %s, want purged", got)
	}
	// The request that came last counts, whichever is over first.
	r.missed("a", miss{at: at.Add(time.Second), why: cold, result: askedFailed})
	r.missed("a", miss{at: at, why: cold, led: true})
	if m := r.last("a", false); m == nil || m.Reason != "collapsed" || m.Cause != "cold" || m.Result != "failed" || m.Slice != nil {
		t.Errorf("last miss %+v", m)
	}
}

// However much is told, the newest is remembered.
func TestReasonsAreBounded(t *testing.T) {
	t.Parallel()
	r := newReasons()
	at := time.Now()
	const told, newest = 4 * memoSets * memoWays, 1000
	for i := range told {
		r.lost(fmt.Sprint(i), evicted, at.Add(time.Duration(i)*time.Millisecond))
	}
	known := 0
	for i := range told {
		if r.absent(fmt.Sprint(i)) == evicted {
			known++
		} else if i >= told-newest {
			t.Errorf("%d of %d is forgotten", i, told)
		}
	}
	if known > memoSets*memoWays {
		t.Errorf("%d are remembered", known)
	}
}
