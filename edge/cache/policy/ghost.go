package policy

// ghosts remembers the hashes of entries that were evicted, for as long as a
// number of bytes worth of others were evicted after them.
type ghosts struct {
	seen  map[uint64]int64 // hash to the value of evicted when it went
	order []ghost          // a ring, oldest first
	first int
	count int
	// evicted are the bytes evicted so far, window how many of them are
	// remembered.
	evicted, window int64
}

type ghost struct {
	hash uint64
	at   int64
}

func newGhosts(window int64) *ghosts {
	return &ghosts{seen: map[uint64]int64{}, window: window}
}

// add remembers an entry of size bytes.
func (g *ghosts) add(hash uint64, size int64) {
	g.evicted += size
	g.seen[hash] = g.evicted
	g.expire()
	if g.count == len(g.order) {
		g.grow()
	}
	g.order[(g.first+g.count)%len(g.order)] = ghost{hash, g.evicted}
	g.count++
}

// take reports whether a hash is remembered, and forgets it.
func (g *ghosts) take(hash uint64) bool {
	at, ok := g.seen[hash]
	if !ok {
		return false
	}
	delete(g.seen, hash)
	return g.evicted-at <= g.window
}

func (g *ghosts) expire() {
	for g.count > 0 {
		old := g.order[g.first]
		if g.evicted-old.at <= g.window {
			return
		}
		// A hash that was evicted again since is remembered from then on.
		if g.seen[old.hash] == old.at {
			delete(g.seen, old.hash)
		}
		g.first = (g.first + 1) % len(g.order)
		g.count--
	}
}

func (g *ghosts) grow() {
	order := make([]ghost, max(64, 2*len(g.order)))
	for i := range g.count {
		order[i] = g.order[(g.first+i)%len(g.order)]
	}
	g.order, g.first = order, 0
}
