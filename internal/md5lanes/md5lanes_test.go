package md5lanes

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"hash"
	"math/rand/v2"
	"sync"
	"testing"
)

func content(seed uint64, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

// Streams of all lengths about the ends of blocks, written in pieces, with a sum
// asked for in between.
func TestSumsAreThoseOfMD5(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for size := range 300 {
		p := content(uint64(size), size)
		h := New()
		for rest := p; len(rest) > 0; {
			n := rng.IntN(len(rest)) + 1
			_, _ = h.Write(rest[:n])
			rest = rest[n:]
			if rng.IntN(3) == 0 {
				h.Sum(nil)
			}
		}
		want := md5.Sum(p)
		if got := h.Sum([]byte("x")); !bytes.Equal(got, append([]byte("x"), want[:]...)) {
			t.Fatalf("sum of %d bytes is %x, want %x", size, got, want)
		}
		h.Reset()
		_, _ = h.Write(p)
		if got := h.Sum(nil); !bytes.Equal(got, want[:]) {
			t.Fatalf("after Reset the sum of %d bytes is %x, want %x", size, got, want)
		}
	}
}

// More streams than lanes, each with pieces and lengths of its own.
func TestStreamsThatMeetKeepTheirSums(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	for i := range 3*width + 5 {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 7))
			p := content(uint64(i), 100_000+rng.IntN(1_500_000))
			h := New()
			for rest := p; len(rest) > 0; {
				n := min(rng.IntN(300<<10)+1, len(rest))
				_, _ = h.Write(rest[:n])
				rest = rest[n:]
			}
			want := md5.Sum(p)
			if got := h.Sum(nil); !bytes.Equal(got, want[:]) {
				t.Errorf("stream %d of %d bytes: %x, want %x", i, len(p), got, want)
			}
		})
	}
	all.Wait()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if len(shared.waiting) > 0 {
		t.Errorf("%d streams are left waiting", len(shared.waiting))
	}
}

// BenchmarkStreams hashes 256 KiB at a time in so many goroutines; crypto/md5 does
// beside it.
func BenchmarkStreams(b *testing.B) {
	p := content(1, 256<<10)
	for name, newHash := range map[string]func() hash.Hash{"lanes": New, "crypto": md5.New} {
		for _, streams := range []int{1, 2, 4, 16} {
			b.Run(fmt.Sprintf("%s/streams=%d", name, streams), func(b *testing.B) {
				b.SetBytes(int64(len(p) * streams))
				for b.Loop() {
					var all sync.WaitGroup
					for range streams {
						all.Go(func() {
							h := newHash()
							for range 4 {
								_, _ = h.Write(p[:len(p)/4])
							}
						})
					}
					all.Wait()
				}
			})
		}
	}
}
