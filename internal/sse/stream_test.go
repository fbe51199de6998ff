package sse_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	"meridian/internal/sse"
)

const unit = sse.SliceSize

func text(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func sealed(t testing.TB, key sse.DataKey, salt, plain []byte) []byte {
	t.Helper()
	s, err := sse.NewSealer(key, salt, bytes.NewReader(plain))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(s)
	if err != nil || s.Size() != int64(len(plain)) || int64(len(out)) != sse.SealedSize(int64(len(plain))) {
		t.Fatalf("sealing %d bytes: %d bytes of %d, %v", len(plain), len(out), s.Size(), err)
	}
	return out
}

// blob seals parts of these sizes, and returns what it holds as well.
func blob(t testing.TB, key sse.DataKey, sizes ...int) (layout sse.Layout, plain, stored []byte) {
	t.Helper()
	for _, n := range sizes {
		part, salt := text(n), sse.NewSalt()
		layout = append(layout, sse.Stream{Salt: salt, Size: int64(n)})
		plain = append(plain, part...)
		stored = append(stored, sealed(t, key, salt, part)...)
	}
	return layout, plain, stored
}

func read(key sse.DataKey, layout sse.Layout, off, n int64, stored []byte) ([]byte, error) {
	from, length := layout.Range(off, n)
	if from < 0 || from+length > int64(len(stored)) {
		return nil, fmt.Errorf("range %d+%d of %d bytes", from, length, len(stored))
	}
	return io.ReadAll(sse.NewOpener(key, layout, off, n, bytes.NewReader(stored[from:from+length])))
}

// TestRanges reads from and to every boundary there is, and one byte to either
// side of it.
func TestRanges(t *testing.T) {
	t.Parallel()
	key := sse.NewDataKey()
	for _, sizes := range [][]int{
		{1}, {unit - 1}, {unit}, {unit + 1}, {3*unit + 7}, {unit, unit}, {10, 0, unit + 1, 2 * unit, 1}, {5, 5, 5},
	} {
		layout, plain, stored := blob(t, key, sizes...)
		if layout.Sealed() != int64(len(stored)) {
			t.Fatalf("%v: %d bytes, not %d", sizes, len(stored), layout.Sealed())
		}
		edges := map[int64]bool{}
		begin := 0
		for _, n := range sizes {
			for at := begin; at <= begin+n; at += unit {
				for d := range 3 {
					edges[int64(at+d-1)] = true
				}
			}
			begin += n
			for d := range 3 {
				edges[int64(begin+d-1)] = true
			}
		}
		for from := range edges {
			for to := range edges {
				if from < 0 || to <= from || to > int64(len(plain)) {
					continue
				}
				got, err := read(key, layout, from, to-from, stored)
				if err != nil || !bytes.Equal(got, plain[from:to]) {
					t.Fatalf("%v: bytes %d to %d: %d bytes, %v", sizes, from, to, len(got), err)
				}
				if _, n := layout.Range(from, to-from); n > to-from+2*(unit+sse.Overhead)+int64(len(sizes))*sse.Overhead+sse.Overhead*(to-from)/unit {
					t.Fatalf("%v: bytes %d to %d are read out of %d", sizes, from, to, n)
				}
			}
		}
	}
}

// TestWriteTo: what is copied is what is read, also after some of it was, and no
// byte of a slice that was touched comes out.
func TestWriteTo(t *testing.T) {
	t.Parallel()
	key := sse.NewDataKey()
	layout, plain, stored := blob(t, key, 2*unit+100, 0, unit, 7)
	for _, c := range []struct{ off, n, before int64 }{
		{0, int64(len(plain)), 0}, {0, int64(len(plain)), 5}, {unit - 3, unit + 10, 7}, {unit + 1, 1, 0}, {2 * unit, unit + 100, unit},
	} {
		from, length := layout.Range(c.off, c.n)
		o := sse.NewOpener(key, layout, c.off, c.n, bytes.NewReader(stored[from:from+length]))
		var got bytes.Buffer
		if _, err := io.CopyN(&got, struct{ io.Reader }{o}, c.before); err != nil {
			t.Fatal(err)
		}
		if n, err := o.WriteTo(&got); n != c.n-c.before || err != nil || !bytes.Equal(got.Bytes(), plain[c.off:c.off+c.n]) {
			t.Errorf("%+v: %d bytes, %v", c, n, err)
		}
		if n, err := o.WriteTo(&got); n != 0 || err != nil {
			t.Errorf("%+v: %d bytes behind the end, %v", c, n, err)
		}
	}
	touched := bytes.Clone(stored)
	touched[unit+sse.Overhead+9] ^= 1
	var got bytes.Buffer
	n, err := sse.NewOpener(key, layout, 0, int64(len(plain)), bytes.NewReader(touched)).WriteTo(&got)
	if n != unit || !errors.Is(err, sse.ErrDamaged) || !bytes.Equal(got.Bytes(), plain[:unit]) {
		t.Errorf("damaged: %d bytes, %v", n, err)
	}
	full := errors.New("full")
	n, err = sse.NewOpener(key, layout, 0, int64(len(plain)), bytes.NewReader(stored)).WriteTo(brokenWriter{full})
	if n != 3 || !errors.Is(err, full) {
		t.Errorf("to a writer that breaks: %d bytes, %v", n, err)
	}
}

// brokenWriter takes three bytes.
type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 3, w.err }

