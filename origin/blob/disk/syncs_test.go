package disk

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

func TestASyncServesAllWhoWaitForItsBeginning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		wrong := errors.New("the disk is gone")
		begun, end := make(chan string, 10), make(chan error)
		s := dirSyncs{sync: func(dir string) error { begun <- dir; return <-end }}
		var first, others, elsewhere sync.WaitGroup
		first.Go(func() {
			if err := s.do("a"); err != nil {
				t.Errorf("the first sync says %v", err)
			}
		})
		synctest.Wait()
		for range 10 {
			others.Go(func() {
				if err := s.do("a"); !errors.Is(err, wrong) {
					t.Errorf("a sync that failed says %v", err)
				}
			})
		}
		synctest.Wait()
		if <-begun; len(begun) > 0 {
			t.Error("a sync was begun beside one of the same directory")
		}
		elsewhere.Go(func() { _ = s.do("b") })
		synctest.Wait()
		if len(begun) != 1 || <-begun != "b" {
			t.Error("another directory was made to wait")
		}
		end <- nil // of either: nobody looks at what b says
		end <- nil
		first.Wait()
		elsewhere.Wait()
		end <- wrong
		others.Wait()
		if len(begun) != 1 || len(s.dirs) != 0 {
			t.Errorf("%d syncs for the other ten, %d directories remembered", len(begun), len(s.dirs))
		}
	})
}

// TestAPutIsAcknowledgedAfterItsSyncs has many put into one directory, whose syncs
// they share: none may return before its bytes, and then its name, are synced.
func TestAPutIsAcknowledgedAfterItsSyncs(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	var mu sync.Mutex
	var whole []os.FileInfo // files whose bytes are synced
	named := map[string]bool{}
	s.syncData = func(d *draft) error {
		err := syncData(d)
		st, e := d.Stat()
		if e != nil {
			return e
		}
		mu.Lock()
		defer mu.Unlock()
		whole = append(whole, st)
		return err
	}
	s.syncs.sync = func(dir string) error {
		// What has a name now has it on the disk after the sync.
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		if err := syncDir(dir); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, e := range entries {
			st, err := e.Info()
			if err != nil {
				return err
			}
			synced := false
			for _, w := range whole {
				synced = synced || os.SameFile(st, w) && st.Size() == w.Size()
			}
			if !synced {
				t.Errorf("%s has a name before its bytes are synced", e.Name())
			}
			named[e.Name()] = true
		}
		return nil
	}
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for k := range 5 {
				name := fmt.Sprintf("01M8AXV5AX%016d", i*100+k)
				if _, err := s.Put(t.Context(), "bucket/"+name, 6, strings.NewReader("photos"), nil); err != nil {
					t.Error(err)
				}
				mu.Lock()
				if !named[name] {
					t.Errorf("%s was acknowledged before its name was synced", name)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
}

func TestANameThatCannotBeSyncedIsTakenBack(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	wrong := errors.New("the disk is gone")
	s.syncs.sync = func(string) error { return wrong }
	if _, err := s.Put(t.Context(), "bucket/k", 1, strings.NewReader("x"), nil); !errors.Is(err, wrong) {
		t.Errorf("Put says %v", err)
	}
	if _, err := s.Stat(t.Context(), "bucket/k"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was refused is there: %v", err)
	}
}
