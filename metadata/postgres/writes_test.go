package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"meridian/metadata"
	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgtest"
)

func bucketOf(t *testing.T, s *postgres.Store, b metadata.Bucket) {
	t.Helper()
	if b.Region == "" {
		b.Region = pgtest.Region
	}
	if _, err := s.CreateBucket(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func version(bucket, key string) metadata.Version {
	id := ulid.Make().String()
	return metadata.Version{Bucket: bucket, Key: key, ID: id, Size: 3, ETag: "etag-" + id, Blob: bucket + "/" + id, Regions: []string{pgtest.Region}}
}

// locked is a version that nobody may remove.
func locked(bucket, key string) metadata.Version {
	v := version(bucket, key)
	v.Lock.Hold = metadata.HoldOn
	return v
}

// TestWritesThatComeAtOnceAreToldApart: each is made or refused as if it were the
// only one, whatever becomes of those beside it.
func TestWritesThatComeAtOnceAreToldApart(t *testing.T) {
	t.Parallel()
	s := pgtest.New(t)
	bucketOf(t, s, metadata.Bucket{Name: "plain"})
	bucketOf(t, s, metadata.Bucket{Name: "versioned", Versioning: metadata.VersioningEnabled})
	bucketOf(t, s, metadata.Bucket{Name: "small", UploadRules: metadata.UploadRules{QuotaObjects: 4}})
	bucketOf(t, s, metadata.Bucket{Name: "abroad", Region: "asia", Residency: []string{"asia"}, Placement: metadata.Placement{"asia"}})
	ctx := t.Context()
	start, err := s.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 12
	var kept []metadata.Version
	for i := range rounds {
		v, err := s.Commit(ctx, locked("versioned", fmt.Sprint("kept/", i)), metadata.Cond{})
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, v)
	}

	var wg sync.WaitGroup
	together := make(chan struct{})
	var mu sync.Mutex
	took, written, removed := 0, map[string]string{}, map[string]bool{} // in small; by key, in plain
	do := func(what string, want error, f func() error) {
		wg.Go(func() {
			<-together
			if err := f(); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", what, err, want)
			}
		})
	}
	commit := func(v metadata.Version, c metadata.Cond) error {
		done, err := s.Commit(ctx, v, c)
		if err == nil && v.Bucket == "plain" {
			mu.Lock()
			written[v.Key] = done.ID
			mu.Unlock()
		}
		return err
	}
	for i := range rounds {
		key := fmt.Sprint("key/", i)
		do("new object", nil, func() error { return commit(version("plain", key), metadata.Cond{}) })
		do("object after its twin", nil, func() error {
			key := fmt.Sprint("gone/", i)
			if err := commit(version("plain", key), metadata.Cond{}); err != nil {
				return err
			}
			mu.Lock()
			removed[key] = true
			mu.Unlock()
			v, err := s.Delete(ctx, metadata.Ref{Bucket: "plain", Key: key}, metadata.Cond{})
			if err == nil && (v.Key != key || v.ID == "" || v.Seq.IsZero()) {
				err = fmt.Errorf("deleting told of %+v", v)
			}
			return err
		})
		do("version", nil, func() error { return commit(version("versioned", "one key"), metadata.Cond{}) })
		do("no bucket", metadata.ErrNoSuchBucket, func() error { return commit(version("none", key), metadata.Cond{}) })
		do("nothing to replace", metadata.ErrNoSuchKey, func() error {
			return commit(version("plain", "none/"+key), metadata.Cond{IfMatch: []string{"etag"}})
		})
		do("forbidden region", metadata.ErrResidency, func() error { return commit(version("abroad", key), metadata.Cond{}) })
		do("nothing to delete", metadata.ErrNoSuchKey, func() error {
			_, err := s.Delete(ctx, metadata.Ref{Bucket: "plain", Key: "none/" + key}, metadata.Cond{})
			return err
		})
		do("locked version", metadata.ErrLocked, func() error {
			_, err := s.Delete(ctx, metadata.Ref{Bucket: "versioned", Key: kept[i].Key, VersionID: kept[i].ID}, metadata.Cond{})
			return err
		})
		wg.Go(func() {
			<-together
			err := commit(version("small", key), metadata.Cond{})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				took++
			case !errors.Is(err, metadata.ErrQuota):
				t.Errorf("beyond the quota: %v", err)
			}
		})
	}
	close(together)
	wg.Wait()

	if took != 4 {
		t.Errorf("a bucket for 4 objects took %d", took)
	}
	for key, id := range written {
		v, err := s.Lookup(ctx, metadata.Ref{Bucket: "plain", Key: key})
		if removed[key] && !errors.Is(err, metadata.ErrNoSuchKey) || !removed[key] && (err != nil || v.ID != id) {
			t.Errorf("%s, removed: %t, is %s, %v, was written as %s", key, removed[key], v.ID, err, id)
		}
	}
	page, err := s.List(ctx, metadata.ListQuery{Bucket: "versioned", Prefix: "one key", Versions: true, Limit: 100})
	if err != nil || len(page.Versions) != rounds {
		t.Errorf("%d versions of one key, want %d, %v", len(page.Versions), rounds, err)
	}
	events := follow(t, s, start, rounds+3*rounds+rounds+4) // of kept, plain, versioned, small
	for i := 1; i < len(events); i++ {
		if events[i].Compare(events[i-1]) <= 0 {
			t.Errorf("event %s comes after %s", events[i], events[i-1])
		}
	}
}

