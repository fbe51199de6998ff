package catalogtest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"meridian/metadata"
)

// Uploads checks metadata.Uploads.
func Uploads(t *testing.T, open func(t *testing.T) metadata.Store) {
	for name, test := range map[string]func(*testing.T, metadata.Store){
		"RoundTrip":     testUploadRoundTrip,
		"Parts":         testParts,
		"OneOfManyEnds": testOneOfManyEnds,
		"PartsAtOnce":   testPartsAtOnce,
		"Complete":      testComplete,
		"List":          testListUploads,
		"Stale":         testStaleUploads,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func newUpload(bucket, key string) metadata.Upload {
	v := newVersion(bucket, key)
	return metadata.Upload{
		ID: ulid.Make().String(),
		Template: metadata.Version{
			Bucket: bucket, Key: key, ID: v.ID, Blob: v.Blob, Owner: "ada", ContentType: "video/mp4",
			UserMetadata: map[string]string{"a": "b"}, Tags: map[string]string{"c": "d"},
			Encryption: &metadata.Encryption{Kind: metadata.ServerKeys, Key: []byte("0123456789")},
		},
		Initiator: "bob", Region: home, StoreUpload: "store-" + v.ID, ChecksumAlgorithm: "crc32", ChecksumType: "COMPOSITE",
		Created: time.Now().UTC().Truncate(time.Microsecond),
	}
}

func createUpload(t *testing.T, s metadata.Store, bucket, key string) metadata.Upload {
	t.Helper()
	u := newUpload(bucket, key)
	if err := s.CreateUpload(t.Context(), u); err != nil {
		t.Fatalf("CreateUpload: %v", err)
	}
	return u
}

func parts(t *testing.T, s metadata.Store, id string, after int) (all []metadata.Part) {
	t.Helper()
	for p, err := range s.Parts(t.Context(), id, after) {
		if err != nil {
			t.Fatalf("Parts: %v", err)
		}
		all = append(all, p)
	}
	return all
}

func testUploadRoundTrip(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	b := newBucket(t, s, "")
	u := createUpload(t, s, b.Name, "key")
	got, err := s.Upload(ctx, b.Name, "key", u.ID)
	if err != nil || !reflect.DeepEqual(got, u) {
		t.Errorf("Upload: %v\n got %+v\nwant %+v", err, got, u)
	}
	other := newBucket(t, s, "")
	for what, ref := range map[string][3]string{
		"another bucket": {other.Name, "key", u.ID},
		"another key":    {b.Name, "other", u.ID},
		"another ID":     {b.Name, "key", ulid.Make().String()},
		"no ID":          {b.Name, "key", "\x00"},
	} {
		_, err := s.Upload(ctx, ref[0], ref[1], ref[2])
		wantError(t, what, err, metadata.ErrNoSuchUpload)
	}
	wantError(t, "no bucket", s.CreateUpload(ctx, newUpload("missing", "key")), metadata.ErrNoSuchBucket)
	ended, err := s.AbortUpload(ctx, u.ID)
	if err != nil || ended.StoreUpload != u.StoreUpload || ended.Template.Bucket != b.Name {
		t.Errorf("AbortUpload = %+v, %v", ended, err)
	}
	_, err = s.AbortUpload(ctx, u.ID)
	wantError(t, "abort again", err, metadata.ErrNoSuchUpload)
	_, err = s.Upload(ctx, b.Name, "key", u.ID)
	wantError(t, "an aborted upload", err, metadata.ErrNoSuchUpload)
}

func testParts(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, "")
	u := createUpload(t, s, b.Name, "key")
	part := func(n int, store string) metadata.Part {
		return metadata.Part{
			Number: n, Size: int64(n) << 33, ETag: "md5-" + store, StorePart: store, CRC64: 1<<63 + uint64(n),
			Checksums: map[string]string{"crc32": store}, Salt: []byte(store), Modified: time.Now().UTC().Truncate(time.Microsecond),
		}
	}
	var want []metadata.Part
	for _, n := range []int{10000, 3, 1, 2} {
		p := part(n, fmt.Sprint("p", n))
		if old, err := s.PutPart(t.Context(), u.ID, p); err != nil || old != nil {
			t.Fatalf("PutPart %d = %+v, %v; want none replaced", n, old, err)
		}
		want = append(want, p)
	}
	again := part(3, "again")
	old, err := s.PutPart(t.Context(), u.ID, again)
	if err != nil || old == nil || !reflect.DeepEqual(*old, want[1]) {
		t.Errorf("PutPart again = %+v, %v; want %+v", old, err, want[1])
	}
	want[1] = again
	slices.SortFunc(want, func(a, b metadata.Part) int { return a.Number - b.Number })
	if got := parts(t, s, u.ID, 0); !reflect.DeepEqual(got, want) {
		t.Errorf("Parts:\n got %+v\nwant %+v", got, want)
	}
	if got := parts(t, s, u.ID, 2); len(got) != 2 || got[0].Number != 3 {
		t.Errorf("Parts after 2 = %+v", got)
	}
	_, err = s.PutPart(t.Context(), ulid.Make().String(), again)
	wantError(t, "a part of no upload", err, metadata.ErrNoSuchUpload)
	if got := parts(t, s, ulid.Make().String(), 0); len(got) > 0 {
		t.Errorf("parts of no upload: %+v", got)
	}
}

// testPartsAtOnce uploads one part many times at once: each but the last one is
// handed back exactly once.
func testPartsAtOnce(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, "")
	u := createUpload(t, s, b.Name, "key")
	const n = 24
	var mu sync.Mutex
	var replaced []string
	together(t, n, func(i int) error {
		old, err := s.PutPart(t.Context(), u.ID, metadata.Part{Number: 1, StorePart: fmt.Sprintf("p%02d", i)})
		if old != nil {
			mu.Lock()
			defer mu.Unlock()
			replaced = append(replaced, old.StorePart)
		}
		return err
	})
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("p%02d", i))
	}
	last := parts(t, s, u.ID, 0)
	if len(last) != 1 {
		t.Fatalf("%d parts are kept", len(last))
	}
	replaced = append(replaced, last[0].StorePart)
	slices.Sort(replaced)
	wantEqual(t, "parts that were replaced, and the last one", replaced, all)
}

