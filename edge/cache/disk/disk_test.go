package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"meridian/edge/cache"
	"meridian/edge/cache/cachetest"
	"meridian/edge/cache/disk"
	"meridian/edge/cache/memory"
)

// open opens a tier and closes it after the test. Headroom is another test's.
func open(t testing.TB, cfg disk.Config) *disk.Tier {
	t.Helper()
	if cfg.Headroom == 0 {
		cfg.Headroom = -1
	}
	d, err := disk.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func shut(t testing.TB, d *disk.Tier) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func roomy(dir string) disk.Config {
	return disk.Config{Dir: dir, HeadBytes: 32 << 20, SliceBytes: 32 << 20}
}

func tight(dir string) disk.Config {
	return disk.Config{Dir: dir, HeadBytes: 2 << 20, SliceBytes: 3 << 20}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	small := memory.Config{HeadBytes: 64 << 10, SliceBytes: 2 << 20}
	for name, test := range map[string]struct {
		cfg     func(string) disk.Config
		chained bool
	}{
		"Roomy":        {cfg: roomy},
		"Tight":        {cfg: tight},
		"RoomyChained": {cfg: roomy, chained: true},
		"TightChained": {cfg: tight, chained: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			isRoomy := strings.HasPrefix(name, "Roomy")
			cachetest.Run(t, cachetest.Options{Roomy: isRoomy}, func(t *testing.T) cache.Tier {
				d := open(t, test.cfg(t.TempDir()))
				if !test.chained {
					return d
				}
				m, err := memory.New(small)
				if err != nil {
					t.Fatal(err)
				}
				return cache.NewChain(m, d)
			})
		})
	}
}

func headKey(i int) cache.Key {
	return cache.Key{Class: cache.Head, Name: fmt.Sprintf("bucket/photo/%d.jpg", i)}
}

func sliceKey(i int) cache.Key {
	return cache.Key{Class: cache.Slice, Name: fmt.Sprintf("bucket/film/%d.mp4", i)}
}

func put(t testing.TB, d cache.Tier, k cache.Key, v []byte) {
	t.Helper()
	if err := d.Put(t.Context(), k, v); err != nil {
		t.Fatalf("Put %q: %v", k.Name, err)
	}
}

func want(t testing.TB, d cache.Tier, what string, k cache.Key, v []byte) {
	t.Helper()
	if got, err := d.Get(t.Context(), k); err != nil || !bytes.Equal(got, v) {
		t.Errorf("%s: %q: %d bytes, %v; want %d", what, k.Name, len(got), err, len(v))
	}
}

func wantMiss(t testing.TB, d cache.Tier, what string, k cache.Key) {
	t.Helper()
	if got, err := d.Get(t.Context(), k); !errors.Is(err, cache.ErrMiss) {
		t.Errorf("%s: %q: %d bytes, %v; want a miss", what, k.Name, len(got), err)
	}
}

// files are the paths of the values in dir.
func files(t testing.TB, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "[0-9a-f][0-9a-f]", "[hs]*"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestRestartKeepsWhatWasHeld(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := open(t, roomy(dir))
	for i := range 50 {
		put(t, d, headKey(i), fmt.Appendf(nil, "old %d", i))
		put(t, d, headKey(i), fmt.Appendf(nil, "head %d", i))
	}
	for i := range 10 {
		put(t, d, sliceKey(i), bytes.Repeat([]byte{byte(i)}, cache.SliceSize))
	}
	for i := range 25 {
		if err := d.Delete(t.Context(), headKey(i)); err != nil {
			t.Fatal(err)
		}
	}
	before := d.Stats()
	shut(t, d)
	d = open(t, roomy(dir))
	if after := d.Stats(); after.Entries != before.Entries || after.Bytes != before.Bytes || after.Entries != 35 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	for i := range 25 {
		wantMiss(t, d, "deleted", headKey(i))
		want(t, d, "after a restart", headKey(25+i), fmt.Appendf(nil, "head %d", 25+i))
	}
	for i := range 10 {
		want(t, d, "after a restart", sliceKey(i), bytes.Repeat([]byte{byte(i)}, cache.SliceSize))
	}
	// Nothing is taken for what came before.
	put(t, d, headKey(30), []byte("newer"))
	shut(t, d)
	d = open(t, roomy(dir))
	want(t, d, "put after a restart", headKey(30), []byte("newer"))
	if n := len(files(t, dir)); n != 35 {
		t.Errorf("%d files for 35 values", n)
	}
}

// What was asked for often stays, across a restart, though a scan comes by.
func TestRestartKeepsHits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := disk.Config{Dir: dir, HeadBytes: 2 << 20, SliceBytes: 20 << 20}
	d := open(t, cfg)
	for i := range 8 {
		put(t, d, sliceKey(i), make([]byte, cache.SliceSize))
		for range 5 {
			want(t, d, "asked for often", sliceKey(i), make([]byte, cache.SliceSize))
		}
	}
	shut(t, d)
	d = open(t, cfg)
	for i := range 60 {
		put(t, d, sliceKey(1000+i), make([]byte, cache.SliceSize))
	}
	for i := range 8 {
		want(t, d, "after a scan", sliceKey(i), make([]byte, cache.SliceSize))
	}
}

