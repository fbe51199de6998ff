package sweep_test

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meridian/metadata"
	"meridian/metadata/postgres/pgtest"
	"meridian/origin"
	"meridian/origin/blob"
	"meridian/origin/blob/disk"
	"meridian/origin/sweep"
	"meridian/upload"
)

func TestOnlyWhatNothingNamesIsFreed(t *testing.T) {
	t.Parallel()
	ctx, log := t.Context(), slog.New(slog.DiscardHandler)
	catalog := pgtest.New(t)
	store, err := disk.Open(disk.Config{Dir: t.TempDir(), HeadRoom: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := catalog.CreateBucket(ctx, metadata.Bucket{Name: "bkt", Region: pgtest.Region, Owner: "root"}); err != nil {
		t.Fatal(err)
	}
	objects := origin.New(origin.Options{Region: pgtest.Region, Store: store, Catalog: catalog, Log: log})
	uploads := upload.New(upload.Options{Region: pgtest.Region, Store: store, Catalog: catalog, Log: log})
	put := func(key string) metadata.Version {
		t.Helper()
		v, err := objects.Put(ctx, origin.PutInput{Template: metadata.Version{Bucket: "bkt", Key: key, Owner: "root"}, Body: strings.NewReader(key), Size: int64(len(key))})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	now := time.Now()
	s := sweep.New(sweep.Options{Region: pgtest.Region, Store: store, Catalog: catalog, Log: log, Now: func() time.Time { return now }})
	round := func(all bool, want sweep.Result) {
		t.Helper()
		if got, err := s.Round(ctx, all); got != want || err != nil {
			t.Errorf("freed %+v, %v, want %+v", got, err, want)
		}
	}
	there := func(what, key string, want bool) {
		t.Helper()
		if _, err := store.Stat(ctx, key); (err == nil) != want || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: there %t, want %t (%v)", what, err == nil, want, err)
		}
	}

	kept, overwritten, deleted := put("kept"), put("overwritten"), put("deleted")
	newer := put("overwritten")
	if _, err := objects.Delete(ctx, metadata.Ref{Bucket: "bkt", Key: "deleted"}, metadata.Cond{}); err != nil {
		t.Fatal(err)
	}
	running, err := uploads.Begin(ctx, metadata.Version{Bucket: "bkt", Key: "running", Owner: "root"}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	// What crashes leave: a blob without a version, an upload without a record.
	if _, err := store.Put(ctx, "bkt/orphan", 1, strings.NewReader("x"), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Begin(ctx, "bkt/forgotten", nil); err != nil {
		t.Fatal(err)
	}

	round(true, sweep.Result{}) // all is young
	now = now.Add(11 * time.Minute)
	there("dropped within its grace", overwritten.Blob, true)
	round(false, sweep.Result{Dropped: 2})
	round(true, sweep.Result{})
	there("overwritten", overwritten.Blob, false)
	there("deleted", deleted.Blob, false)
	there("orphan that is young", "bkt/orphan", true)
	if left, err := catalog.Dropped(ctx, pgtest.Region, now.Add(time.Hour), 10); len(left) > 0 || err != nil {
		t.Errorf("the catalogue still waits for %v, %v", left, err)
	}

	// A blob within its grace is not an orphan, however old it is.
	now = now.Add(25 * time.Hour)
	s.Grace = 48 * time.Hour
	if _, err := objects.Delete(ctx, metadata.Ref{Bucket: "bkt", Key: "overwritten"}, metadata.Cond{}); err != nil {
		t.Fatal(err)
	}
	round(true, sweep.Result{Orphans: 1, Uploads: 1})
	there("orphan", "bkt/orphan", false)
	there("current version", kept.Blob, true)
	there("old blob within its grace", newer.Blob, true)
	if _, err := uploads.PutPart(ctx, running, 1, 1, strings.NewReader("x"), nil, nil); err != nil {
		t.Errorf("an upload that runs for a day: %v", err)
	}
}

// fakes stand in for store and catalogue where only the order of calls counts.
type fakeStore struct {
	blob.Store
	sync.Mutex
	listed  []time.Duration
	start   time.Time
	deleted []string
	stuck   string // cannot be deleted
}

func (f *fakeStore) Delete(_ context.Context, keys ...string) error {
	f.Lock()
	defer f.Unlock()
	for _, k := range keys {
		if k == f.stuck {
			return errors.New("input/output error")
		}
	}
	f.deleted = append(f.deleted, keys...)
	return nil
}

func (f *fakeStore) freed() int {
	f.Lock()
	defer f.Unlock()
	return len(f.deleted)
}

func (f *fakeStore) List(context.Context, string) iter.Seq2[blob.Info, error] {
	f.Lock()
	defer f.Unlock()
	f.listed = append(f.listed, time.Since(f.start))
	return func(func(blob.Info, error) bool) {}
}

func (f *fakeStore) Uploads(context.Context, time.Time) iter.Seq2[blob.Upload, error] {
	return func(func(blob.Upload, error) bool) {}
}

type fakeCatalog struct {
	sync.Mutex
	dropped []metadata.DroppedBlob
	freed   []string
	fail    error
}

func (f *fakeCatalog) Referenced(_ context.Context, blobs []string) ([]bool, error) {
	return make([]bool, len(blobs)), nil
}

func (f *fakeCatalog) NamedUploads(_ context.Context, uploads []string) ([]bool, error) {
	return make([]bool, len(uploads)), nil
}

func (f *fakeCatalog) Dropped(_ context.Context, _ string, before time.Time, limit int) (found []metadata.DroppedBlob, err error) {
	f.Lock()
	defer f.Unlock()
	for _, d := range f.dropped {
		if d.Dropped.Before(before) && len(found) < limit {
			found = append(found, d)
		}
	}
	return found, f.fail
}

func (f *fakeCatalog) Freed(_ context.Context, _ string, blobs []string) error {
	f.Lock()
	defer f.Unlock()
	f.freed = append(f.freed, blobs...)
	f.dropped = f.dropped[len(blobs):]
	return nil
}

func TestRunKeepsItsTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		store := &fakeStore{start: start}
		catalog := &fakeCatalog{fail: errors.New("no connection")}
		s := sweep.New(sweep.Options{Region: "r", Store: store, Catalog: catalog, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		// After a while without the catalogue it goes on by itself.
		catalog.Lock()
		catalog.fail = nil
		for range 1200 {
			catalog.dropped = append(catalog.dropped, metadata.DroppedBlob{Blob: "b/k", Dropped: start.Add(30 * time.Minute)})
		}
		catalog.Unlock()
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		if n := store.freed(); n > 0 {
			t.Errorf("%d blobs were freed within their grace", n)
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if n := store.freed(); n != 1200 {
			t.Errorf("%d blobs deleted, want 1200", n)
		}
		time.Sleep(13 * time.Hour)
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v", err)
		}
		if n := len(store.listed); n != 3 {
			t.Errorf("the store was listed %d times in 13 hours (%v), want 3", n, store.listed)
		}
		if n := len(catalog.freed); n != 1200 {
			t.Errorf("the catalogue was told of %d blobs, want 1200", n)
		}
	})
}

func TestABlobThatCannotBeDeletedHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	store := &fakeStore{stuck: "b/2"}
	old := time.Now().Add(-time.Hour)
	catalog := &fakeCatalog{dropped: []metadata.DroppedBlob{{Blob: "b/1", Dropped: old}, {Blob: "b/3", Dropped: old}, {Blob: "b/2", Dropped: old}}}
	s := sweep.New(sweep.Options{Region: "r", Store: store, Catalog: catalog, Log: slog.New(slog.DiscardHandler)})
	r, err := s.Round(t.Context(), false)
	if r.Dropped != 2 || err == nil || strings.Join(catalog.freed, " ") != "b/1 b/3" {
		t.Errorf("%+v, %v; told of %v", r, err, catalog.freed)
	}
}
