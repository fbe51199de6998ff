package edge

import (
	"testing"
	"time"
)

func TestAllowance(t *testing.T) {
	t.Parallel()
	a := newAllowance(60)
	a.spend(100) // what is under way may overdraw it
	for i, want := range []bool{false, false, true} {
		if i > 0 {
			a.earn(25 * time.Second)
		}
		if a.has() != want {
			t.Errorf("after %d s: %v, want %v", 25*i, a.has(), want)
		}
	}
	a.earn(time.Hour)
	a.spend(59)
	if !a.has() {
		t.Error("a minute's worth is not there after an hour")
	}
	if a.spend(1); a.has() {
		t.Error("an hour's worth is there after an hour")
	}
}
