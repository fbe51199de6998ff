package popular

import (
	"maps"
	"math"
	"slices"
)

// sampleSize is how many names a sample has at most: it tells their number within
// some per cent.
const sampleSize = 1024

// sample holds the names whose hashes lie up to a limit, which comes down where
// that would be too many and up again where they become few.
type sample struct {
	limit  uint64
	counts map[uint64]float64
}

func newSample() sample { return sample{limit: math.MaxUint64, counts: map[uint64]float64{}} }

func (s *sample) add(hash uint64, weight float64) {
	if hash > s.limit {
		return
	}
	s.counts[hash] += weight
	if len(s.counts) <= sampleSize {
		return
	}
	hashes := slices.Sorted(maps.Keys(s.counts))
	s.limit = hashes[sampleSize*3/4]
	for _, h := range hashes[sampleSize*3/4+1:] {
		delete(s.counts, h)
	}
}

// names forgets those whose count is below least and estimates how many there are
// of the others, in the sample or not. Where the limit goes up, names between the
// old one and the new are missed until somebody asks for them again.
func (s *sample) names(least float64) float64 {
	maps.DeleteFunc(s.counts, func(_ uint64, count float64) bool { return count < least })
	part := float64(s.limit) / math.MaxUint64
	n := float64(len(s.counts)) / part
	if len(s.counts) < sampleSize/8 && s.limit < math.MaxUint64 {
		s.limit = max(s.limit, s.limit<<1|1)
		if part >= 0.5 {
			s.limit = math.MaxUint64
		}
	}
	return n
}

func (s *sample) scale(by float64) {
	for h := range s.counts {
		s.counts[h] *= by
	}
}