func TestAnEmptyStreamIsNotNothing(t *testing.T) {
	t.Parallel()
	if got := sealed(t, sse.NewDataKey(), nil, nil); len(got) != sse.Overhead {
		t.Errorf("%d bytes", len(got))
	}
}

// TestDamageIsFound does to a blob what somebody may who can write to the store.
func TestDamageIsFound(t *testing.T) {
	t.Parallel()
	key := sse.NewDataKey()
	layout, plain, stored := blob(t, key, 2*unit+100, unit)
	const slice = unit + sse.Overhead
	whole := int64(len(plain))
	damage := map[string]func(b []byte) []byte{
		"a flipped bit":         func(b []byte) []byte { b[slice+5] ^= 1; return b },
		"a flipped bit of tag":  func(b []byte) []byte { b[slice-1] ^= 0x80; return b },
		"slices exchanged":      func(b []byte) []byte { return slices.Concat(b[slice:2*slice], b[:slice], b[2*slice:]) },
		"a slice twice":         func(b []byte) []byte { return slices.Concat(b[:slice], b[:slice], b[2*slice:]) },
		"the end of a part cut": func(b []byte) []byte { return slices.Concat(b[:slice], b[2*slice:]) },
		"a part for another":    func(b []byte) []byte { return slices.Concat(b[len(b)-slice:], b[slice:]) },
		"cut short":             func(b []byte) []byte { return b[:len(b)-1] },
		"the last slice gone":   func(b []byte) []byte { return b[:len(b)-slice] },
		"nothing left":          func([]byte) []byte { return nil },
	}
	for name, f := range damage {
		got, err := io.ReadAll(sse.NewOpener(key, layout, 0, whole, bytes.NewReader(f(bytes.Clone(stored)))))
		if !errors.Is(err, sse.ErrDamaged) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: read %d bytes, %v", name, len(got), err)
		}
		if !bytes.HasPrefix(plain, got) {
			t.Errorf("%s: wrong bytes were given", name)
		}
	}
	// A stream that ends where a slice does is not taken for a whole one.
	short := sse.Layout{{Salt: layout[0].Salt, Size: 2 * unit}}
	if _, err := io.ReadAll(sse.NewOpener(key, short, 0, 2*unit, bytes.NewReader(stored))); !errors.Is(err, sse.ErrDamaged) {
		t.Errorf("cut at a slice, sizes and all: %v", err)
	}
	other := slices.Clone(layout)
	other[0].Salt = sse.NewSalt()
	for name, read := range map[string]func() ([]byte, error){
		"another key":  func() ([]byte, error) { return read(sse.NewDataKey(), layout, 0, 1, stored) },
		"another salt": func() ([]byte, error) { return read(key, other, 0, 1, stored) },
	} {
		if _, err := read(); !errors.Is(err, sse.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestABodyThatBreaksOffIsNoStream: a reader's failure must not be taken for the
// end of what it reads.
func TestABodyThatBreaksOffIsNoStream(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{io.ErrUnexpectedEOF, errors.New("reset"), fmt.Errorf("wrapped: %w", io.EOF)} {
		for _, n := range []int{0, 5, unit, unit + 1, 2 * unit} {
			s, err := sse.NewSealer(sse.NewDataKey(), nil, io.MultiReader(bytes.NewReader(text(n)), iotest.ErrReader(failure)))
			if err != nil {
				t.Fatal(err)
			}
			out, err := io.ReadAll(s)
			if !errors.Is(err, failure) || int64(len(out)) >= sse.SealedSize(int64(n)) {
				t.Errorf("%d bytes, then %v: %d bytes, %v", n, failure, len(out), err)
			}
		}
	}
	// Readers that give little at a time, or the end along with the last bytes.
	for name, wrap := range map[string]func(io.Reader) io.Reader{"halves": iotest.HalfReader, "end with data": iotest.DataErrReader} {
		plain, key := text(2*unit), sse.NewDataKey()
		s, err := sse.NewSealer(key, nil, wrap(bytes.NewReader(plain)))
		if err != nil {
			t.Fatal(err)
		}
		out, err := io.ReadAll(iotest.HalfReader(s))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := read(key, sse.Layout{{Size: 2 * unit}}, 0, 2*unit, out); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

func FuzzOpener(f *testing.F) {
	key := sse.DataKey{1}
	const n = unit + 10
	layout := sse.Layout{{Size: n}, {Salt: []byte{1}, Size: 3}}
	plain := text(n + 3)
	stored := append(sealed(f, key, nil, plain[:n]), sealed(f, key, []byte{1}, plain[n:])...)
	f.Add(int64(0), int64(n+3), uint32(0), byte(0), []byte(nil))
	f.Add(int64(unit), int64(4), uint32(unit+20), byte(1), []byte(nil))
	f.Add(int64(0), int64(1), uint32(0), byte(0), []byte("short"))
	f.Fuzz(func(t *testing.T, off, length int64, at uint32, flip byte, instead []byte) {
		if off < 0 || off >= n+3 || length < 1 || length > n+3-off {
			return
		}
		from, k := layout.Range(off, length)
		b := bytes.Clone(stored[from : from+k])
		touched := false
		if instead != nil {
			touched = !bytes.HasPrefix(instead, b)
			b = instead
		} else if flip != 0 {
			b[int64(at)%k] ^= flip
			touched = true
		}
		got, err := io.ReadAll(sse.NewOpener(key, layout, off, length, bytes.NewReader(b)))
		if !bytes.HasPrefix(plain[off:off+length], got) {
			t.Fatal("wrong bytes were given")
		}
		if (err != nil) != touched || !touched && int64(len(got)) != length {
			t.Fatalf("touched %t: %d bytes, %v", touched, len(got), err)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	plain := text(16 << 20)
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		s, err := sse.NewSealer(sse.DataKey{1}, nil, bytes.NewReader(plain))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	const n = 16 << 20
	stored := sealed(b, sse.DataKey{1}, nil, text(n))
	layout := sse.Layout{{Size: n}}
	for _, length := range []int64{1 << 10, 1 << 20, n} {
		b.Run(fmt.Sprintf("%dKiB", length>>10), func(b *testing.B) {
			b.SetBytes(length)
			for b.Loop() {
				from, k := layout.Range(n/2%(n-length+1), length)
				o := sse.NewOpener(sse.DataKey{1}, layout, n/2%(n-length+1), length, bytes.NewReader(stored[from:from+k]))
				if _, err := io.Copy(io.Discard, o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