// A smaller size after a restart lets the surplus go.
func TestRestartWithLessRoom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := open(t, roomy(dir))
	for i := range 20 {
		put(t, d, sliceKey(i), make([]byte, cache.SliceSize))
	}
	shut(t, d)
	d = open(t, tight(dir))
	if s := d.Stats(); s.Bytes > s.Capacity || s.Entries == 0 {
		t.Errorf("%+v", s)
	}
	shut(t, d)
	if n := len(files(t, dir)); n != 2 {
		t.Errorf("%d files where two slices have room", n)
	}
}

func TestDamagedFilesAreMisses(t *testing.T) {
	t.Parallel()
	flip := func(at func(size int64) int64) func(string) error {
		return func(path string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b[at(int64(len(b)))] ^= 1
			return os.WriteFile(path, b, 0o600)
		}
	}
	for name, damage := range map[string]func(path string) error{
		"missing":            os.Remove,
		"empty":              func(p string) error { return os.Truncate(p, 0) },
		"short by a byte":    func(p string) error { return os.Truncate(p, fileSize(p)-1) },
		"half":               func(p string) error { return os.Truncate(p, fileSize(p)/2) },
		"end is zeros":       func(p string) error { n := fileSize(p); return errors.Join(os.Truncate(p, n/2), os.Truncate(p, n)) },
		"all zeros":          func(p string) error { n := fileSize(p); return errors.Join(os.Truncate(p, 0), os.Truncate(p, n)) },
		"flipped in value":   flip(func(int64) int64 { return 5000 }),
		"flipped in the key": flip(func(n int64) int64 { return n - 33 }),
		"flipped in footer":  flip(func(n int64) int64 { return n - 10 }),
		"flipped in sum":     flip(func(n int64) int64 { return n - 1 }),
		"another's":          func(p string) error { return os.WriteFile(p, make([]byte, fileSize(p)), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			d := open(t, roomy(dir))
			k, other := sliceKey(1), sliceKey(2)
			put(t, d, k, bytes.Repeat([]byte{7}, 10_000))
			shut(t, d)
			if err := damage(files(t, dir)[0]); err != nil {
				t.Fatal(err)
			}
			d = open(t, roomy(dir))
			put(t, d, other, []byte("whole"))
			wantMiss(t, d, name, k)
			if s := d.Stats(); s.Entries != 1 {
				t.Errorf("the damaged value still counts: %+v", s)
			}
			put(t, d, k, []byte("again"))
			shut(t, d)
			d = open(t, roomy(dir))
			want(t, d, "beside it", other, []byte("whole"))
			want(t, d, "put again", k, []byte("again"))
		})
	}
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return info.Size()
}

// The files of two values, exchanged by whatever, are not each other's.
func TestExchangedFilesAreMisses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := open(t, roomy(dir))
	put(t, d, sliceKey(1), []byte("one"))
	put(t, d, sliceKey(2), []byte("two"))
	shut(t, d)
	list := files(t, dir)
	a, errA := os.ReadFile(list[0])
	b, errB := os.ReadFile(list[1])
	if err := errors.Join(errA, errB, os.WriteFile(list[0], b, 0o600), os.WriteFile(list[1], a, 0o600)); err != nil {
		t.Fatal(err)
	}
	d = open(t, roomy(dir))
	wantMiss(t, d, "exchanged", sliceKey(1))
	wantMiss(t, d, "exchanged", sliceKey(2))
}

