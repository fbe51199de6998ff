package edge

import (
	"testing"

	"meridian/edge/cache"
	"meridian/edge/httpcache"
)

func TestPinning(t *testing.T) {
	t.Parallel()
	const s = cache.SliceSize
	const size = 10*s + 500
	for name, c := range map[string]struct {
		ranges []httpcache.Range
		want   int64
	}{
		"all":                {[]httpcache.Range{{Start: 0, Length: size}}, 2 * s},
		"a slice":            {[]httpcache.Range{{Start: 3 * s, Length: s}}, s},
		"part of one":        {[]httpcache.Range{{Start: 3*s + 5, Length: 7}}, s},
		"around a border":    {[]httpcache.Range{{Start: 4*s - 1, Length: 2}}, 2 * s},
		"the last":           {[]httpcache.Range{{Start: 10 * s, Length: 500}}, 500},
		"the last two":       {[]httpcache.Range{{Start: 10*s - 1, Length: 501}}, s + 500},
		"one after the next": {[]httpcache.Range{{Start: 10 * s, Length: 1}, {Start: s, Length: 1}}, s},
	} {
		if got := pinning(size, c.ranges); got != c.want {
			t.Errorf("%s: %d bytes, want %d", name, got, c.want)
		}
	}
}