func testComplete(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	b := newBucket(t, s, "")
	u := createUpload(t, s, b.Name, "key")
	if _, err := s.PutPart(ctx, u.ID, metadata.Part{Number: 1, StorePart: "p"}); err != nil {
		t.Fatalf("PutPart: %v", err)
	}
	v := newVersion(b.Name, "key")
	v.ID, v.Blob = u.Template.ID, u.Template.Blob
	_, err := s.CompleteUpload(ctx, u.ID, v, metadata.Cond{IfMatch: []string{"*"}})
	wantError(t, "Complete under a condition that fails", err, metadata.ErrNoSuchKey)
	if _, err := s.Upload(ctx, b.Name, "key", u.ID); err != nil || len(parts(t, s, u.ID, 0)) != 1 {
		t.Fatalf("a Complete that failed ended the upload: %v", err)
	}
	elsewhere := newVersion(b.Name, "elsewhere")
	_, err = s.CompleteUpload(ctx, u.ID, elsewhere, metadata.Cond{})
	wantError(t, "Complete as another key", err, metadata.ErrNoSuchUpload)

	from := head(t, s)
	done, err := s.CompleteUpload(ctx, u.ID, v, metadata.Cond{})
	if err != nil || done.ID != v.ID || done.Seq.IsZero() || !done.Latest {
		t.Fatalf("CompleteUpload = %+v, %v", done, err)
	}
	if got := lookup(t, s, b.Name, "key"); got.ID != v.ID {
		t.Errorf("current is %s", got.ID)
	}
	_, err = s.Upload(ctx, b.Name, "key", u.ID)
	wantError(t, "a completed upload", err, metadata.ErrNoSuchUpload)
	_, err = s.PutPart(ctx, u.ID, metadata.Part{Number: 2})
	wantError(t, "a part of a completed upload", err, metadata.ErrNoSuchUpload)
	if again, err := s.CompleteUpload(ctx, u.ID, v, metadata.Cond{}); err != nil || again.ID != v.ID {
		t.Errorf("the same Complete again = %+v, %v", again, err)
	}
	_, err = s.CompleteUpload(ctx, u.ID, newVersion(b.Name, "key"), metadata.Cond{})
	wantError(t, "Complete of an upload that somebody else ended", err, metadata.ErrNoSuchUpload)
	wantEqual(t, "events", kinds(t, s, from, b.Name), []string{metadata.ObjectCreated + " key " + v.ID})
}