// Clearing the directory by hand costs what was in it, and no more.
func TestClearedByHand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := open(t, roomy(dir))
	put(t, d, sliceKey(1), []byte("one"))
	shut(t, d)
	d = open(t, roomy(dir))
	list, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range list {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	wantMiss(t, d, "cleared", sliceKey(1))
	put(t, d, sliceKey(2), []byte("two"))
	shut(t, d)
	d = open(t, roomy(dir))
	want(t, d, "put into what was cleared", sliceKey(2), []byte("two"))
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shut(t, open(t, roomy(dir)))
	foreign := []string{"README", "00/notes.txt", "tmp/cafe", "tmp/put-x", "00/s", "00/h" + strings.Repeat("0", 32) + "-1-0"}
	for _, name := range foreign {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	left := filepath.Join(dir, "tmp", "put-1f")
	if err := os.WriteFile(left, []byte("half a va"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := open(t, tight(dir))
	for i := range 10 {
		put(t, d, sliceKey(i), make([]byte, cache.SliceSize))
	}
	shut(t, d)
	for _, name := range foreign {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != "mine" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a crash left half written is still there: %v", err)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := open(t, roomy(dir))
	_, err := disk.Open(roomy(dir))
	if !errors.Is(err, disk.ErrInUse) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("opened twice: %v", err)
	}
	shut(t, d)
	open(t, roomy(dir))
}

func TestOpenTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	occupied := filepath.Join(t.TempDir(), "file")
	other := t.TempDir()
	for path, text := range map[string]string{occupied: "", filepath.Join(other, "meridian-cache.lock"): "meridian disk cache 9\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inTheWay := t.TempDir()
	if err := os.WriteFile(filepath.Join(inTheWay, "3f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		cfg  disk.Config
		want string
	}{
		"no directory":      {cfg: roomy(""), want: "no directory"},
		"too small":         {cfg: disk.Split(t.TempDir(), 1<<20), want: "each needs"},
		"a file":            {cfg: roomy(occupied), want: occupied},
		"another version":   {cfg: roomy(other), want: "another version"},
		"something foreign": {cfg: roomy(inTheWay), want: "3f"},
	} {
		if d, err := disk.Open(test.cfg); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
			if err == nil {
				d.Close()
			}
		}
	}
	cfg := disk.Split(t.TempDir(), disk.MinBytes)
	if err := cfg.Validate(); err != nil {
		t.Errorf("the least size: %v", err)
	}
}

// What a tier says it takes is no less than what the file system gives for it.
func TestNoMoreOnDiskThanItSays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := open(t, disk.Config{Dir: dir, HeadBytes: 4 << 20, SliceBytes: 12 << 20})
	for i := range 3000 {
		if i%100 == 0 {
			put(t, d, sliceKey(i), make([]byte, cache.SliceSize-i))
		}
		put(t, d, headKey(i%1500), make([]byte, i*7%9000))
		if i%500 == 0 {
			if used, capacity := used(t, dir), d.Stats().Capacity; used > capacity {
				t.Errorf("%d bytes on disk of %d", used, capacity)
			}
		}
	}
	shut(t, d)
	d = open(t, disk.Config{Dir: dir, HeadBytes: 4 << 20, SliceBytes: 12 << 20})
	if used, s := used(t, dir), d.Stats(); used > s.Bytes || used < s.Bytes/2 {
		t.Errorf("%d bytes on disk, said to be %d", used, s.Bytes)
	}
}

// used is the space of all values, those being written included.
func used(t *testing.T, dir string) (sum int64) {
	t.Helper()
	drafts, err := filepath.Glob(filepath.Join(dir, "tmp", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(drafts, files(t, dir)...) {
		if info, err := os.Lstat(path); err == nil {
			sum += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
	}
	return sum
}
