package disk

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestShards(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct{ byChance, byTime string }{
		"01M8AXV5AXBZC23Y7C4T5ARWE0.jpg": {"E0", "V5"},
		"01M8AXV5AXBZC23Y7C4T5ARWE0":     {"E0", "V5"},
		"short.jpg":                      {"rt", "rt"},
		"k":                              {"__", "__"},
	} {
		if got := byChance.shard(name); got != want.byChance {
			t.Errorf("by chance %s is in %s", name, got)
		}
		if got := byTime.shard(name); got != want.byTime {
			t.Errorf("by time %s is in %s", name, got)
		}
	}
}

// A store of a build that knew no layouts is read, and written, as it is.
func TestAStoreKeepsItsLayout(t *testing.T) {
	t.Parallel()
	const first, second = "01M8AXV5AXBZC23Y7C4T5ARWE0", "01M8AXV5AXBZC23Y7C4T5ARWE1"
	old := t.TempDir()
	if err := os.MkdirAll(filepath.Join(old, "blobs", "bucket", "E0"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(old, "blobs", "bucket", "E0", first), []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, shard := range map[string]string{old: "E1", t.TempDir(): "V5"} {
		for try := range 2 {
			s, err := Open(Config{Dir: dir, HeadRoom: -1})
			if err != nil {
				t.Fatal(err)
			}
			keys := []string{"bucket/" + second}
			if try == 0 {
				if _, err := s.Put(t.Context(), keys[0], 4, strings.NewReader("kept"), nil); err != nil {
					t.Fatal(err)
				}
			}
			if dir == old {
				keys = append(keys, "bucket/"+first)
			}
			for _, key := range keys {
				r, err := s.Open(t.Context(), key, 0, -1)
				if err != nil {
					t.Fatal(err)
				}
				if b, err := io.ReadAll(r); err != nil || string(b) != "kept" {
					t.Errorf("%s is %q, %v", key, b, err)
				}
				r.Close()
			}
			if _, err := os.Stat(filepath.Join(dir, "blobs", "bucket", shard, second)); err != nil {
				t.Error(err)
			}
			s.Close()
		}
	}
}

// Of a store whose blobs alone were restored, all of them are found, and the next
// ones go where a store with its file would look for them.
func TestALayoutIsKnownByItsBlobs(t *testing.T) {
	t.Parallel()
	ids := []string{"01M8AXV5AXBZC23Y7C4T5ARWV5", "01M8AXV5AXBZC23Y7C4T5ARWE0"} // the first lies in V5 by chance, too
	dir := t.TempDir()
	open := func() *Store {
		s, err := Open(Config{Dir: dir, HeadRoom: -1})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	for _, id := range ids {
		if _, err := s.Put(t.Context(), "bucket/"+id, 4, strings.NewReader("kept"), nil); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	for range 2 {
		if err := os.Remove(filepath.Join(dir, "layout")); err != nil {
			t.Fatal(err)
		}
		s = open()
		for _, id := range ids {
			if _, err := s.Stat(t.Context(), "bucket/"+id); err != nil {
				t.Error(err)
			}
		}
		s.Close()
	}
}

func TestAnUnknownLayoutIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "layout"), []byte("3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(Config{Dir: dir}); !errors.Is(err, ErrLayout) {
		t.Errorf("Open = %v, %v", s, err)
	}
	if s, err := Open(Config{Dir: dir}); errors.Is(err, ErrInUse) {
		t.Errorf("what refused it kept the directory: %v", s)
	}
}
