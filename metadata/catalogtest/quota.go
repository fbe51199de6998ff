package catalogtest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/oklog/ulid/v2"

	"meridian/metadata"
)

// Quotas checks that buckets hold no more than their quotas, and that what they
// hold is counted right.
func Quotas(t *testing.T, open func(t *testing.T) metadata.Store) {
	for name, test := range map[string]func(*testing.T, metadata.Store){
		"Bytes":       testQuotaBytes,
		"Objects":     testQuotaObjects,
		"Account":     testUsageAccount,
		"Concurrent":  testQuotaRace,
		"GivenLater":  testQuotaGivenLater,
		"Uploads":     testQuotaUploads,
		"RulesChange": testRulesChange,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func limited(t *testing.T, s metadata.Store, rules metadata.UploadRules, versioning string) {
	t.Helper()
	_, err := s.CreateBucket(t.Context(), metadata.Bucket{Name: "photos", Region: home, UploadRules: rules, Versioning: versioning})
	if err != nil {
		t.Fatal(err)
	}
}

func sized(key string, size int64) metadata.Version {
	v := newVersion("photos", key)
	v.Size = size
	return v
}

func wantUsage(t *testing.T, s metadata.Store, objects, bytes int64) {
	t.Helper()
	u, err := s.Usage(t.Context(), "photos")
	if err != nil {
		t.Fatalf("Usage: %v", err)
	}
	if want := (metadata.Usage{Objects: objects, Bytes: bytes}); u != want {
		t.Errorf("usage %+v, want %+v", u, want)
	}
}

func commitSized(t *testing.T, s metadata.Store, key string, size int64, want error) {
	t.Helper()
	_, err := s.Commit(t.Context(), sized(key, size), metadata.Cond{})
	if !errors.Is(err, want) {
		t.Errorf("Commit of %d bytes under %q: %v, want %v", size, key, err, want)
	}
}

func testQuotaBytes(t *testing.T, s metadata.Store) {
	limited(t, s, metadata.UploadRules{QuotaBytes: 1000}, "")
	after := head(t, s)
	commitSized(t, s, "a", 600, nil)
	commitSized(t, s, "b", 401, metadata.ErrQuota)
	commitSized(t, s, "b", 400, nil)
	commitSized(t, s, "c", 1, metadata.ErrQuota)
	commitSized(t, s, "c", 0, nil)
	commitSized(t, s, "a", 601, metadata.ErrQuota)
	commitSized(t, s, "a", 500, nil) // in the place of the 600
	wantUsage(t, s, 3, 900)
	if v := lookup(t, s, "photos", "a"); v.Size != 500 {
		t.Errorf("a has %d bytes, want 500", v.Size)
	}
	if n := len(kinds(t, s, after, "photos")); n != 4 {
		t.Errorf("%d events, want 4: what was refused has none", n)
	}
	if _, err := s.Delete(t.Context(), metadata.Ref{Bucket: "photos", Key: "b"}, metadata.Cond{}); err != nil {
		t.Fatal(err)
	}
	commitSized(t, s, "d", 500, nil)
	wantUsage(t, s, 3, 1000)
}

func testQuotaObjects(t *testing.T, s metadata.Store) {
	limited(t, s, metadata.UploadRules{QuotaObjects: 2}, "")
	commitSized(t, s, "a", 1, nil)
	commitSized(t, s, "b", 1, nil)
	commitSized(t, s, "c", 1, metadata.ErrQuota)
	commitSized(t, s, "b", 9, nil)
	wantUsage(t, s, 2, 10)
}

// testUsageAccount goes through every way in which a version comes or goes, and
// compares the account of the bucket with the count of its versions.
func testUsageAccount(t *testing.T, s metadata.Store) {
	limited(t, s, metadata.UploadRules{QuotaBytes: 1 << 40}, "")
	check := func(step string) {
		t.Helper()
		var want metadata.Usage
		for _, v := range allVersions(t, s, "photos") {
			if !v.DeleteMarker {
				want.Objects, want.Bytes = want.Objects+1, want.Bytes+v.Size
			}
		}
		if got, err := s.Usage(t.Context(), "photos"); err != nil || got != want {
			t.Errorf("%s: usage %+v, %v, want %+v", step, got, err, want)
		}
	}
	remove := func(version string) {
		t.Helper()
		if _, err := s.Delete(t.Context(), metadata.Ref{Bucket: "photos", Key: "k", VersionID: version}, metadata.Cond{}); err != nil {
			t.Fatalf("Delete %q: %v", version, err)
		}
	}
	commitSized(t, s, "k", 1, nil)
	commitSized(t, s, "k", 2, nil)
	check("overwritten")
	setVersioning(t, s, "photos", metadata.VersioningEnabled)
	commitSized(t, s, "k", 4, nil)
	commitSized(t, s, "k", 8, nil)
	check("versions")
	remove("")
	check("hidden by a marker")
	setVersioning(t, s, "photos", metadata.VersioningSuspended)
	commitSized(t, s, "k", 16, nil)
	check("the null version replaced")
	remove("")
	check("the null version replaced by a marker")
	remove("null")
	check("the marker removed")
	for _, v := range allVersions(t, s, "photos") {
		remove(v.ID)
		check("a version removed")
	}
	wantUsage(t, s, 0, 0)
	commitSized(t, s, "k", 1, nil)
	v := lookup(t, s, "photos", "k")
	if _, err := s.Commit(t.Context(), v, metadata.Cond{}); err != nil {
		t.Errorf("the same version again: %v", err)
	}
	check("committed again")
}

// testQuotaRace lets many commit at once what together is twice the quota.
func testQuotaRace(t *testing.T, s metadata.Store) {
	const writers, each, size, quota = 8, 50, 10, 2000
	limited(t, s, metadata.UploadRules{QuotaBytes: quota}, "")
	var done sync.WaitGroup
	for w := range writers {
		done.Go(func() {
			for i := range each {
				_, err := s.Commit(t.Context(), sized(fmt.Sprintf("%d/%d", w, i), size), metadata.Cond{})
				if err != nil && !errors.Is(err, metadata.ErrQuota) {
					t.Errorf("Commit: %v", err)
				}
			}
		})
	}
	done.Wait()
	wantUsage(t, s, quota/size, quota)
	if n := len(allVersions(t, s, "photos")); n != quota/size {
		t.Errorf("%d versions, want %d", n, quota/size)
	}
}

func testQuotaGivenLater(t *testing.T, s metadata.Store) {
	limited(t, s, metadata.UploadRules{}, metadata.VersioningEnabled)
	set := func(rules metadata.UploadRules) {
		t.Helper()
		if _, err := s.UpdateBucket(t.Context(), "photos", func(b *metadata.Bucket) error {
			b.UploadRules = rules
			return nil
		}); err != nil {
			t.Errorf("UpdateBucket: %v", err)
		}
	}
	var done sync.WaitGroup
	for w := range 4 {
		done.Go(func() {
			for i := range 25 {
				commitSized(t, s, fmt.Sprintf("%d/%d", w, i%20), 10, nil)
			}
		})
	}
	for range 5 {
		set(metadata.UploadRules{QuotaBytes: 1 << 40})
		set(metadata.UploadRules{MaxSize: 1 << 30})
	}
	set(metadata.UploadRules{QuotaBytes: 1000})
	done.Wait()
	set(metadata.UploadRules{QuotaBytes: 900})
	wantUsage(t, s, 100, 1000)
	commitSized(t, s, "more", 1, metadata.ErrQuota)
}

func testQuotaUploads(t *testing.T, s metadata.Store) {
	limited(t, s, metadata.UploadRules{QuotaBytes: 100}, "")
	u := metadata.Upload{ID: ulid.Make().String(), Template: sized("film", 0), Region: home, StoreUpload: "s"}
	if err := s.CreateUpload(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	v := u.Template
	v.Size = 101
	_, err := s.CompleteUpload(t.Context(), u.ID, v, metadata.Cond{})
	wantError(t, "more than the quota", err, metadata.ErrQuota)
	if _, err := s.Upload(t.Context(), "photos", "film", u.ID); err != nil {
		t.Errorf("the upload after it was refused: %v", err)
	}
	v.Size = 100
	if _, err := s.CompleteUpload(t.Context(), u.ID, v, metadata.Cond{}); err != nil {
		t.Errorf("CompleteUpload: %v", err)
	}
	wantUsage(t, s, 1, 100)
}

func testRulesChange(t *testing.T, s metadata.Store) {
	limited(t, s, metadata.UploadRules{MaxSize: 5, Types: []string{"image/*"}, QuotaBytes: 7, QuotaObjects: 9}, "")
	b, err := s.Bucket(t.Context(), "photos")
	if err != nil || b.UploadRules.MaxSize != 5 || len(b.UploadRules.Types) != 1 || b.UploadRules.QuotaBytes != 7 || b.UploadRules.QuotaObjects != 9 {
		t.Errorf("rules %+v, %v", b.UploadRules, err)
	}
	for _, bad := range []metadata.UploadRules{
		{MaxSize: -1}, {QuotaBytes: -1}, {QuotaObjects: -1}, {Types: []string{"image"}}, {Types: []string{"*/*"}},
		{Types: []string{"Image/PNG"}}, {Types: []string{"image/p*"}}, {Types: []string{"image/png", "image/png"}},
		{Types: []string{"image/png; q=1"}}, {Types: []string{""}}, {Types: make([]string, 101)},
	} {
		_, err := s.UpdateBucket(t.Context(), "photos", func(b *metadata.Bucket) error {
			b.UploadRules = bad
			return nil
		})
		wantError(t, fmt.Sprintf("rules %+v", bad), err, metadata.ErrInvalid)
	}
}