// TestWritesDoNotWaitForOthersKeys: a key that somebody has delays nobody but those
// who write it.
func TestWritesDoNotWaitForOthersKeys(t *testing.T) {
	t.Parallel()
	c := pgtest.Config(t)
	s := open(t, c.URL)
	bucketOf(t, s, metadata.Bucket{Name: "plain"})
	bucketOf(t, s, metadata.Bucket{Name: "closed"})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tx, _ := begin(t, c.URL, false)
	_, err := tx.Exec(ctx, `SELECT lock_key(id, 'taken'), pg_advisory_xact_lock(-1, hashtext('closed')) FROM bucket WHERE name = 'plain'`)
	if err != nil {
		t.Fatal(err)
	}
	var waiting, free sync.WaitGroup
	for i := range 40 {
		bucket, key, wg := "plain", fmt.Sprint(i), &free
		switch i % 10 {
		case 0:
			key, wg = "taken", &waiting
		case 1:
			bucket, wg = "closed", &waiting
		}
		if wg == &waiting && i >= 12 {
			continue // each holds a connection
		}
		wg.Go(func() {
			if _, err := s.Commit(ctx, version(bucket, key), metadata.Cond{}); err != nil {
				t.Errorf("%s/%s: %v", bucket, key, err)
			}
		})
	}
	free.Wait()
	for _, r := range []metadata.Ref{{Bucket: "plain", Key: "taken"}, {Bucket: "closed", Key: "1"}} {
		if _, err := s.Lookup(ctx, r); !errors.Is(err, metadata.ErrNoSuchKey) {
			t.Errorf("%s/%s is there while somebody has its lock: %v", r.Bucket, r.Key, err)
		}
	}
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	waiting.Wait()
}

