package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// request asks for an item; a key always has the same size.
type request struct {
	key  uint64
	size int64 // in bytes
}

type trace struct {
	name     string
	requests []request
}

// footprint is how many bytes, and how many items, a trace asks for.
func (t trace) footprint() (bytes int64, items int) {
	seen := map[uint64]struct{}{}
	for _, r := range t.requests {
		if _, ok := seen[r.key]; !ok {
			seen[r.key] = struct{}{}
			bytes += r.size
		}
	}
	return bytes, len(seen)
}

const (
	unitSize  = 64 << 10
	sliceSize = 1 << 20
)

// generated are seeded traces, the same on every machine.
func generated(n int) []trace {
	return []trace{
		pages("pages", n, 0.2, false),
		pages("pages and scans", n, 0.2, true),
		pages("one-hit wonders", n, 0.6, false),
		videos(n, 2),
		cdn(n, 1),
	}
}

// pages are items of one size by zipf 1.0, some of which are replaced by new ones
// as time goes on; once is the share of requests for what nobody asks for again;
// scans walk over thousands of items now and then.
func pages(name string, n int, once float64, scans bool) trace {
	rng := rand.New(rand.NewPCG(1, 2))
	pop := newPopularity(rng, 50_000, 1.0)
	out := make([]request, 0, n)
	add := func(key uint64) { out = append(out, request{key, unitSize}) }
	for len(out) < n {
		switch {
		case scans && rng.IntN(5000) == 0:
			for range min(2000, n-len(out)) {
				add(pop.fresh())
			}
		case rng.Float64() < once:
			add(pop.fresh())
		default:
			add(pop.draw())
		}
		if len(out)%100 == 0 {
			pop.drift()
		}
	}
	return trace{name, out}
}

// videos are watched slice by slice from the beginning, most not to their end.
func videos(n int, seed uint64) trace {
	rng := rand.New(rand.NewPCG(seed, 3))
	pop := newPopularity(rng, 5_000, 0.9)
	var out []request
	type viewer struct {
		video uint64
		next  int
		end   int
	}
	viewers := make([]viewer, 40)
	for len(out) < n {
		v := &viewers[rng.IntN(len(viewers))]
		if v.next == v.end {
			video := pop.draw()
			slices := 5 + int(195*fraction(video))
			*v = viewer{video, 0, 1 + int(float64(slices)*math.Pow(rng.Float64(), 2))}
			pop.maybeDrift(0.02)
		}
		out = append(out, request{mix(v.video)<<12 | uint64(v.next), sliceSize})
		v.next++
	}
	return trace{"video slices", out}
}

// cdn is a mixed load: zipf 1.0 over a million objects of which 70 % are asked for
// once at most, photos of 20 KB to 2 MB beside 1 MiB slices of videos, and a daily
// drift of what is popular.
func cdn(n int, seed uint64) trace {
	rng := rand.New(rand.NewPCG(seed, 4))
	pop := newPopularity(rng, 1_000_000, 1.0)
	out := make([]request, 0, n)
	for len(out) < n {
		key := pop.draw()
		if fraction(key^0x5bd1) < 0.15 { // a video, of which a few slices are read
			slices := 3 + int(30*fraction(key))
			from := rng.IntN(2) * rng.IntN(slices)
			for i := range min(1+rng.IntN(4), slices-from, n-len(out)) {
				out = append(out, request{mix(key)<<8 | uint64(from+i), sliceSize})
			}
		} else {
			out = append(out, request{mix(key), int64(20_000 * math.Pow(100, fraction(key)))})
		}
		pop.maybeDrift(0.01)
	}
	return trace{"CDN mix", out}
}

// popularity draws keys by zipf.
type popularity struct {
	rng  *rand.Rand
	sums []float64
	keys []uint64
	last uint64
}

func newPopularity(rng *rand.Rand, n int, skew float64) *popularity {
	p := &popularity{rng: rng, sums: make([]float64, n), keys: make([]uint64, n), last: uint64(n)}
	total := 0.0
	for i := range p.sums {
		total += math.Pow(float64(i+1), -skew)
		p.sums[i], p.keys[i] = total, uint64(i)
	}
	return p
}

func (p *popularity) rank() int {
	return sort.SearchFloat64s(p.sums, p.rng.Float64()*p.sums[len(p.sums)-1])
}

func (p *popularity) draw() uint64  { return p.keys[p.rank()] }
func (p *popularity) fresh() uint64 { p.last++; return p.last }

// drift puts something new in the place of something popular.
func (p *popularity) drift() { p.keys[p.rank()] = p.fresh() }

func (p *popularity) maybeDrift(chance float64) {
	if p.rng.Float64() < chance {
		p.drift()
	}
}

// mix spreads keys over all numbers.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// fraction is a number from 0 to 1 that belongs to a key.
func fraction(key uint64) float64 { return float64(mix(key+1)>>11) / (1 << 53) }

// load reads a trace from a file; see the package comment for the formats.
func load(path string) (trace, error) {
	text, err := read(path)
	if err != nil {
		return trace{}, fmt.Errorf("trace: %w", err)
	}
	name := filepath.Base(path)
	var t trace
	switch filepath.Ext(strings.TrimSuffix(name, ".xz")) {
	case ".trace":
		t, err = parseNumbers(text)
	case ".csv":
		t, err = parseCSV(bytes.NewReader(text))
	default:
		err = errors.New("the name ends neither in .trace nor in .csv (.xz may follow)")
	}
	if err == nil && len(t.requests) == 0 {
		err = errors.New("no requests")
	}
	if err != nil {
		return trace{}, fmt.Errorf("trace %s: %w", path, err)
	}
	t.name = name
	return t, nil
}

func read(path string) ([]byte, error) {
	if strings.HasSuffix(path, ".xz") {
		return exec.Command("xz", "--decompress", "--stdout", "--", path).Output() //nolint:noctx // ends by itself
	}
	return os.ReadFile(path)
}

func parseNumbers(text []byte) (trace, error) {
	if len(text)%4 != 0 {
		return trace{}, fmt.Errorf("%d bytes are not a whole number of 32-bit items", len(text))
	}
	var t trace
	for ; len(text) > 0; text = text[4:] {
		t.requests = append(t.requests, request{uint64(binary.BigEndian.Uint32(text)), unitSize})
	}
	return t, nil
}

func parseCSV(r io.Reader) (trace, error) {
	var t trace
	keys := map[string]request{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		key, number, ok := strings.Cut(lines.Text(), ",")
		size, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if !ok || err != nil || size < 1 {
			return t, fmt.Errorf("line %d is not key,size", n)
		}
		req, seen := keys[key]
		if !seen {
			req = request{uint64(len(keys)), size}
			keys[key] = req
		}
		t.requests = append(t.requests, req)
	}
	return t, lines.Err()
}
