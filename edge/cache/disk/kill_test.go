package disk_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"meridian/edge/cache"
	"meridian/edge/cache/disk"
)

const (
	childEnv  = "MERIDIAN_TEST_DISK_CHURN"
	churnKeys = 60
)

// TestKilledInMidChurn kills processes that put and delete. What they leave must
// open, hold no half value, and none that was put before a Delete they told of.
func TestKilledInMidChurn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	deleted := make([]uint64, churnKeys)
	rounds := 6
	if os.Getenv("TEST_LONG") != "" {
		rounds = 40
	}
	held := 0
	for round := range rounds {
		churnAndKill(t, dir, round, deleted)
		d := open(t, tight(dir))
		for i := range churnKeys {
			v, err := d.Get(t.Context(), churnKey(i))
			if err != nil {
				continue
			}
			held++
			if seq := wholeSeq(t, i, v); seq <= deleted[i] {
				t.Errorf("round %d, key %d: value %d is there after a Delete of %d", round, i, seq, deleted[i])
			}
		}
		if s := d.Stats(); s.Bytes > s.Capacity {
			t.Errorf("%+v", s)
		}
		shut(t, d)
	}
	if held == 0 {
		t.Error("nothing ever survived")
	}
}

// churnAndKill runs a child, notes the Deletes that it tells of, and kills it in
// the middle of its work.
func churnAndKill(t *testing.T, dir string, round int, deleted []uint64) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestChurnChild$")
	child.Env = append(os.Environ(), childEnv+"="+dir, fmt.Sprintf("%s_ROUND=%d", childEnv, round))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		var key int
		var seq uint64
		if _, err := fmt.Sscanf(lines.Text(), "deleted %d %d", &key, &seq); err != nil {
			continue
		}
		deleted[key] = max(deleted[key], seq)
		if n == 300+100*round {
			child.Process.Kill() // what it told before is still read
		}
	}
	if err := child.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
}

func churnKey(i int) cache.Key {
	return cache.Key{Class: cache.Class(i % 2), Name: "churn/" + strconv.Itoa(i)}
}

// TestChurnChild is the child of the test above.
//
//nolint:paralleltest // it runs until it is killed
func TestChurnChild(t *testing.T) {
	dir := os.Getenv(childEnv)
	if dir == "" {
		t.Skip("runs as a child only")
	}
	round, err := strconv.ParseUint(os.Getenv(childEnv+"_ROUND"), 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	d, err := disk.Open(disk.Config{Dir: dir, HeadBytes: 2 << 20, SliceBytes: 3 << 20, Headroom: -1})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(round, uint64(w)))
			for step := uint64(1); ; step++ {
				i := rng.IntN(churnKeys/4)*4 + w // each key has one writer
				seq := round<<32 | step
				size := rng.IntN(3000)
				if rng.IntN(10) == 0 {
					size = rng.IntN(cache.SliceSize)
				}
				d.Put(t.Context(), churnKey(i), wholeValue(i, seq, size))
				if rng.IntN(3) == 0 {
					if err := d.Delete(t.Context(), churnKey(i)); err != nil {
						t.Error(err)
					}
					os.Stdout.WriteString(strings.Join([]string{"deleted", strconv.Itoa(i), strconv.FormatUint(seq, 10)}, " ") + "\n")
				}
			}
		})
	}
	wg.Wait()
}

func wholeValue(key int, seq uint64, size int) []byte {
	v := binary.BigEndian.AppendUint64(nil, seq)
	v = binary.BigEndian.AppendUint64(v, uint64(key))
	v = append(v, make([]byte, size)...)
	for i := 16; i < len(v); i++ {
		v[i] = byte(i) + byte(seq)
	}
	return binary.BigEndian.AppendUint32(v, crc32.ChecksumIEEE(v))
}

func wholeSeq(t *testing.T, key int, v []byte) uint64 {
	t.Helper()
	n := len(v) - 4
	if n < 16 || binary.BigEndian.Uint32(v[n:]) != crc32.ChecksumIEEE(v[:n]) || binary.BigEndian.Uint64(v[8:]) != uint64(key) {
		t.Errorf("key %d: %d bytes that were never put", key, len(v))
		return 0
	}
	return binary.BigEndian.Uint64(v)
}
