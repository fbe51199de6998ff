package hop_test

import (
	"testing"
	"time"

	"meridian/internal/hop"
)

func TestTimeouts(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]time.Duration{
		time.Second: time.Second, 1500 * time.Microsecond: time.Millisecond, 0: time.Millisecond, -time.Second: time.Millisecond,
		24 * time.Hour: time.Hour,
	} {
		if got, ok := hop.ParseTimeout(hop.FormatTimeout(d)); !ok || got != want {
			t.Errorf("%s became %s, %v", d, got, ok)
		}
	}
	for _, s := range []string{"", "0", "-1", "1.5", "1s", "99999999999999999999"} {
		if d, ok := hop.ParseTimeout(s); ok {
			t.Errorf("%q is %s", s, d)
		}
	}
	if d, ok := hop.ParseTimeout("9223372036854775807"); !ok || d != time.Hour {
		t.Errorf("%s, %v", d, ok)
	}
}
