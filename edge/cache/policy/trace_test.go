package policy_test

import (
	"container/list"
	"math"
	"math/rand/v2"
	"sort"
	"testing"

	"meridian/edge/cache/policy"
)

type request struct {
	key  uint64
	size int64
}

// trace is a seeded load: zipf over many keys, of which some are replaced by new
// ones as time goes on, with a share of keys that are asked for once and, now and
// then, a scan.
func trace(requests int, onceShare float64, scans bool, size func(key uint64) int64) []request {
	const popular = 20_000
	rng := rand.New(rand.NewPCG(1, 2))
	sums := make([]float64, popular)
	total := 0.0
	keys := make([]uint64, popular)
	for i := range sums {
		total += 1 / float64(i+1)
		sums[i] = total
		keys[i] = uint64(i)
	}
	draw := func() int { return sort.SearchFloat64s(sums, rng.Float64()*total) }
	fresh := uint64(popular)
	var out []request
	add := func(key uint64) { out = append(out, request{key, size(key)}) }
	for i := 0; len(out) < requests; i++ {
		if i%100 == 99 {
			fresh++
			keys[draw()] = fresh
		}
		switch {
		case scans && rng.IntN(5000) == 0:
			for range 2000 {
				fresh++
				add(fresh)
			}
		case rng.Float64() < onceShare:
			fresh++
			add(fresh)
		default:
			add(keys[draw()])
		}
	}
	return out
}

// mix spreads keys over all numbers.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

func fraction(key uint64) float64 { return float64(mix(key+1)>>11) / (1 << 53) }

func unitSize(uint64) int64      { return 10_000 }
func photoSize(key uint64) int64 { return int64(20_000 * math.Pow(100, fraction(key))) }
func headSize(key uint64) int64 {
	if fraction(key) < 0.6 {
		return 1100
	}
	return 1100 + int64(32768*fraction(key+1<<40))
}

func footprint(reqs []request) (total int64) {
	seen := map[uint64]bool{}
	for _, r := range reqs {
		if !seen[r.key] {
			seen[r.key] = true
			total += r.size
		}
	}
	return total
}

// replay is the share of requests that are hits.
func replay(p policy.Policy, reqs []request) float64 {
	held := map[uint64]*policy.Entry{}
	hits := 0
	for _, r := range reqs {
		if e, ok := held[r.key]; ok {
			p.Touch(e)
			hits++
			continue
		}
		e := &policy.Entry{Hash: mix(r.key), Size: r.size, Owner: r.key}
		held[r.key] = e
		for _, out := range p.Add(e) {
			delete(held, out.Owner.(uint64))
		}
	}
	return float64(hits) / float64(len(reqs))
}

func replayLRU(budget int64, reqs []request) float64 {
	order, held := list.New(), map[uint64]*list.Element{}
	var used int64
	hits := 0
	for _, r := range reqs {
		if e, ok := held[r.key]; ok {
			order.MoveToFront(e)
			hits++
			continue
		}
		held[r.key] = order.PushFront(r)
		for used += r.size; used > budget; {
			last := order.Remove(order.Back()).(request)
			delete(held, last.key)
			used -= last.size
		}
	}
	return float64(hits) / float64(len(reqs))
}

func TestBeatsLRU(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		once   float64
		scans  bool
		size   func(uint64) int64
		margin float64 // of hits, at 1 % and 5 % of the footprint
	}{
		"pages":             {0.2, false, unitSize, 0.04},
		"pages and scans":   {0.2, true, unitSize, 0.03},
		"one-hit wonders":   {0.6, false, unitSize, 0.02},
		"photos":            {0.2, false, photoSize, 0.06},
		"heads, and bodies": {0.2, false, headSize, 0.06},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reqs := trace(100_000, c.once, c.scans, c.size)
			total := footprint(reqs)
			for _, percent := range []int64{1, 5, 25} {
				budget := total * percent / 100
				got, lru := replay(policy.New(budget), reqs), replayLRU(budget, reqs)
				t.Logf("at %d %%: %.1f %% hits, LRU %.1f %%", percent, 100*got, 100*lru)
				margin := c.margin
				if percent == 25 {
					margin = 0.005
				}
				if got < lru+margin {
					t.Errorf("at %d %% of the footprint: %.3f of requests are hits, LRU has %.3f", percent, got, lru)
				}
			}
		})
	}
}

func BenchmarkReplay(b *testing.B) {
	reqs := trace(300_000, 0.2, true, headSize)
	budget := footprint(reqs) / 20
	for b.Loop() {
		b.ReportMetric(100*replay(policy.New(budget), reqs), "hit%")
		b.ReportMetric(100*replayLRU(budget, reqs), "lru-hit%")
	}
}