// testOneOfManyEnds completes and aborts an upload at once.
func testOneOfManyEnds(t *testing.T, s metadata.Store) {
	for range 10 {
		b := newBucket(t, s, "")
		u := createUpload(t, s, b.Name, "key")
		aborted := false
		won := countNil(t, 6, metadata.ErrNoSuchUpload, func(i int) error {
			if i == 0 {
				_, err := s.AbortUpload(t.Context(), u.ID)
				aborted = err == nil
				return err
			}
			_, err := s.CompleteUpload(t.Context(), u.ID, newVersion(b.Name, "key"), metadata.Cond{})
			return err
		})
		if won != 1 {
			t.Fatalf("%d calls ended one upload", won)
		}
		_, err := s.Lookup(t.Context(), metadata.Ref{Bucket: b.Name, Key: "key"})
		if aborted != errors.Is(err, metadata.ErrNoSuchKey) {
			t.Fatalf("aborted %v, and then Lookup says %v", aborted, err)
		}
	}
}

// testListUploads compares pages of all sizes with a plain list.
func testListUploads(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, "")
	var all []metadata.Upload
	for _, key := range []string{"b/2", "a", "b/1", "c", "b/1", "b/1", "d/e/f", "d/x", "z", "c"} {
		all = append(all, createUpload(t, s, b.Name, key))
	}
	slices.SortFunc(all, func(a, b metadata.Upload) int {
		return strings.Compare(a.Template.Key+"\x00"+a.ID, b.Template.Key+"\x00"+b.ID)
	})
	for _, q := range []metadata.UploadQuery{{}, {Delimiter: "/"}, {Prefix: "b/"}, {Prefix: "d/", Delimiter: "/"}, {Prefix: "b", Delimiter: "b/"}, {Prefix: "no"}} {
		var want []string
		for _, u := range all {
			rest, ok := strings.CutPrefix(u.Template.Key, q.Prefix)
			if !ok {
				continue
			}
			entry := u.Template.Key + " " + u.ID
			if common, _, folds := strings.Cut(rest, q.Delimiter); folds && q.Delimiter != "" {
				entry = q.Prefix + common + q.Delimiter
			}
			if len(want) == 0 || want[len(want)-1] != entry {
				want = append(want, entry)
			}
		}
		for _, size := range []int{1, 2, 3, 100} {
			q := q
			q.Bucket, q.Limit = b.Name, size
			var got []string
			for range len(want) + 1 {
				page, err := s.ListUploads(t.Context(), q)
				if err != nil {
					t.Fatalf("ListUploads: %v", err)
				}
				entries := slices.Clone(page.Prefixes)
				for _, u := range page.Uploads {
					entries = append(entries, u.Template.Key+" "+u.ID)
				}
				slices.Sort(entries)
				if len(entries) > size {
					t.Fatalf("a page of %d has %d entries", size, len(entries))
				}
				got = append(got, entries...)
				if !page.Truncated {
					break
				}
				q.KeyMarker, q.UploadMarker = page.NextKey, page.NextUpload
			}
			wantEqual(t, fmt.Sprintf("uploads, query %+v", q), got, want)
		}
	}
	_, err := s.ListUploads(t.Context(), metadata.UploadQuery{Bucket: "missing", Limit: 1})
	wantError(t, "uploads of no bucket", err, metadata.ErrNoSuchBucket)
}

func testStaleUploads(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, "")
	limit := time.Now().UTC().Truncate(time.Microsecond)
	var want []string
	for i := range 450 { // more than are read at once
		u := newUpload(b.Name, "key")
		u.Created = limit.Add(time.Duration(i-400) * time.Second)
		if i%9 == 0 {
			u.Region = abroad
		}
		if err := s.CreateUpload(t.Context(), u); err != nil {
			t.Fatalf("CreateUpload: %v", err)
		}
		if u.Created.Before(limit) && u.Region == home {
			want = append(want, u.ID)
		}
	}
	var got []string
	for u, err := range s.StaleUploads(t.Context(), home, limit) {
		if err != nil {
			t.Fatalf("StaleUploads: %v", err)
		}
		got = append(got, u.ID)
	}
	wantEqual(t, "stale uploads", got, want)
}
