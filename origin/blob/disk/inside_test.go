package disk

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"meridian/origin/blob"
	"meridian/origin/blob/blobtest"
)

func openTest(t *testing.T) *Store {
	t.Helper()
	s, err := Open(Config{Dir: t.TempDir(), HeadRoom: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestConformanceWithNames holds a store to the suite as it works where the file
// system has no files without names.
func TestConformanceWithNames(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store {
		s := openTest(t)
		s.nameless = false
		return s
	})
}

func TestNamesAreMergedFromRuns(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	var want []string
	for i := range 250 {
		name := fmt.Sprintf("%026d", i*7919%1000)
		if _, err := s.Put(t.Context(), "bucket/"+name, 0, strings.NewReader(""), nil); err != nil {
			t.Fatal(err)
		}
		want = append(want, name)
	}
	slices.Sort(want)
	// What is not ours does not disturb.
	if err := os.WriteFile(s.path("blobs", "bucket", "00", ".nfs0001"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{1, 7, 125, 250, 1000} {
		for _, from := range []int{0, 1, 249, 250} {
			floor := ""
			if from > 0 {
				floor = want[from-1]
			}
			var got []string
			for name, err := range s.names(t.Context(), "bucket", floor, limit) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, name)
			}
			if !slices.Equal(got, want[from:]) {
				t.Errorf("%d in memory, after %q: %d names, want %d", limit, floor, len(got), 250-from)
			}
		}
	}
	left, err := os.ReadDir(s.path("tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestManifestsAreRememberedWithinTheirBound(t *testing.T) {
	t.Parallel()
	var m manifests
	for i := range 100 {
		m.keep(fmt.Sprint(i), &manifest{Parts: make([]manifestPart, maxRecent/50)})
		if m.find("0") == nil {
			t.Fatalf("the one that is always asked for went after %d", i)
		}
	}
	if m.cost > maxRecent || len(m.byPlace) != m.order.Len() || m.order.Len() < 40 {
		t.Errorf("%d manifests cost %d", m.order.Len(), m.cost)
	}
	m.forget("0")
	if m.find("0") != nil {
		t.Error("a forgotten manifest is found")
	}
}

// TestSendfile makes sure that a range is what net sends without copying it
// through this process, unless it is small enough to be in memory.
func TestSendfile(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	text := strings.Repeat("0123456789", inMemory/5)
	if _, err := s.Put(t.Context(), "bucket/k", int64(len(text)), strings.NewReader(text), nil); err != nil {
		t.Fatal(err)
	}
	up, err := s.Begin(t.Context(), "bucket/parts", nil)
	if err != nil {
		t.Fatal(err)
	}
	third := len(text) / 3
	var parts []blob.Part
	for n, text := range []string{text[:third], text[third : 2*third], "", text[2*third:]} {
		p, err := s.PutPart(t.Context(), up, n+1, -1, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, p)
	}
	if _, err := s.Complete(t.Context(), up, parts); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"bucket/k", "bucket/parts"} {
		for off, n := range map[int]int{0: len(text), 2: inMemory + 1, third - 1: inMemory + 7, 5: inMemory, 7: 0, len(text) - 3: 3} {
			r, err := s.Open(t.Context(), key, int64(off), int64(n))
			if err != nil {
				t.Fatal(err)
			}
			w := &files{}
			m, err := io.Copy(w, r)
			if err != nil || m != int64(n) || w.String() != text[off:off+n] {
				t.Errorf("%s: %d bytes of %d from %d, as they are: %t, %v", key, m, n, off, w.String() == text[off:off+n], err)
			}
			if n > inMemory && !w.all {
				t.Errorf("%s: %d bytes from %d are not files all the way", key, n, off)
			}
			r.Close()
		}
	}
}

// files is a connection that notes whether it is handed files.
type files struct {
	bytes.Buffer
	called, all bool
}

func (f *files) ReadFrom(r io.Reader) (int64, error) {
	l, ok := r.(*io.LimitedReader)
	if ok {
		_, ok = l.R.(*os.File)
	}
	f.all = ok && (f.all || !f.called)
	f.called = true
	return io.Copy(&f.Buffer, onlyReader{r})
}

type onlyReader struct{ io.Reader }
