package disk

import (
	"bufio"
	"container/heap"
	"io"
	"iter"
	"os"
)

// merge is a heap of sorted runs of names, the one with the least next name
// first.
type merge []*run

// run is a sorted list of names, in a file or in memory.
type run struct {
	next  string
	file  *os.File
	lines *bufio.Scanner
	names []string
}

// advance is false at the end of the run.
func (r *run) advance() (bool, error) {
	if r.lines == nil {
		if len(r.names) == 0 {
			return false, nil
		}
		r.next, r.names = r.names[0], r.names[1:]
		return true, nil
	}
	ok := r.lines.Scan()
	r.next = r.lines.Text()
	return ok, r.lines.Err()
}

// add writes names to a file that goes when it is closed. Names hold no line
// feed: place refuses them.
func (m *merge) add(path string, names []string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	*m = append(*m, &run{file: f, lines: bufio.NewScanner(f)})
	if err := os.Remove(path); err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for _, name := range names {
		_, _ = w.WriteString(name) // Flush tells of any error
		_ = w.WriteByte('\n')
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// with yields the names of all runs, and of the one held in memory, in order.
func (m *merge) with(held []string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		files := *m
		defer files.close()
		*m = append(*m, &run{names: held})
		live := (*m)[:0:0]
		for _, r := range *m {
			ok, err := r.advance()
			if err != nil {
				yield("", err)
				return
			}
			if ok {
				live = append(live, r)
			}
		}
		heap.Init(&live)
		for len(live) > 0 {
			if !yield(live[0].next, nil) {
				return
			}
			ok, err := live[0].advance()
			switch {
			case err != nil:
				yield("", err)
				return
			case ok:
				heap.Fix(&live, 0)
			default:
				heap.Pop(&live)
			}
		}
	}
}

func (m merge) close() {
	for _, r := range m {
		if r.file != nil {
			_ = r.file.Close()
		}
	}
}

// The methods of heap.Interface.

func (m merge) Len() int           { return len(m) }
func (m merge) Less(i, j int) bool { return m[i].next < m[j].next }
func (m merge) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *merge) Push(x any)        { *m = append(*m, x.(*run)) }

// Pop removes the last run.
func (m *merge) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}
