package popular

import "math/bits"

// depth is how many rows a sketch has: a name is overrated only where it shares
// its cell with others in all of them.
const depth = 4

// sketch is a count-min sketch. Each row takes other bits of a hash, so that names
// which share a cell of one row do not share those of the others.
type sketch struct {
	bits  int
	cells [depth][]float64
}

const (
	minBits = 10
	maxBits = 64 / depth // of a hash, for each row
)

// newSketch has about width cells a row.
func newSketch(width int) sketch {
	s := sketch{bits: min(max(bits.Len(uint(max(width-1, 1))), minBits), maxBits)}
	for i := range s.cells {
		s.cells[i] = make([]float64, 1<<s.bits)
	}
	return s
}

func (s *sketch) cell(row int, hash uint64) *float64 {
	return &s.cells[row][hash>>(row*maxBits)&(1<<s.bits-1)]
}

// add counts weight and returns the count. A cell that is above the new count
// already counts others, too, and stays as it is.
func (s *sketch) add(hash uint64, weight float64) float64 {
	count := s.count(hash) + weight
	for row := range s.cells {
		cell := s.cell(row, hash)
		*cell = max(*cell, count)
	}
	return count
}

func (s *sketch) count(hash uint64) float64 {
	least := *s.cell(0, hash)
	for row := 1; row < depth; row++ {
		least = min(least, *s.cell(row, hash))
	}
	return least
}

func (s *sketch) scale(by float64) {
	for _, row := range s.cells {
		for i := range row {
			row[i] *= by
		}
	}
}
