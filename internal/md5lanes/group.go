package md5lanes

import (
	"crypto/md5"
	"runtime"
	"slices"
	"sync"
)

// shared is where the streams of this process meet: they profit from each other
// whoever they belong to.
var shared group

// group lets streams that are written to at the same time be hashed together. The
// first writer leads: it runs its own blocks and those of whoever comes meanwhile,
// and once its own are done leaves the lead to one that still waits.
type group struct {
	mu      sync.Mutex
	waiting []*digest
	leaders int
}

// hash returns when d.todo is empty.
func (g *group) hash(d *digest) {
	g.mu.Lock()
	if g.leaders == 0 || len(g.waiting) >= width && g.leaders < runtime.GOMAXPROCS(0) {
		g.leaders++
		g.lead(d)
		return
	}
	g.waiting = append(g.waiting, d)
	g.mu.Unlock()
	if done := <-d.turn; !done {
		g.mu.Lock()
		g.lead(d)
	}
}

// lead needs the lock, and gives it back. d is none of those that wait.
func (g *group) lead(d *digest) {
	batch := append(make([]*digest, 0, width), d)
	for {
		if len(batch)+len(g.waiting) < width {
			// Whoever could run may be about to come, and would find the
			// processor taken until d is done.
			g.mu.Unlock()
			runtime.Gosched()
			g.mu.Lock()
		}
		n := min(width-len(batch), len(g.waiting))
		batch = append(batch, g.waiting[:n]...)
		g.waiting = slices.Delete(g.waiting, 0, n)
		g.mu.Unlock()

		pass(batch)
		own := len(d.todo) == 0
		batch = slices.DeleteFunc(batch, func(x *digest) bool {
			if len(x.todo) > 0 {
				return false
			}
			if x != d {
				x.turn <- true
			}
			return true
		})

		g.mu.Lock()
		if own {
			g.leave(batch)
			return
		}
	}
}

// leave hands the lead on, with the streams of a batch that are not done.
func (g *group) leave(batch []*digest) {
	defer g.mu.Unlock()
	g.waiting = slices.Insert(g.waiting, 0, batch...)
	if len(g.waiting) == 0 {
		g.leaders--
		return
	}
	next := g.waiting[0]
	g.waiting = slices.Delete(g.waiting, 0, 1)
	next.turn <- false
}

// pass runs as many blocks of every stream as the one with the fewest has, but no
// more than others should wait for until they may join.
func pass(batch []*digest) {
	const most = 32 << 10
	n := most
	for _, d := range batch {
		n = min(n, len(d.todo))
	}
	if len(batch) == 1 {
		batch[0].alone(batch[0].todo[:n])
		batch[0].todo = batch[0].todo[n:]
		return
	}
	var s states
	var in [width]*byte
	for i, d := range batch {
		in[i] = &d.todo[0]
		for w, word := range d.state {
			s[w][i] = word
		}
	}
	for i := len(batch); i < width; i++ {
		in[i] = in[0] // into a state that nobody asks for
	}
	block(&s, &in, n/md5.BlockSize)
	for i, d := range batch {
		d.todo = d.todo[n:]
		for w := range d.state {
			d.state[w] = s[w][i]
		}
	}
}
