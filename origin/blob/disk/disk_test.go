package disk_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"meridian/origin/blob"
	"meridian/origin/blob/blobtest"
	"meridian/origin/blob/disk"
)

// TestMain makes the test binary a victim where it is started as one.
func TestMain(m *testing.M) {
	if dir := os.Getenv("MERIDIAN_TEST_VICTIM"); dir != "" {
		os.Exit(victim(dir))
	}
	os.Exit(m.Run())
}

func open(t *testing.T, dir string) *disk.Store {
	t.Helper()
	s, err := disk.Open(disk.Config{Dir: dir, HeadRoom: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return open(t, t.TempDir()) })
}

func TestASecondProcessIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, dir)
	if _, err := disk.Open(disk.Config{Dir: dir}); !errors.Is(err, disk.ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
}

func TestAFullDiskRefusesAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s, err := disk.Open(disk.Config{Dir: t.TempDir(), HeadRoom: math.MaxInt64})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.Put(t.Context(), "bucket/k", 1, strings.NewReader("x"), nil)
	if !errors.Is(err, blob.ErrNoSpace) {
		t.Errorf("Put without room = %v", err)
	}
	if _, err := s.Stat(t.Context(), "bucket/k"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it left something: %v", err)
	}
}

func TestVerifyFindsAFlippedBit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	info, err := s.Put(t.Context(), "bucket/01ABC.jpg", 100_000, bytes.NewReader(make([]byte, 100_000)), nil)
	if err != nil {
		t.Fatal(err)
	}
	st, err := s.Stat(t.Context(), "bucket/01ABC.jpg")
	if err != nil {
		t.Fatal(err)
	}
	if st.CRC64 != info.CRC64 {
		t.Skip("the file system has no extended attributes")
	}
	if err := s.Verify(t.Context(), "bucket/01ABC.jpg"); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "blobs", "bucket", "BC", "01ABC.jpg"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{1}, 50_000); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := s.Verify(t.Context(), "bucket/01ABC.jpg"); !errors.Is(err, blob.ErrCorrupt) {
		t.Errorf("Verify of a changed file = %v", err)
	}
}

// TestKillLeavesWholeBlobs kills a process in the middle of many puts, several
// times over the same directory.
func TestKillLeavesWholeBlobs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	acknowledged := map[string]bool{}
	for range 3 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "MERIDIAN_TEST_VICTIM="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			acknowledged[lines.Text()] = true
			if n == 60 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // killed

		s, err := disk.Open(disk.Config{Dir: dir, HeadRoom: -1})
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for info, err := range s.List(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			seen[info.Key] = true
			r, err := s.Open(t.Context(), info.Key, 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			r.Close()
			if err != nil || !bytes.Equal(got, victimBody(info.Key)) {
				t.Errorf("%s has %d bytes, %v; want %d", info.Key, len(got), err, len(victimBody(info.Key)))
			}
		}
		for key := range acknowledged {
			if !seen[key] {
				t.Errorf("%s was acknowledged and is lost", key)
			}
		}
		if left, _ := os.ReadDir(filepath.Join(dir, "tmp")); len(left) > 0 {
			t.Errorf("%d temporary files are left after a start", len(left))
		}
		s.Close()
	}
	if len(acknowledged) < 150 {
		t.Errorf("only %d puts were acknowledged", len(acknowledged))
	}
}

// victim puts blobs, some in parts, and prints each key that was acknowledged,
// until it is killed.
func victim(dir string) int {
	s, err := disk.Open(disk.Config{Dir: dir, HeadRoom: -1})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx := context.Background()
	done := make(chan string)
	for worker := range 4 {
		go func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("bucket%d/%d-%d-%d", worker, os.Getpid(), worker, i)
				b := victimBody(key)
				if i%3 != 0 {
					if _, err := s.Put(ctx, key, int64(len(b)), bytes.NewReader(b), nil); err == nil {
						done <- key
					}
					continue
				}
				up, err := s.Begin(ctx, key, nil)
				if err != nil {
					continue
				}
				half := len(b) / 2
				p1, err1 := s.PutPart(ctx, up, 1, int64(half), bytes.NewReader(b[:half]))
				p2, err2 := s.PutPart(ctx, up, 2, int64(len(b)-half), bytes.NewReader(b[half:]))
				_, err = s.Complete(ctx, up, []blob.Part{p1, p2})
				if errors.Join(err, err1, err2) == nil {
					done <- key
				}
			}
		}()
	}
	for key := range done {
		fmt.Println(key)
	}
	return 0
}

// victimBody depends on the key only, so that the survivor can check it.
func victimBody(key string) []byte {
	i, _ := strconv.Atoi(key[strings.LastIndexByte(key, '-')+1:])
	return bytes.Repeat([]byte(key+"\n"), 1+i*300)
}

func BenchmarkPut4KiB(b *testing.B) {
	s, err := disk.Open(disk.Config{Dir: b.TempDir(), HeadRoom: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	body := make([]byte, 4<<10)
	var n int
	for b.Loop() {
		n++
		if _, err := s.Put(b.Context(), fmt.Sprintf("bucket/%026d", n), int64(len(body)), bytes.NewReader(body), nil); err != nil {
			b.Fatal(err)
		}
	}
}
