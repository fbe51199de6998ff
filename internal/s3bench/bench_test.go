package main

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestStatOfAProcess(t *testing.T) {
	t.Parallel()
	got, err := parseStat([]byte("17 (postgres: io) x) S 4 17 17 0 -1 4194560 1 2 3 4 100 20 3 1 20 0 1 0 5 6 7"))
	if want := (stat{parent: 4, cpu: 1240 * time.Millisecond}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "17 (x) S 4", "17 (x) S a 17 17 0 -1 4194560 1 2 3 4 1 2 3 4 20", "17 (x) S 4 17 17 0 -1 4194560 1 2 3 4 1 b 3 4 20"} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q is %+v", bad, got)
		}
	}
}

func TestTreeHoldsChildren(t *testing.T) {
	t.Parallel()
	child := exec.CommandContext(t.Context(), "sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill(); _ = child.Wait() })
	ours, err := tree(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := ours[child.Process.Pid]; !ok {
		t.Error("a child is missing")
	}
	if _, ok := ours[os.Getppid()]; ok {
		t.Error("the parent is among the children")
	}
}

func TestTurnsEnd(t *testing.T) {
	t.Parallel()
	few := turns{most: 2, end: time.Now().Add(time.Hour)}
	for want := range 3 {
		if n, ok := few.take(); n != want || ok != (want < 2) {
			t.Errorf("turn %d is %d, %v", want, n, ok)
		}
	}
	late := turns{most: -1, end: time.Now().Add(-time.Second)}
	if _, ok := late.take(); ok {
		t.Error("a turn is taken after the end")
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	if got := median([]result{{perSecond: 3}, {perSecond: 1}, {perSecond: 2}}); got.perSecond != 2 {
		t.Errorf("median %v", got.perSecond)
	}
}

func TestMemoryIsNoDisk(t *testing.T) {
	t.Parallel()
	if err := onDisk("/dev/shm"); err == nil {
		t.Error("/dev/shm passes for a disk")
	}
}
