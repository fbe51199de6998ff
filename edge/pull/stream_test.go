package pull

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"

	"meridian/edge/cache"
)

func pattern(n int) []byte {
	b := make([]byte, n)
	rng := rand.New(rand.NewPCG(uint64(n), 0))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// all reads a stream to its end.
func all(ctx context.Context, r *Reader) ([]byte, error) {
	var got []byte
	for {
		b, err := r.Read(ctx, int64(len(got)))
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		got = append(got, b...)
	}
}

func TestStreamBringsAllToAll(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 40_000, cache.SliceSize - 1, cache.SliceSize, cache.SliceSize + 1, 2 * cache.SliceSize, 3*cache.SliceSize + 7} {
		for _, size := range []int64{int64(n), -1} {
			body := pattern(n)
			ctx, cancel := context.WithCancel(t.Context())
			s, first := NewStream(cancel, false)
			var slices bytes.Buffer
			var readers sync.WaitGroup
			read := func() {
				if got, err := all(ctx, first); err != nil && !errors.Is(err, ErrBehind) || err == nil && !bytes.Equal(got, body) {
					t.Errorf("%d bytes, told %d: read %d, %v", n, size, len(got), err)
				}
			}
			readers.Go(read)
			readers.Go(read)
			got, err := s.Fill(ctx, bytes.NewReader(body), size, Yield{}, func(index int64, b []byte) {
				if index*cache.SliceSize != int64(slices.Len()) {
					t.Errorf("slice %d after %d bytes", index, slices.Len())
				}
				slices.Write(b)
			})
			if err != nil || got != int64(n) || !bytes.Equal(slices.Bytes(), body) {
				t.Errorf("%d bytes, told %d: filled %d, %v", n, size, got, err)
			}
			readers.Wait()
			first.Leave()
			if ctx.Err() != nil {
				t.Error("what is whole was given up")
			}
			if !s.Whole() || s.Join() == nil {
				t.Error("what is whole cannot be joined")
			}
			cancel()
		}
	}
}

// The last reader ends what is still arriving, and nobody joins that.
func TestStreamEndsWithItsLastReader(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s, first := NewStream(cancel, false)
	second := s.Join()
	if second == nil {
		t.Fatal("what has a reader cannot be joined")
	}
	first.Leave()
	if ctx.Err() != nil {
		t.Error("given up while somebody reads")
	}
	second.Leave()
	if ctx.Err() == nil || s.Join() != nil || s.Whole() {
		t.Error("the last reader left, and nothing was told")
	}
}

func TestStreamHoldsTwoSlices(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s, reader := NewStream(cancel, false)
	body := pattern(8 * cache.SliceSize)
	done := make(chan error, 1)
	reached := make(chan int64, 8)
	go func() {
		_, err := s.Fill(ctx, bytes.NewReader(body), int64(len(body)), Yield{}, func(index int64, _ []byte) { reached <- index })
		done <- err
	}()
	for want := range int64(2) { // as much as fits, and no more, until somebody reads on
		if got := <-reached; got != want {
			t.Fatalf("slice %d, want %d", got, want)
		}
	}
	if b, err := reader.Read(ctx, 5*cache.SliceSize); err != nil || !bytes.HasPrefix(body[5*cache.SliceSize:], b) {
		t.Errorf("read ahead: %v", err)
	}
	if _, err := reader.Read(ctx, 0); !errors.Is(err, ErrBehind) {
		t.Errorf("what is past: %v", err)
	}
	reader.Leave()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestStreamTellsOfBreaks(t *testing.T) {
	t.Parallel()
	broken := errors.New("cable")
	for name, c := range map[string]struct {
		r    io.Reader
		size int64
		want error
	}{
		"error":     {io.MultiReader(bytes.NewReader(pattern(100)), iotest.ErrReader(broken)), -1, broken},
		"too short": {bytes.NewReader(pattern(100)), 200, io.ErrUnexpectedEOF},
		"too long":  {bytes.NewReader(pattern(300)), 200, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			s, reader := NewStream(cancel, false)
			defer reader.Leave()
			if _, err := s.Fill(ctx, c.r, c.size, Yield{}, func(int64, []byte) {}); !errors.Is(err, c.want) {
				t.Errorf("Fill: %v, want %v", err, c.want)
			}
			if _, err := all(ctx, reader); !errors.Is(err, c.want) {
				t.Errorf("Read: %v, want %v", err, c.want)
			}
		})
	}
}
