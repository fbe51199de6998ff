package policy_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"meridian/edge/cache/policy"
)

func TestHoldsNoMoreThanItsBudget(t *testing.T) {
	t.Parallel()
	const budget = 1 << 20
	p := policy.New(budget)
	rng := rand.New(rand.NewPCG(7, 7))
	held := map[*policy.Entry]bool{}
	var list []*policy.Entry
	for i := range 50_000 {
		switch rng.IntN(10) {
		case 0:
			if len(list) > 0 {
				e := list[rng.IntN(len(list))]
				if got := p.Remove(e); got != held[e] {
					t.Fatalf("step %d: Remove = %v of an entry held: %v", i, got, held[e])
				}
				delete(held, e)
			}
		case 1, 2, 3:
			if len(list) > 0 {
				p.Touch(list[rng.IntN(len(list))])
			}
		default:
			e := &policy.Entry{Hash: rng.Uint64N(5000), Size: 1 + rng.Int64N(1<<uint(4+rng.IntN(17)))}
			held[e] = true
			if list = append(list, e); len(list) > 500 {
				list = list[250:]
			}
			for _, out := range p.Add(e) {
				if !held[out] {
					t.Fatalf("step %d: evicted what it did not hold", i)
				}
				delete(held, out)
			}
		}
		var bytes int64
		if i%1000 == 0 {
			for e := range held {
				bytes += e.Size
			}
			if n, b := p.Size(); n != int64(len(held)) || b != bytes || b > budget {
				t.Fatalf("step %d: says %d entries of %d bytes, has %d of %d, may have %d", i, n, b, len(held), bytes, budget)
			}
		}
	}
}

func TestEvictsNothingWhileThereIsRoom(t *testing.T) {
	t.Parallel()
	p := policy.New(1000)
	for i := range uint64(10) {
		if out := p.Add(&policy.Entry{Hash: i, Size: 100}); len(out) > 0 {
			t.Fatalf("entry %d: evicted %d", i, len(out))
		}
	}
	if out := p.Add(&policy.Entry{Hash: 11, Size: 100}); len(out) != 1 {
		t.Fatalf("one too many: evicted %d", len(out))
	}
}

func TestDeclinesWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	p := policy.New(1000)
	small, large := &policy.Entry{Size: 10}, &policy.Entry{Size: 1001}
	p.Add(small)
	if out := p.Add(large); !slices.Equal(out, []*policy.Entry{large}) {
		t.Fatalf("evicted %v", out)
	}
	if !p.Remove(small) || p.Remove(large) {
		t.Fatal("what was there is not, or what was declined is")
	}
}

func TestRemoveBeforeAdd(t *testing.T) {
	t.Parallel()
	p := policy.New(1000)
	e := &policy.Entry{Size: 10}
	if p.Remove(e) {
		t.Fatal("removed what was not added")
	}
	if out := p.Add(e); !slices.Equal(out, []*policy.Entry{e}) {
		t.Fatalf("took in what was removed: %v", out)
	}
	if n, b := p.Size(); n != 0 || b != 0 {
		t.Fatalf("holds %d entries, %d bytes", n, b)
	}
}

func TestScanLeavesWhatIsAskedForAgain(t *testing.T) {
	t.Parallel()
	p := policy.New(100_000)
	var hot []*policy.Entry
	for i := range uint64(500) {
		e := &policy.Entry{Hash: mix(i), Size: 100}
		p.Add(e)
		hot = append(hot, e)
	}
	for range 3 {
		for _, e := range hot {
			p.Touch(e)
		}
	}
	for i := range uint64(5000) { // five times what there is room for
		p.Add(&policy.Entry{Hash: mix(1_000_000 + i), Size: 100})
	}
	kept := 0
	for _, e := range hot {
		if p.Remove(e) {
			kept++
		}
	}
	if kept < 495 {
		t.Errorf("a scan left %d of 500", kept)
	}
}

func TestShrinkTakesWhatIsDueFirst(t *testing.T) {
	t.Parallel()
	p := policy.New(1000)
	cold, warm := &policy.Entry{Hash: 1, Size: 400}, &policy.Entry{Hash: 2, Size: 400, Hits: 3}
	p.Add(warm)
	p.Add(cold)
	if h := p.Heat(warm); h != 3 {
		t.Errorf("known before with 3 hits, now %d", h)
	}
	p.Touch(warm)
	if h := p.Heat(warm); h != 4 {
		t.Errorf("after one more hit: %d", h)
	}
	if out := p.Shrink(0); len(out) > 0 {
		t.Errorf("nothing was wanted, %d went", len(out))
	}
	if out := p.Shrink(1); !slices.Equal(out, []*policy.Entry{cold}) {
		t.Errorf("%d went, and not the one that nobody asked for", len(out))
	}
	if out := p.Shrink(1 << 40); !slices.Equal(out, []*policy.Entry{warm}) {
		t.Errorf("%d of the last went", len(out))
	}
	if n, b := p.Size(); n != 0 || b != 0 || len(p.Shrink(1)) > 0 {
		t.Errorf("%d entries of %d bytes are left", n, b)
	}
}

