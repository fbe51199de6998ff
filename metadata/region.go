package metadata

import (
	"cmp"
	"time"
)

// Distances are round-trip times between regions, each known in either
// direction.
type Distances map[[2]string]time.Duration

// Compare orders regions a and b by how far they are from region: itself first,
// then those whose distance is known, then the others by name.
func (d Distances) Compare(region, a, b string) int {
	return cmp.Or(cmp.Compare(d.from(region, a), d.from(region, b)), cmp.Compare(a, b))
}

func (d Distances) from(region, to string) time.Duration {
	const unknown = time.Hour
	if region == to {
		return -1
	}
	for _, pair := range [][2]string{{region, to}, {to, region}} {
		if far, ok := d[pair]; ok {
			return far
		}
	}
	return unknown
}
