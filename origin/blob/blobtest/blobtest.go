// Package blobtest is the conformance suite of blob.Store: whatever implements
// the interface, or wraps an implementation, passes it.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"meridian/internal/checksum"
	"meridian/origin/blob"
)

// minPart is the least size of a part that is not the last, as S3 has it.
const minPart = 5 << 20

// Run tests stores that open makes; each call gives an empty one. The calling
// test is not to be parallel: what the store allocates is measured.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	t.Helper()
	t.Run("BoundedMemory", func(t *testing.T) { bounded(t, open(t)) })
	for name, test := range map[string]func(*testing.T, blob.Store){
		"PutAndRead":                putAndRead,
		"Ranges":                    ranges,
		"AllOrNothing":              allOrNothing,
		"WrittenOnce":               writtenOnce,
		"Missing":                   missing,
		"EmptyMultipart":            emptyMultipart,
		"List":                      list,
		"Metadata":                  metadata,
		"Multipart":                 multipart,
		"MultipartHandles":          multipartHandles,
		"CompleteOnce":              completeOnce,
		"Abort":                     abort,
		"ConcurrentPutsAndReads":    concurrent,
		"UploadsInProgress":         uploads,
		"CancelledPutLeavesNothing": cancelled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// content is n bytes that depend on seed.
func content(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = r.Read(b) // never fails
	return b
}

func crc(b []byte) uint64 {
	return checksum.Sum64(b)
}

func mustPut(t *testing.T, s blob.Store, key string, b []byte) blob.Info {
	t.Helper()
	info, err := s.Put(t.Context(), key, int64(len(b)), bytes.NewReader(b), nil)
	if err != nil {
		t.Fatalf("Put %s: %v", key, err)
	}
	return info
}

func read(t *testing.T, s blob.Store, key string, off, n int64) ([]byte, error) {
	t.Helper()
	r, err := s.Open(t.Context(), key, off, n)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func wantContent(t *testing.T, s blob.Store, key string, want []byte) {
	t.Helper()
	got, err := read(t, s, key, 0, -1)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s reads as %d bytes, %v; want the %d that were put", key, len(got), err, len(want))
	}
}

func wantMissing(t *testing.T, s blob.Store, key string) {
	t.Helper()
	if _, err := s.Stat(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat %s = %v, want fs.ErrNotExist", key, err)
	}
	if _, err := read(t, s, key, 0, -1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open %s = %v, want fs.ErrNotExist", key, err)
	}
}

func putAndRead(t *testing.T, s blob.Store) {
	for i, n := range []int{0, 1, 4 << 10, 256<<10 - 1, 256 << 10, 256<<10 + 1, 3 << 20} {
		b := content(uint64(i), n)
		key := fmt.Sprintf("bucket/01J%023d.bin", i)
		info := mustPut(t, s, key, b)
		if info.Key != key || info.Size != int64(n) || info.CRC64 != crc(b) || info.Modified.IsZero() {
			t.Errorf("Put of %d bytes = %+v, want CRC %d", n, info, crc(b))
		}
		wantContent(t, s, key, b)
		st, err := s.Stat(t.Context(), key)
		if err != nil || st.Size != int64(n) || st.CRC64 != 0 && st.CRC64 != crc(b) {
			t.Errorf("Stat = %+v, %v", st, err)
		}
	}
	b := content(9, 300<<10)
	if info, err := s.Put(t.Context(), "bucket/unknown-size", -1, bytes.NewReader(b), nil); err != nil || info.Size != int64(len(b)) {
		t.Errorf("Put of unknown size = %+v, %v", info, err)
	}
	wantContent(t, s, "bucket/unknown-size", b)
}

func ranges(t *testing.T, s blob.Store) {
	b := content(1, 100_000)
	mustPut(t, s, "bucket/k", b)
	checkRanges(t, s, "bucket/k", b)
}

func checkRanges(t *testing.T, s blob.Store, key string, b []byte) {
	t.Helper()
	size := int64(len(b))
	rnd := rand.New(rand.NewPCG(1, 1))
	cases := [][2]int64{{0, 0}, {0, 1}, {0, size}, {0, size + 10}, {1, -1}, {size - 1, 1}, {size - 1, -1}, {size, -1}, {size, 5}, {size + 5, 5}}
	for range 20 {
		off := rnd.Int64N(size)
		cases = append(cases, [2]int64{off, rnd.Int64N(size)})
	}
	for _, c := range cases {
		from := min(c[0], size)
		to := size
		if c[1] >= 0 {
			to = min(from+c[1], size)
		}
		got, err := read(t, s, key, c[0], c[1])
		if err != nil || !bytes.Equal(got, b[from:to]) {
			t.Errorf("Open at %d, %d bytes of %d: %d bytes, %v; want %d", c[0], c[1], size, len(got), err, to-from)
		}
	}
}

var errBroken = errors.New("the line is dead")

func allOrNothing(t *testing.T, s blob.Store) {
	b := content(2, 700_000)
	for name, c := range map[string]struct {
		size int64
		body io.Reader
		want error
	}{
		"reader fails": {int64(len(b)), io.MultiReader(bytes.NewReader(b[:500_000]), brokenReader{}), errBroken},
		"too short":    {int64(len(b)), bytes.NewReader(b[:len(b)-1]), blob.ErrSize},
		"too long":     {int64(len(b)) - 1, bytes.NewReader(b), blob.ErrSize},
		"cut off":      {-1, io.MultiReader(bytes.NewReader(b), cutReader{}), io.ErrUnexpectedEOF},
	} {
		key := "bucket/" + name
		if _, err := s.Put(t.Context(), key, c.size, c.body, nil); !errors.Is(err, c.want) {
			t.Errorf("%s: Put = %v, want %v", name, err, c.want)
		}
		wantMissing(t, s, key)
		mustPut(t, s, key, b) // the key is still free
		wantContent(t, s, key, b)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }

type cutReader struct{}

func (cutReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func writtenOnce(t *testing.T, s blob.Store) {
	const writers = 16
	bodies := make([][]byte, writers)
	var won atomic.Int32
	winner := -1
	var wg sync.WaitGroup
	for i := range writers {
		bodies[i] = content(uint64(i), 100_000+i)
		wg.Go(func() {
			_, err := s.Put(t.Context(), "bucket/once", int64(len(bodies[i])), bytes.NewReader(bodies[i]), nil)
			switch {
			case err == nil:
				won.Add(1)
				winner = i
			case !errors.Is(err, blob.ErrExists):
				t.Errorf("Put over a blob = %v, want ErrExists", err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Fatalf("%d of %d writers of one key succeeded", won.Load(), writers)
	}
	wantContent(t, s, "bucket/once", bodies[winner])
}

func missing(t *testing.T, s blob.Store) {
	wantMissing(t, s, "bucket/none")
	if err := s.Delete(t.Context(), "bucket/none", "nobucket/none"); err != nil {
		t.Errorf("Delete of what is not there = %v", err)
	}
	mustPut(t, s, "bucket/a", content(1, 10))
	mustPut(t, s, "bucket/b", content(2, 10))
	if err := s.Delete(t.Context(), "bucket/a", "bucket/none", "bucket/b"); err != nil {
		t.Fatal(err)
	}
	wantMissing(t, s, "bucket/a")
	wantMissing(t, s, "bucket/b")
	for _, key := range []string{"", "nobucket", "bucket/", "/name", "../up/x", "bucket/..", "bucket/a/b", "bucket/x\x00y"} {
		if _, err := s.Put(t.Context(), key, 1, bytes.NewReader([]byte("x")), nil); err == nil {
			t.Errorf("Put under %q succeeded", key)
		}
	}
}

func metadata(t *testing.T, s blob.Store) {
	ctx := t.Context()
	// As much as there may be, in as few entries and in many.
	one := blob.Meta{"key": strings.Repeat("&<\"\\>~!", blob.MaxMeta)[:blob.MaxMeta-blob.MetaSize("key", "")]}
	many := blob.Meta{blob.MetaContentType: "text/html;charset=utf-8"}
	for i := 0; many.Size() < blob.MaxMeta-20; i++ {
		many[fmt.Sprintf("n-%d", i)] = "v"
	}
	want := map[string]blob.Meta{"bucket/none": nil, "bucket/one": one, "bucket/many": many, "bucket/parts": many, "bucket/parts-none": nil}
	for _, key := range []string{"bucket/none", "bucket/one", "bucket/many"} {
		if _, err := s.Put(ctx, key, 3, strings.NewReader("abc"), want[key]); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"bucket/parts", "bucket/parts-none"} {
		up, err := s.Begin(ctx, key, want[key])
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.PutPart(ctx, up, 1, 3, strings.NewReader("abc"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Complete(ctx, up, []blob.Part{p}); err != nil {
			t.Fatal(err)
		}
	}
	for key, m := range want {
		st, err := s.Stat(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		if st.CRC64 == 0 && st.Meta == nil {
			continue // a file system without extended attributes keeps neither
		}
		if !maps.Equal(st.Meta, m) {
			t.Errorf("metadata of %s: %v, want %v", key, st.Meta, m)
		}
	}
	for name, m := range map[string]blob.Meta{
		"upper case": {"Key": "x"}, "no name": {"": "x"}, "colon": {"a:b": "x"}, "store's own": {"meridian-x": "x"},
		"no value": {"a": ""}, "line": {"a": "b\nc"}, "blank": {"a": "b c"}, "no ASCII": {"a": "é"}, "too much": {"a": strings.Repeat("x", blob.MaxMeta)},
	} {
		_, err := s.Put(ctx, "bucket/refused", 1, strings.NewReader("x"), m)
		_, errBegin := s.Begin(ctx, "bucket/refused", m)
		if !errors.Is(err, fs.ErrInvalid) || !errors.Is(errBegin, fs.ErrInvalid) {
			t.Errorf("metadata with %s: Put = %v, Begin = %v, want fs.ErrInvalid", name, err, errBegin)
		}
	}
	wantMissing(t, s, "bucket/refused")
}

func list(t *testing.T, s blob.Store) {
	var keys []string
	rnd := rand.New(rand.NewPCG(4, 4))
	for _, bucket := range []string{"a-b", "a", "a.b", "a0", "z"} {
		for range 12 {
			keys = append(keys, fmt.Sprintf("%s/%026X.jpg", bucket, rnd.Uint64()))
		}
	}
	for i, k := range keys {
		mustPut(t, s, k, content(uint64(i), i))
	}
	slices.Sort(keys)
	all := func(after string) (got []string) {
		for info, err := range s.List(t.Context(), after) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, info.Key)
		}
		return got
	}
	if got := all(""); !slices.Equal(got, keys) {
		t.Fatalf("List = %v, want %v", got, keys)
	}
	for i, k := range keys {
		if got := all(k); !slices.Equal(got, keys[i+1:]) {
			t.Fatalf("List after %s = %v", k, got)
		}
	}
	for _, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Error(err)
		}
		break // a caller may stop
	}
}

func concurrent(t *testing.T, s blob.Store) {
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			b := content(uint64(i), 50_000+i*1000)
			key := fmt.Sprintf("bucket-%d/%026d", i%3, i)
			mustPutBackground(t, s, key, b)
			wantContent(t, s, key, b)
		})
	}
	wg.Wait()
}

func mustPutBackground(t *testing.T, s blob.Store, key string, b []byte) {
	t.Helper()
	if _, err := s.Put(t.Context(), key, int64(len(b)), bytes.NewReader(b), nil); err != nil {
		t.Errorf("Put %s: %v", key, err)
	}
}

func cancelled(t *testing.T, s blob.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	body := io.MultiReader(bytes.NewReader(content(1, 1<<20)), readerFunc(func([]byte) (int, error) {
		cancel()
		return 1, nil // goes on for ever
	}))
	if _, err := s.Put(ctx, "bucket/k", -1, body, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Put whose context ended = %v", err)
	}
	wantMissing(t, s, "bucket/k")
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// bounded puts and reads a blob that is far greater than what may be held.
func bounded(t *testing.T, s blob.Store) {
	const size, most = 256 << 20, 32 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := s.Put(t.Context(), "bucket/great", size, io.LimitReader(zeros{}, size), nil); err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), "bucket/great", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, make([]byte, 1<<16)); n != size || err != nil {
		t.Errorf("%d bytes of %d, %v", n, int64(size), err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > most {
		t.Errorf("%d MiB were allocated to put and read %d MiB", got>>20, size>>20)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// emptyMultipart makes a blob of one part without a byte, as an upload is that
// ends before it begins.
