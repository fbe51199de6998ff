package policy

// ghosts remember of evicted entries that they were, and their hits: a table of
// short queues, each of one cache line, in which the newest displaces the oldest.
// A ghost costs four bytes.
type ghosts struct {
	lines [][ghostsPerLine]uint32 // fingerprint and, in the low bits, hits
	// size is for how many entries held the table was made.
	size int64
}

const (
	ghostsPerLine = 16
	// ghostsPerEntry is how many ghosts there are for each entry held.
	ghostsPerEntry = 3
	ghostHits      = maxHits // mask
)

// add remembers an entry that went while held others stay.
func (g *ghosts) add(hash uint64, hits uint8, held int64) {
	if g.lines == nil || held > 2*g.size {
		// More entries are held than the table was made for; the few ghosts of
		// that short time are given up.
		g.size = max(held, ghostsPerLine)
		g.lines = make([][ghostsPerLine]uint32, g.size*ghostsPerEntry/ghostsPerLine+1)
	}
	line, mark := g.find(hash)
	copy(line[1:], line[:])
	line[0] = mark | uint32(hits)
}

// take returns the hits of a ghost, which is one no longer.
func (g *ghosts) take(hash uint64) (hits uint8, ok bool) {
	if g.lines == nil {
		return 0, false
	}
	line, mark := g.find(hash)
	for i, ghost := range line {
		if ghost&^ghostHits == mark {
			copy(line[i:], line[i+1:])
			line[ghostsPerLine-1] = 0
			return uint8(ghost & ghostHits), true
		}
	}
	return 0, false
}

// find returns the line of a hash and its fingerprint there, which is not zero.
func (g *ghosts) find(hash uint64) (line *[ghostsPerLine]uint32, mark uint32) {
	hash *= 0x9e3779b97f4a7c15 // whatever bits of it others have used
	hash ^= hash >> 32
	return &g.lines[hash%uint64(len(g.lines))], (uint32(hash>>32) | 1<<31) &^ ghostHits
}
