package expire

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"

	"meridian/metadata"
	"meridian/metadata/lifecycle"
	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgtest"
)

// later is when the rules of these tests are applied to what is written now.
const later = 40 * 24 * time.Hour

// newBucket makes a bucket with rules, given as XML.
func newBucket(t *testing.T, s metadata.Store, versioning, rules string) string {
	t.Helper()
	var config lifecycle.Config
	if err := xml.Unmarshal([]byte("<LifecycleConfiguration>"+rules+"</LifecycleConfiguration>"), &config); err != nil {
		t.Fatal(err)
	}
	if err := config.Check(); err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.CreateBucket(t.Context(), metadata.Bucket{
		Name: "b" + strings.ToLower(ulid.Make().String()), Region: pgtest.Region, Owner: "ada", Versioning: versioning,
		Config: map[string]json.RawMessage{lifecycle.ConfigName: document},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.Name
}

func put(t *testing.T, s metadata.Store, bucket, key string, change ...func(*metadata.Version)) metadata.Version {
	t.Helper()
	id := ulid.Make().String()
	v := metadata.Version{
		Bucket: bucket, Key: key, ID: id, Size: 10, ETag: id, Modified: time.Now(), Blob: bucket + "/" + id, Regions: []string{pgtest.Region},
	}
	for _, f := range change {
		f(&v)
	}
	v, err := s.Commit(t.Context(), v, metadata.Cond{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func remove(t *testing.T, s metadata.Store, bucket, key string) metadata.Version {
	t.Helper()
	v, err := s.Delete(t.Context(), metadata.Ref{Bucket: bucket, Key: key}, metadata.Cond{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// apply lets a job work until it has walked through the bucket.
func apply(t *testing.T, s Store, bucket string, change ...func(*Options)) metadata.LifecycleRun {
	t.Helper()
	o := Options{
		Store: s, Holder: ulid.Make().String(), Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
		Lease: time.Second, Now: func() time.Time { return time.Now().Add(later) },
	}
	for _, f := range change {
		f(&o)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- New(o).Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	}()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		runs, err := s.Lifecycles(t.Context(), bucket, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(runs) > 0 && runs[0].Finished != nil {
			return runs[0]
		}
		if time.Now().After(deadline) {
			t.Fatalf("the walk has not finished: %+v", runs)
		}
	}
}

// left are keys and IDs of all that a bucket holds.
func left(t *testing.T, s metadata.Store, bucket string) (all []string) {
	t.Helper()
	page, err := s.List(t.Context(), metadata.ListQuery{Bucket: bucket, Versions: true, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range page.Versions {
		kind := ""
		if v.DeleteMarker {
			kind = " marker"
		}
		all = append(all, v.Key+kind)
	}
	return all
}

func rule(id, filter, actions string) string {
	return "<Rule><ID>" + id + "</ID><Status>Enabled</Status><Filter>" + filter + "</Filter>" + actions + "</Rule>"
}

const afterADay = "<Expiration><Days>1</Days></Expiration>"

func TestCurrentVersionsAreRemoved(t *testing.T) {
	t.Parallel()
	s := pgtest.New(t)
	b := newBucket(t, s, "",
		rule("logs", "<Prefix>logs/</Prefix>", afterADay)+
			rule("tagged", "<Tag><Key>keep</Key><Value>no</Value></Tag>", afterADay)+
			rule("large", "<ObjectSizeGreaterThan>1000</ObjectSizeGreaterThan>", afterADay)+
			rule("slow", "<Prefix>slow/</Prefix>", "<Expiration><Days>100</Days></Expiration>"))
	put(t, s, b, "a")
	put(t, s, b, "logs/1")
	put(t, s, b, "logs/2")
	put(t, s, b, "slow/1")
	put(t, s, b, "tagged", func(v *metadata.Version) { v.Tags = map[string]string{"keep": "no"} })
	put(t, s, b, "untagged", func(v *metadata.Version) { v.Tags = map[string]string{"keep": "yes"} })
	put(t, s, b, "z", func(v *metadata.Version) { v.Size = 1001 })
	r := apply(t, s, b)
	if got := left(t, s, b); !slices.Equal(got, []string{"a", "slow/1", "untagged"}) {
		t.Errorf("left are %q", got)
	}
	if r.Expired != 4 || r.Bytes != 10+10+10+1001 || r.Scanned != 7 || r.Errors != 0 || r.MarkersMade != 0 {
		t.Errorf("run = %+v", r)
	}
	if l := r.Rules["logs"]; l == nil || l.Expired != 2 || l.Bytes != 20 {
		t.Errorf("rule logs: %+v", l)
	}
	dropped, err := s.Dropped(t.Context(), pgtest.Region, time.Now().Add(time.Hour), 10)
	if err != nil || len(dropped) != 4 {
		t.Errorf("%d blobs are to be freed, %v", len(dropped), err)
	}
}

func TestVersionsAreHiddenThenRemoved(t *testing.T) {
	t.Parallel()
	s := pgtest.New(t)
	b := newBucket(t, s, metadata.VersioningEnabled, rule("all", "", afterADay+
		"<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>1</NewerNoncurrentVersions></NoncurrentVersionExpiration>"))
	for range 3 {
		put(t, s, b, "many")
	}
	put(t, s, b, "one")
	put(t, s, b, "hidden")
	remove(t, s, b, "hidden")
	marker := remove(t, s, b, "nothing below")
	from, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := apply(t, s, b)
	// Of "many" the newest noncurrent version stays, and the current one is hidden.
	want := []string{"hidden marker", "hidden", "many marker", "many", "many", "one marker", "one"}
	if got := left(t, s, b); !slices.Equal(got, want) {
		t.Errorf("left are %q", got)
	}
	if r.MarkersMade != 2 || r.Noncurrent != 1 || r.MarkersRemoved != 1 || r.Expired != 0 || r.Bytes != 10 {
		t.Errorf("run = %+v", r)
	}
	said := map[string]int{}
	enough := errors.New("enough")
	err = s.Follow(t.Context(), from, func(e metadata.Event) error {
		if e.Type == metadata.ObjectDeleted {
			said[e.Cause.Operation]++
		}
		if e.VersionID == marker.ID && !strings.Contains(string(e.Data), `"permanent": true`) {
			t.Errorf("the event of a marker that is gone: %s", e.Data)
		}
		if said[metadata.ByLifecycle] == 4 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	if len(said) != 1 {
		t.Errorf("causes of events: %v", said)
	}
}

// TestWholeKeysEnd: by the extensions of MinIO a key ends with all its versions,
// and no older version is current for a moment.
func TestWholeKeysEnd(t *testing.T) {
	t.Parallel()
	s := pgtest.New(t)
	b := newBucket(t, s, metadata.VersioningEnabled,
		rule("all", "<Prefix>a/</Prefix>", "<Expiration><Days>1</Days><ExpiredObjectAllVersions>true</ExpiredObjectAllVersions></Expiration>")+
			rule("hidden", "<Prefix>h/</Prefix>", "<DelMarkerExpiration><Days>1</Days></DelMarkerExpiration>"))
	for range 3 {
		put(t, s, b, "a/many")
		put(t, s, b, "h/hidden")
		put(t, s, b, "h/there")
	}
	current := put(t, s, b, "a/many")
	remove(t, s, b, "h/hidden")
	r := apply(t, s, b)
	if got := left(t, s, b); !slices.Equal(got, []string{"a/many", "h/hidden marker", "h/there", "h/there", "h/there"}) {
		t.Errorf("left are %q after the first walk", got)
	}
	if v, err := s.Lookup(t.Context(), metadata.Ref{Bucket: b, Key: "a/many"}); err != nil || v.ID != current.ID {
		t.Errorf("current is %s, %v; it was %s", v.ID, err, current.ID)
	}
	if r.Noncurrent != 6 || r.Expired != 0 || r.MarkersMade != 0 || r.MarkersRemoved != 0 {
		t.Errorf("run = %+v", r)
	}
	r = apply(t, secondWalk{s}, b, func(o *Options) { o.Every = 50 * time.Millisecond })
	if got := left(t, s, b); !slices.Equal(got, []string{"h/there", "h/there", "h/there"}) {
		t.Errorf("left are %q", got)
	}
	if r.Expired != 1 || r.Bytes != 10 || r.MarkersRemoved != 1 {
		t.Errorf("run = %+v", r)
	}
}

// TestWholeKeysEndWithoutVersioning: where keys have one version, that is all of
// them, however it is called.
func TestWholeKeysEndWithoutVersioning(t *testing.T) {
	t.Parallel()
	for _, versioning := range []string{"", metadata.VersioningSuspended} {
		s := pgtest.New(t)
		b := newBucket(t, s, versioning, rule("all", "", "<Expiration><Days>1</Days><ExpiredObjectAllVersions>true</ExpiredObjectAllVersions></Expiration>"))
		put(t, s, b, "a")
		put(t, s, b, "a")
		r := apply(t, s, b)
		if got := left(t, s, b); len(got) > 0 || r.Expired != 1 || r.MarkersMade != 0 || r.Errors != 0 {
			t.Errorf("versioning %q: left are %q, run = %+v", versioning, got, r)
		}
	}
}

// secondWalk is a store that tells of no walk but those after the first.
type secondWalk struct{ Store }

func (s secondWalk) Lifecycles(ctx context.Context, bucket string, below int64, limit int) ([]metadata.LifecycleRun, error) {
	runs, err := s.Store.Lifecycles(ctx, bucket, below, limit+1)
	for i, r := range runs {
		if r.Finished != nil && i+1 < len(runs) {
			return []metadata.LifecycleRun{r}, err
		}
	}
	return nil, err
}

// TestWhatIsLockedStays: a refusal is counted, and is no error.
func TestWhatIsLockedStays(t *testing.T) {
	t.Parallel()
	s := pgtest.New(t)
	b := newBucket(t, s, metadata.VersioningEnabled, rule("all", "", "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>"))
	put(t, s, b, "k", func(v *metadata.Version) { v.Lock.Hold = metadata.HoldOn })
	put(t, s, b, "k")
	put(t, s, b, "k")
	r := apply(t, s, b)
	if got := left(t, s, b); len(got) != 2 || r.Locked != 1 || r.Noncurrent != 1 || r.Errors != 0 {
		t.Errorf("left are %q, run = %+v", got, r)
	}
}

// TestAKeyOfManyPages: what is known of a key's newer versions is known in the
// next page too.
func TestAKeyOfManyPages(t *testing.T) {
	t.Parallel()
	s := pgtest.New(t)
	b := newBucket(t, s, metadata.VersioningEnabled, rule("all", "",
		"<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>5</NewerNoncurrentVersions></NoncurrentVersionExpiration>"))
	put(t, s, b, "a")
	for range 12 {
		put(t, s, b, "k")
	}
	put(t, s, b, "l")
	r := apply(t, s, b, func(o *Options) { o.Page = 3 })
	if got := left(t, s, b); len(got) != 1+6+1 {
		t.Errorf("left are %q", got)
	}
	if r.Noncurrent != 6 || r.Scanned != 14 {
		t.Errorf("run = %+v", r)
	}
}

// meddler does something before each delete.
type meddler struct {
	*postgres.Store
	before func(metadata.Ref)
	list   func(metadata.ListQuery) error
}

func (m *meddler) Delete(ctx context.Context, r metadata.Ref, c metadata.Cond) (metadata.Version, error) {
	if m.before != nil {
		m.before(r)
	}
	return m.Store.Delete(ctx, r, c)
}

func (m *meddler) List(ctx context.Context, q metadata.ListQuery) (metadata.ListPage, error) {
	if m.list != nil {
		if err := m.list(q); err != nil {
			return metadata.ListPage{}, err
		}
	}
	return m.Store.List(ctx, q)
}

func TestWhoWritesMeanwhileWins(t *testing.T) {
	t.Parallel()
	for _, versioning := range []string{"", metadata.VersioningEnabled} {
		s := pgtest.New(t)
		b := newBucket(t, s, versioning, rule("all", "", afterADay+
			"<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>"))
		put(t, s, b, "overwritten")
		put(t, s, b, "uncovered")
		older := put(t, s, b, "uncovered")
		put(t, s, b, "uncovered")
		// A client removes the current version, so that the one below is current.
		var once sync.Once
		m := &meddler{Store: s, before: func(r metadata.Ref) {
			switch {
			case r.Key == "overwritten":
				put(t, s, b, "overwritten")
			case versioning != "" && r.VersionID == older.ID:
				once.Do(func() {
					v, err := s.Lookup(t.Context(), metadata.Ref{Bucket: b, Key: r.Key})
					if err == nil {
						_, err = s.Delete(t.Context(), metadata.Ref{Bucket: b, Key: r.Key, VersionID: v.ID}, metadata.Cond{})
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
		}}
		r := apply(t, m, b)
		if _, err := s.Lookup(t.Context(), metadata.Ref{Bucket: b, Key: "overwritten"}); err != nil {
			t.Errorf("versioning %q: what was written meanwhile is gone: %v", versioning, err)
		}
		if r.Overtaken == 0 || r.Errors != 0 {
			t.Errorf("versioning %q: run = %+v", versioning, r)
		}
		if versioning == "" {
			continue
		}
		if v, err := s.Lookup(t.Context(), metadata.Ref{Bucket: b, Key: "uncovered"}); err != nil || v.ID != older.ID {
			t.Errorf("the version that had become current is gone: %s, %v", v.ID, err)
		}
	}
}

// TestAWalkGoesOnWhereItBrokeOff: another process takes over, and looks at
// nothing twice.
func TestAWalkGoesOnWhereItBrokeOff(t *testing.T) {
	t.Parallel()
	s := pgtest.New(t)
	b := newBucket(t, s, "", rule("all", "", "<Expiration><Days>30</Days></Expiration>"))
	const keys = 25
	for i := range keys {
		put(t, s, b, fmt.Sprintf("k%02d", i), func(v *metadata.Version) {
			if i%2 == 1 {
				v.Modified = v.Modified.Add(later)
			}
		})
	}
	var lists atomic.Int32
	broken := &meddler{Store: s, list: func(metadata.ListQuery) error {
		if lists.Add(1) > 3 {
			return errors.New("the database is gone")
		}
		return nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	var stopped sync.WaitGroup
	stopped.Go(func() {
		_ = New(Options{
			Store: broken, Holder: "first", Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Page: 4,
			Now: func() time.Time { return time.Now().Add(later) },
		}).Run(ctx)
	})
	for lists.Load() < 4 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	stopped.Wait()
	runs, err := s.Lifecycles(t.Context(), b, 0, 10)
	if err != nil || len(runs) != 1 || runs[0].Finished != nil || runs[0].Scanned != 12 {
		t.Fatalf("after it broke off: %+v, %v", runs, err)
	}
	r := apply(t, s, b, func(o *Options) { o.Page = 4 })
	if got := left(t, s, b); len(got) != keys/2 {
		t.Errorf("left are %q", got)
	}
	// The last key of a page may have more versions in the next.
	if r.ID != runs[0].ID || r.Expired != (keys+1)/2 || r.Scanned > keys+1 {
		t.Errorf("run = %+v", r)
	}
}

// TestARuleThatIsTakenAwayStops: a walk that is under way removes nothing more by
// it than the page that it is at.
func TestARuleThatIsTakenAwayStops(t *testing.T) {
	t.Parallel()
	for name, instead := range map[string]string{"no rules": "", "other rules": rule("other", "<Prefix>k19</Prefix>", afterADay)} {
		s := pgtest.New(t)
		b := newBucket(t, s, "", rule("all", "", afterADay))
		for i := range 20 {
			put(t, s, b, fmt.Sprintf("k%02d", i))
		}
		var once sync.Once
		r := apply(t, &meddler{Store: s, before: func(metadata.Ref) {
			once.Do(func() {
				_, err := s.UpdateBucket(t.Context(), b, func(b *metadata.Bucket) error {
					delete(b.Config, lifecycle.ConfigName)
					if instead == "" {
						return nil
					}
					var config lifecycle.Config
					if err := xml.Unmarshal([]byte("<LifecycleConfiguration>"+instead+"</LifecycleConfiguration>"), &config); err != nil {
						return err
					}
					document, err := json.Marshal(config)
					b.Config[lifecycle.ConfigName] = document
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}}, b, func(o *Options) { o.Page, o.Every = 4, 100*time.Millisecond })
		if got := left(t, s, b); len(got) < 15 || slices.Contains(got, "k19") == (instead != "") {
			t.Errorf("%s: left are %q", name, got)
		}
		if r.Errors != 0 {
			t.Errorf("%s: run = %+v", name, r)
		}
	}
}

func TestAbandonedUploadsAreAborted(t *testing.T) {
	t.Parallel()
	s := pgtest.New(t)
	b := newBucket(t, s, "", rule("uploads", "<Prefix>u/</Prefix>",
		"<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>"))
	begin := func(key string, age time.Duration) string {
		id := ulid.Make().String()
		err := s.CreateUpload(t.Context(), metadata.Upload{
			ID: id, Region: pgtest.Region, Created: time.Now().Add(later - age),
			Template: metadata.Version{Bucket: b, Key: key, ID: id, Blob: b + "/" + id, Regions: []string{pgtest.Region}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	begin("u/old", 10*24*time.Hour)
	young, elsewhere := begin("u/young", time.Hour), begin("v/old", 10*24*time.Hour)
	r := apply(t, s, b)
	page, err := s.ListUploads(t.Context(), metadata.UploadQuery{Bucket: b, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, u := range page.Uploads {
		ids = append(ids, u.ID)
	}
	if !slices.Equal(ids, []string{young, elsewhere}) || r.Uploads != 1 {
		t.Errorf("uploads %q are left, run = %+v", ids, r)
	}
}

// TestOneProcessDoesTheJob: of several, one works, and when it goes another goes
// on.
func TestOneProcessDoesTheJob(t *testing.T) {
	t.Parallel()
	s := pgtest.New(t)
	const lease = 2 * time.Second // for a busy machine, too, to keep it
	var running, most, turns atomic.Int32
	var all sync.WaitGroup
	for i := range 3 {
		ctx, stop := context.WithCancel(t.Context())
		all.Go(func() {
			metadata.Lead(ctx, s, "job", fmt.Sprint(i), lease, slog.New(slog.DiscardHandler), func(held context.Context) error {
				n := running.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				takes := 100 * time.Millisecond
				if turns.Load() == 0 {
					takes = lease * 3 / 2 // it has to be kept
				}
				select {
				case <-time.After(takes):
				case <-held.Done():
				}
				running.Add(-1)
				turns.Add(1)
				stop()
				return nil
			})
		})
	}
	all.Wait()
	if most.Load() != 1 || turns.Load() != 3 {
		t.Errorf("%d at once, %d turns; want 1 and 3", most.Load(), turns.Load())
	}
}