// TestWritesTogetherSurviveLostConnections: what was acknowledged is there, once, and
// whose connection was cut goes on by another.
func TestWritesTogetherSurviveLostConnections(t *testing.T) {
	t.Parallel()
	c := pgtest.Config(t)
	s := open(t, c.URL)
	bucketOf(t, s, metadata.Bucket{Name: "versioned", Versioning: metadata.VersioningEnabled})
	conn := connect(t, c.URL)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	const writers, each = 8, 25
	var wg sync.WaitGroup
	var mu sync.Mutex
	var ended atomic.Int64
	acknowledged := map[string]bool{}
	for i := range writers {
		wg.Go(func() {
			for range each {
				v := version("versioned", fmt.Sprint(i))
				_, err := s.Commit(ctx, v, metadata.Cond{})
				mu.Lock()
				acknowledged[v.ID] = err == nil
				mu.Unlock()
				ended.Add(1)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for cut := true; cut; {
		if _, err := conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'meridian' AND pid <> pg_backend_pid() AND query LIKE '%commit_version%' LIMIT 1`); err != nil {
			t.Fatal(err)
		}
		// A connection may have the writes of all. Nobody is cut again and again,
		// however slow the machine: three rounds of them end between two cuts.
		for next := ended.Load() + 3*writers; cut && ended.Load() < next; {
			select {
			case <-done:
				cut = false
			case <-time.After(time.Millisecond):
			}
		}
	}
	// By connections of its own: one of those that were cut may end only now.
	page, err := open(t, c.URL).List(ctx, metadata.ListQuery{Bucket: "versioned", Versions: true, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, v := range page.Versions {
		found[v.ID]++
	}
	sure := 0
	for id, ok := range acknowledged {
		if ok {
			sure++
		}
		if n := found[id]; n > 1 || ok && n != 1 {
			t.Errorf("version %s, acknowledged: %t, is there %d times", id, ok, n)
		}
	}
	if sure < writers*each {
		t.Errorf("%d of %d commits were acknowledged", sure, writers*each)
	}
}

// TestTheLastEventOfAKeyIsThatOfItsLastWrite: where somebody began after those who
// write together, and was done with a key before they came to it, what they write
// there must not be told before what he wrote.
func TestTheLastEventOfAKeyIsThatOfItsLastWrite(t *testing.T) {
	t.Parallel()
	const (
		commit = `SELECT r_status FROM commit_version('plain', $1, $2, 3, 0, now(), 'etag', '', '', 'plain/' || $2, '{` + pgtest.Region + `}',
		                 NULL, NULL, NULL, NULL, '', '', '` + pgtest.Region + `', NULL, false)`
		remove = `SELECT r_status FROM delete_version('plain', $1, '', NULL, NULL, '', $2, now(), '` + pgtest.Region + `', NULL, false, false)`
	)
	for name, test := range map[string]struct {
		sql     string
		removed bool // by who began later
	}{
		"overwritten":       {sql: commit},
		"written once more": {sql: commit, removed: true},
		"removed":           {sql: remove},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := pgtest.Config(t)
			s := open(t, c.URL)
			bucketOf(t, s, metadata.Bucket{Name: "plain"})
			ctx := t.Context()
			if _, err := s.Commit(ctx, version("plain", "key"), metadata.Cond{}); err != nil {
				t.Fatal(err)
			}
			tx, err := connect(t, c.URL).Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			write := func(sql, key string) (status string) {
				t.Helper()
				if err := tx.QueryRow(ctx, sql, key, ulid.Make().String()).Scan(&status); err != nil {
					t.Fatal(err)
				}
				return status
			}
			if status := write(commit, "other"); status != "done" {
				t.Fatalf("the first of those who write together is %s", status)
			}
			if test.removed {
				_, err = s.Delete(ctx, metadata.Ref{Bucket: "plain", Key: "key"}, metadata.Cond{})
			} else {
				_, err = s.Commit(ctx, version("plain", "key"), metadata.Cond{})
			}
			if err != nil {
				t.Fatal(err)
			}
			if status := write(test.sql, "key"); status != "busy" {
				t.Errorf("behind one who is told of later, the key is %s", status)
			}
			if status := write(commit, "one more"); status != "done" {
				t.Errorf("a key that nobody wrote meanwhile is %s", status)
			}
			if err := tx.Commit(ctx); err != nil {
				t.Fatal(err)
			}

			v, err := s.Lookup(ctx, metadata.Ref{Bucket: "plain", Key: "key"})
			if err != nil && !errors.Is(err, metadata.ErrNoSuchKey) {
				t.Fatal(err)
			}
			if _, err := s.Commit(ctx, version("plain", "end"), metadata.Cond{}); err != nil {
				t.Fatal(err)
			}
			var last metadata.Event
			end := errors.New("that is the end")
			err = s.Follow(ctx, metadata.Seq{}, func(e metadata.Event) error {
				switch e.Key {
				case "key":
					last = e
				case "end":
					return end
				}
				return nil
			})
			if !errors.Is(err, end) {
				t.Fatal(err)
			}
			if gone := last.Type == metadata.ObjectDeleted; gone != (v.ID == "") || !gone && last.VersionID != v.ID {
				t.Errorf("the last event is %s of %s, the current version %q", last.Type, last.VersionID, v.ID)
			}
		})
	}
}

// TestARefusalBehindALostAnswerSaysSo: the attempt that lost its answer may come
// through after the refusal, so what it names must stay.
func TestARefusalBehindALostAnswerSaysSo(t *testing.T) {
	t.Parallel()
	c := pgtest.Config(t)
	s := open(t, c.URL)
	bucketOf(t, s, metadata.Bucket{Name: "plain"})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	fresh := metadata.Cond{IfNoneMatch: []string{"*"}}
	tx, _ := begin(t, c.URL, false)
	if _, err := tx.Exec(ctx, `SELECT lock_key(id, 'key') FROM bucket WHERE name = 'plain'`); err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 1)
	go func() {
		_, err := s.Commit(ctx, version("plain", "key"), fresh)
		told <- err
	}()
	conn := connect(t, c.URL)
	var first, pid int
	waiting := func() bool {
		err := conn.QueryRow(ctx, `SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE datname = current_database()
			AND application_name = 'meridian' AND wait_event_type = 'Lock' AND query LIKE '%commit_version%'`).Scan(&pid)
		if err != nil {
			t.Fatal(err)
		}
		return pid != 0 && pid != first
	}
	eventually(t, "a commit waits for the key", waiting)
	first = pid
	if _, err := conn.Exec(ctx, `SELECT pg_terminate_backend($1)`, first); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is asked for once more", waiting)
	var status string
	err := tx.QueryRow(ctx, `SELECT r_status FROM commit_version('plain', 'key', $1, 3, 0, now(), 'etag', '', '', 'plain/' || $1, $2,
		NULL, NULL, NULL, NULL, '', '', '', NULL, true)`, ulid.Make().String(), []string{pgtest.Region}).Scan(&status)
	if err != nil || status != "done" {
		t.Fatalf("the other write is %q, %v", status, err)
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-told; !errors.Is(err, metadata.ErrPrecondition) || !errors.Is(err, metadata.ErrInDoubt) {
		t.Errorf("behind a lost answer: %v", err)
	}
	if _, err := s.Commit(ctx, version("plain", "key"), fresh); !errors.Is(err, metadata.ErrPrecondition) || errors.Is(err, metadata.ErrInDoubt) {
		t.Errorf("without one: %v", err)
	}
}