// Every entry leaves once: by eviction or by Remove, however they race.
func TestEveryEntryLeavesOnce(t *testing.T) {
	t.Parallel()
	p := policy.New(1 << 20)
	var added, left atomic.Int64
	var wg sync.WaitGroup
	shared := make(chan *policy.Entry, 64)
	for w := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			for range 10_000 {
				e := &policy.Entry{Hash: rng.Uint64N(3000), Size: 1 + rng.Int64N(4096)}
				select {
				case shared <- e: // someone may remove it before it is added
				default:
				}
				added.Add(1)
				left.Add(int64(len(p.Add(e))))
				select {
				case e := <-shared:
					p.Touch(e)
					if p.Remove(e) {
						left.Add(1)
					}
				default:
				}
			}
		})
	}
	wg.Wait()
	if n, _ := p.Size(); added.Load()-left.Load() != n {
		t.Errorf("%d added, %d left, %d held", added.Load(), left.Load(), n)
	}
}

func BenchmarkTouch(b *testing.B) {
	p := policy.New(1 << 30)
	entries := make([]*policy.Entry, 1024)
	for i := range entries {
		entries[i] = &policy.Entry{Hash: uint64(i), Size: 1000}
		p.Add(entries[i])
	}
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			p.Touch(entries[i&1023])
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	p := policy.New(1 << 28)
	var n atomic.Uint64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			h := mix(n.Add(1))
			p.Add(&policy.Entry{Hash: h, Size: 600 + int64(h&0x7fff)})
		}
	})
}

// A guest takes the place of what nobody asks for, but of nothing better.
func TestGuestsDisplaceNothingBetter(t *testing.T) {
	t.Parallel()
	p := policy.New(1000)
	var hot [9]*policy.Entry
	for i := range hot {
		hot[i] = &policy.Entry{Hash: uint64(i), Size: 100, Hits: 3}
		p.Add(hot[i])
	}
	cold := &policy.Entry{Hash: 20, Size: 100}
	p.Add(cold)
	guest := &policy.Entry{Hash: 21, Size: 100, Guest: true, Hits: 1}
	if out := p.Add(guest); !slices.Equal(out, []*policy.Entry{cold}) {
		t.Fatalf("for the first guest went %v, want the cold entry", out)
	}
	if !p.Remove(guest) {
		t.Fatal("the guest is not held")
	}
	p.Add(&policy.Entry{Hash: 22, Size: 100, Hits: 3})
	another := &policy.Entry{Hash: 23, Size: 100, Guest: true, Hits: 1}
	if out := p.Add(another); !slices.Equal(out, []*policy.Entry{another}) {
		t.Fatalf("for another guest went %v, want itself", out)
	}
	if p.Remove(another) {
		t.Error("a guest that was turned away is held")
	}
	if out := p.Add(&policy.Entry{Hash: 24, Size: 100}); len(out) != 1 {
		t.Errorf("for a newcomer that was asked for went %d", len(out))
	}
}

// What is kept outlives a scan for as long as that is said, and no longer, and no
// more than half of the budget does.
func TestKeepsThroughScans(t *testing.T) {
	t.Parallel()
	p := policy.New(1000)
	var entries [10]*policy.Entry
	for i := range entries {
		entries[i] = &policy.Entry{Hash: uint64(i), Size: 100}
		p.Add(entries[i])
	}
	held := map[*policy.Entry]bool{}
	for _, e := range entries {
		held[e] = true
	}
	scan := func(n int, keep bool) (kept int) {
		for i := range n {
			if keep {
				kept = 0
				for _, e := range entries {
					if held[e] && p.Keep(e) {
						kept++
					}
				}
			}
			for _, out := range p.Add(&policy.Entry{Hash: uint64(1000 + i), Size: 100}) {
				delete(held, out)
			}
		}
		return kept
	}
	if kept := scan(100, true); kept != 5 || len(held) != 5 {
		t.Errorf("%d of 10 are kept, %d held, want half of them", kept, len(held))
	}
	scan(100, false)
	if len(held) != 0 {
		t.Errorf("%d are held though nobody asked for them to be kept", len(held))
	}
	if p.Keep(entries[0]) {
		t.Error("keeps what is gone")
	}
}
