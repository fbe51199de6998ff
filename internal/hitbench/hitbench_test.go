package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// MIN on a trace that can be followed by hand: room for two of three items.
func TestMINKnowsTheFuture(t *testing.T) {
	t.Parallel()
	var tr trace
	for _, key := range []uint64{1, 2, 3, 1, 2, 3, 1} {
		tr.requests = append(tr.requests, request{key, 10})
	}
	// 1 and 2 stay, 3 is let through; then 3 displaces 2, which does not return.
	if got, want := replayMIN(tr, 20).hits, 3.0/7; got != want {
		t.Errorf("hits %v, want %v", got, want)
	}
	if got := replay(newLRU(20), tr).hits; got != 0 {
		t.Errorf("LRU hits %v of a loop that does not fit", got)
	}
}

// No cache answers more than the one that knows the future, nor holds more than
// everything.
func TestNobodyBeatsMIN(t *testing.T) {
	t.Parallel()
	for _, tr := range []trace{pages("pages", 30_000, 0.2, true), videos(30_000, 1)} {
		total, items := tr.footprint()
		all := replayMIN(tr, total)
		if want := 1 - float64(items)/float64(len(tr.requests)); all.hits < want-1e-9 || all.hits > want+1e-9 {
			t.Errorf("%s: with room for all MIN has %v, want %v", tr.name, all.hits, want)
		}
		bound := replayMIN(tr, total/20).hits
		for _, c := range contenders(0) {
			r, err := c.replay(tr, total/20, items)
			if err != nil {
				t.Fatal(err)
			}
			if r.hits > bound {
				t.Errorf("%s: %s has %v, MIN %v", tr.name, c.name, r.hits, bound)
			}
		}
	}
}

func TestRunPrintsEveryTable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	csv, numbers := filepath.Join(dir, "own.csv"), filepath.Join(dir, "own.trace")
	for path, text := range map[string]string{csv: "a,10\nb,20\na,10\n", numbers: "\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x01"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	if err := run(t.Context(), &out, []string{"-requests", "2000", "-pace", "1ns", "-sizes", "5,100", csv, numbers}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"own.csv: 3 requests of 2 items", "own.trace: 3 requests of 2 items", "CDN mix through 3 edges", "33.3 / 25.0", "at 100 %"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

func TestTracesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"a.trace": "12345", "b.csv": "a,b\n", "c.csv": "", "d.txt": "a,1\n", "e.csv": "a,0\n"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := load(path); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := load(filepath.Join(dir, "missing.trace")); err == nil {
		t.Error("a file that is not there")
	}
	for _, sizes := range []string{"", "0", "101", "x", "1,,2"} {
		if _, err := parsePercents(sizes); err == nil {
			t.Errorf("sizes %q", sizes)
		}
	}
}
