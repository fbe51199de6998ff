package catalogtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"meridian/metadata"
)

// Objects checks Commit, Lookup and Delete of metadata.Objects.
func Objects(t *testing.T, open func(t *testing.T) metadata.Store) {
	for name, test := range map[string]func(*testing.T, metadata.Store){
		"RoundTrip":        testVersionRoundTrip,
		"Refused":          testVersionRefused,
		"Missing":          testMissing,
		"CommitAgain":      testCommitAgain,
		"Conditions":       testConditions,
		"DeleteConditions": testDeleteConditions,
		"OneCreateWins":    testOneCreateWins,
		"CompareAndSwap":   testCompareAndSwap,
		"Events":           testObjectEvents,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func fullVersion(bucket, key string) metadata.Version {
	v := newVersion(bucket, key)
	v.ContentEncoding, v.ContentDisposition, v.ContentLanguage = "gzip", `attachment; filename="ä.txt"`, "de"
	v.CacheControl, v.Expires, v.StorageClass = "max-age=60", "Thu, 01 Dec 2044 16:00:00 GMT", "STANDARD"
	v.Headers = map[string]string{"surrogate-key": "a b"}
	v.UserMetadata = map[string]string{"mtime": "1.5", "name": "Zürich \u2028 <&>"}
	v.Tags = map[string]string{"project": "x=y", "empty": ""}
	v.Checksums = map[string]string{"crc32": "AAAAAA==-2"}
	v.ChecksumType = "COMPOSITE"
	v.Regions = []string{home, abroad}
	v.Parts = []metadata.ObjectPart{{Number: 1, Size: 5 << 20, Checksums: map[string]string{"crc32": "AAAAAA=="}}, {Number: 7, Size: 1}}
	v.Parts[1].Salt = []byte{0, 255}
	v.Encryption = &metadata.Encryption{Kind: metadata.CustomerKeys, Key: []byte{0, 1, 255}, Stored: 5<<40 + 33}
	v.CRC64 = ^uint64(0)
	v.Size = 5<<40 + 1
	return v
}

func testVersionRoundTrip(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, metadata.VersioningEnabled)
	for _, key := range []string{"plain.txt", "dir/with space+&%2F?#", "日本語/\U0001F600", "\U0010FFFF\u0001", strings.Repeat("k", metadata.MaxKeyLength), "/", "..", "a//b/"} {
		v := fullVersion(b.Name, key)
		done, err := s.Commit(t.Context(), v, metadata.Cond{})
		if err != nil {
			t.Fatalf("Commit %q: %v", key, err)
		}
		if done.Seq.IsZero() || !done.Latest || done.Null {
			t.Errorf("Commit %q = Seq %s, latest %v, null %v", key, done.Seq, done.Latest, done.Null)
		}
		done.Seq = metadata.Seq{}
		v.Latest = true
		byID, err := s.Lookup(t.Context(), metadata.Ref{Bucket: b.Name, Key: key, VersionID: v.ID})
		if err != nil {
			t.Fatalf("Lookup %q by ID: %v", key, err)
		}
		for what, got := range map[string]metadata.Version{"committed": done, "current": lookup(t, s, b.Name, key), "by ID": byID} {
			if !reflect.DeepEqual(got, v) {
				t.Errorf("%s version:\n got %+v\nwant %+v", what, got, v)
			}
		}
		// Noncurrent, it is the same but for that.
		put(t, s, b.Name, key)
		v.Latest = false
		if old, err := s.Lookup(t.Context(), metadata.Ref{Bucket: b.Name, Key: key, VersionID: v.ID}); err != nil || !reflect.DeepEqual(old, v) {
			t.Errorf("noncurrent version: %v\n got %+v\nwant %+v", err, old, v)
		}
	}
}

func testVersionRefused(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, "")
	for what, change := range map[string]func(*metadata.Version){
		"no key":              func(v *metadata.Version) { v.Key = "" },
		"a key too long":      func(v *metadata.Version) { v.Key = strings.Repeat("k", metadata.MaxKeyLength+1) },
		"a key with NUL":      func(v *metadata.Version) { v.Key = "a\x00b" },
		"a key not UTF-8":     func(v *metadata.Version) { v.Key = "a\xff" },
		"no ID":               func(v *metadata.Version) { v.ID = "" },
		"no blob":             func(v *metadata.Version) { v.Blob = "" },
		"no region":           func(v *metadata.Version) { v.Regions = nil },
		"a negative size":     func(v *metadata.Version) { v.Size = -1 },
		"metadata not UTF-8":  func(v *metadata.Version) { v.UserMetadata = map[string]string{"a": "\xff"} },
		"a content type, NUL": func(v *metadata.Version) { v.ContentType = "text\x00" },
	} {
		v := newVersion(b.Name, "key")
		change(&v)
		_, err := s.Commit(t.Context(), v, metadata.Cond{})
		wantError(t, what, err, metadata.ErrInvalid)
	}
	if all := allVersions(t, s, b.Name); len(all) > 0 {
		t.Errorf("a refused version is there: %+v", all)
	}
}

func testMissing(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	b := newBucket(t, s, metadata.VersioningEnabled)
	v := put(t, s, b.Name, "key")
	find := func(bucket, key, id string) error {
		_, err := s.Lookup(ctx, metadata.Ref{Bucket: bucket, Key: key, VersionID: id})
		return err
	}
	wantError(t, "no bucket", find("missing", "key", ""), metadata.ErrNoSuchBucket)
	wantError(t, "no bucket, by ID", find("missing", "key", v.ID), metadata.ErrNoSuchBucket)
	wantError(t, "no key", find(b.Name, "other", ""), metadata.ErrNoSuchKey)
	wantError(t, "the ID of another key", find(b.Name, "other", v.ID), metadata.ErrNoSuchVersion)
	wantError(t, "no ID at all", find(b.Name, "key", "\x00"), metadata.ErrNoSuchVersion)
	wantError(t, "no null version", find(b.Name, "key", "null"), metadata.ErrNoSuchVersion)

	marker, err := s.Delete(ctx, metadata.Ref{Bucket: b.Name, Key: "key"}, metadata.Cond{})
	if err != nil || !marker.DeleteMarker || !marker.Latest || marker.ID == v.ID || marker.ID == "" || marker.Seq.IsZero() {
		t.Fatalf("Delete = %+v, %v; want a new marker", marker, err)
	}
	hidden, err := s.Lookup(ctx, metadata.Ref{Bucket: b.Name, Key: "key"})
	if !errors.Is(err, metadata.ErrNoSuchKey) || !hidden.DeleteMarker || hidden.ID != marker.ID {
		t.Errorf("Lookup of a hidden key = %+v, %v; want the marker and ErrNoSuchKey", hidden, err)
	}
	byID, err := s.Lookup(ctx, metadata.Ref{Bucket: b.Name, Key: "key", VersionID: marker.ID})
	if !errors.Is(err, metadata.ErrDeleteMarker) || byID.ID != marker.ID || !byID.Latest {
		t.Errorf("Lookup of a marker = %+v, %v; want it and ErrDeleteMarker", byID, err)
	}

	remove := func(bucket, key, id string) error {
		_, err := s.Delete(ctx, metadata.Ref{Bucket: bucket, Key: key, VersionID: id}, metadata.Cond{})
		return err
	}
	plain := newBucket(t, s, "")
	put(t, s, plain.Name, "key")
	wantError(t, "delete in no bucket", remove("missing", "key", ""), metadata.ErrNoSuchBucket)
	wantError(t, "delete of no key", remove(plain.Name, "other", ""), metadata.ErrNoSuchKey)
	wantError(t, "delete of no version", remove(plain.Name, "key", ulid.Make().String()), metadata.ErrNoSuchVersion)
	wantError(t, "delete of no version of no key", remove(b.Name, "other", v.ID), metadata.ErrNoSuchVersion)
	wantError(t, "delete of no null version", remove(b.Name, "key", "null"), metadata.ErrNoSuchVersion)
	lookup(t, s, plain.Name, "key")
}

// testCommitAgain repeats commits, as callers do who lost the answer to one.
func testCommitAgain(t *testing.T, s metadata.Store) {
	for _, versioning := range []string{"", metadata.VersioningEnabled, metadata.VersioningSuspended} {
		b := newBucket(t, s, versioning)
		v := newVersion(b.Name, "key")
		first, err := s.Commit(t.Context(), v, metadata.Cond{IfNoneMatch: []string{"*"}})
		if err != nil {
			t.Fatalf("Commit: %v", err)
		}
		again := func(when string, latest bool) {
			t.Helper()
			from := head(t, s)
			// The condition held when it counted.
			got, err := s.Commit(t.Context(), v, metadata.Cond{IfNoneMatch: []string{"*"}})
			if err != nil || got.ID != v.ID || got.Latest != latest || got.ETag != v.ETag || got.Null != first.Null {
				t.Errorf("versioning %q, commit repeated %s = %+v, %v", versioning, when, got, err)
			}
			if got.Seq.Compare(first.Seq) < 0 {
				t.Errorf("versioning %q, commit repeated %s has the Seq %s, before the first one's %s", versioning, when, got.Seq, first.Seq)
			}
			if more := kinds(t, s, from, b.Name); len(more) > 0 {
				t.Errorf("versioning %q, commit repeated %s wrote events: %v", versioning, when, more)
			}
		}
		again("at once", true)
		second := put(t, s, b.Name, "key")
		again("when it was overwritten", false)
		if got := lookup(t, s, b.Name, "key"); got.ID != second.ID {
			t.Errorf("versioning %q: a repeated commit came back over its successor", versioning)
		}
	}
}

func testConditions(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, metadata.VersioningEnabled)
	cur := put(t, s, b.Name, "there")
	put(t, s, b.Name, "hidden")
	if _, err := s.Delete(t.Context(), metadata.Ref{Bucket: b.Name, Key: "hidden"}, metadata.Cond{}); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	for _, test := range []struct {
		key  string
		c    metadata.Cond
		want error
	}{
		{"there", metadata.Cond{IfMatch: []string{"other"}}, metadata.ErrPrecondition},
		{"there", metadata.Cond{IfNoneMatch: []string{"*"}}, metadata.ErrPrecondition},
		{"there", metadata.Cond{IfNoneMatch: []string{"x", cur.ETag}}, metadata.ErrPrecondition},
		{"there", metadata.Cond{IfVersion: ulid.Make().String()}, metadata.ErrPrecondition},
		{"there", metadata.Cond{IfMatch: []string{cur.ETag}, IfVersion: "no"}, metadata.ErrPrecondition},
		{"hidden", metadata.Cond{IfMatch: []string{"*"}}, metadata.ErrNoSuchKey},
		{"none", metadata.Cond{IfMatch: []string{"*"}}, metadata.ErrNoSuchKey},
		{"none", metadata.Cond{IfVersion: cur.ID}, metadata.ErrPrecondition},
		{"none", metadata.Cond{IfMatch: []string{"a\x00"}}, metadata.ErrInvalid},
	} {
		_, err := s.Commit(t.Context(), newVersion(b.Name, test.key), test.c)
		wantError(t, fmt.Sprintf("Commit %s under %+v", test.key, test.c), err, test.want)
	}
	if got := lookup(t, s, b.Name, "there"); got.ID != cur.ID {
		t.Error("a refused commit took effect")
	}
	for _, test := range []struct {
		key string
		c   func(cur metadata.Version) metadata.Cond
	}{
		{"there", func(v metadata.Version) metadata.Cond { return metadata.Cond{IfMatch: []string{"x", v.ETag}} }},
		{"there", func(metadata.Version) metadata.Cond { return metadata.Cond{IfMatch: []string{"*"}} }},
		{"there", func(metadata.Version) metadata.Cond { return metadata.Cond{IfNoneMatch: []string{"other"}} }},
		{"there", func(v metadata.Version) metadata.Cond { return metadata.Cond{IfVersion: v.ID} }},
		{"hidden", func(metadata.Version) metadata.Cond { return metadata.Cond{IfNoneMatch: []string{"*"}} }},
		{"none", func(metadata.Version) metadata.Cond { return metadata.Cond{IfNoneMatch: []string{"*"}} }},
	} {
		cur, _ := s.Lookup(t.Context(), metadata.Ref{Bucket: b.Name, Key: test.key})
		c := test.c(cur)
		if _, err := s.Commit(t.Context(), newVersion(b.Name, test.key), c); err != nil {
			t.Errorf("Commit %s under %+v: %v", test.key, c, err)
		}
	}
}

func testDeleteConditions(t *testing.T, s metadata.Store) {
	for _, versioning := range []string{"", metadata.VersioningEnabled} {
		b := newBucket(t, s, versioning)
		v := put(t, s, b.Name, "key")
		ref := metadata.Ref{Bucket: b.Name, Key: "key"}
		for _, c := range []metadata.Cond{{IfMatch: []string{"other"}}, {IfVersion: ulid.Make().String()}} {
			_, err := s.Delete(t.Context(), ref, c)
			wantError(t, fmt.Sprintf("Delete under %+v", c), err, metadata.ErrPrecondition)
		}
		_, err := s.Delete(t.Context(), metadata.Ref{Bucket: b.Name, Key: "none"}, metadata.Cond{IfMatch: []string{"*"}})
		wantError(t, "Delete of nothing under If-Match", err, metadata.ErrNoSuchKey)
		lookup(t, s, b.Name, "key")
		if _, err := s.Delete(t.Context(), ref, metadata.Cond{IfMatch: []string{v.ETag}, IfVersion: v.ID}); err != nil {
			t.Errorf("Delete under a condition that holds: %v", err)
		}
		_, err = s.Lookup(t.Context(), ref)
		wantError(t, "Lookup of what was deleted", err, metadata.ErrNoSuchKey)
	}
}

func testOneCreateWins(t *testing.T, s metadata.Store) {
	for _, versioning := range []string{"", metadata.VersioningEnabled, metadata.VersioningSuspended} {
		b := newBucket(t, s, versioning)
		for round := range 4 {
			key := fmt.Sprint("key-", round)
			if round%2 == 1 && versioning != "" { // one that holds only a marker
				if _, err := s.Delete(t.Context(), metadata.Ref{Bucket: b.Name, Key: key}, metadata.Cond{}); err != nil {
					t.Fatalf("Delete: %v", err)
				}
			}
			won := countNil(t, 32, metadata.ErrPrecondition, func(int) error {
				_, err := s.Commit(t.Context(), newVersion(b.Name, key), metadata.Cond{IfNoneMatch: []string{"*"}})
				return err
			})
			if won != 1 {
				t.Errorf("versioning %q: %d of 32 create-only commits of a key won", versioning, won)
			}
		}
	}
}

// testCompareAndSwap counts up under If-Match; with lost updates the sum would
// be too small.
func testCompareAndSwap(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, "")
	zero := newVersion(b.Name, "counter")
	zero.ETag = "0"
	if _, err := s.Commit(t.Context(), zero, metadata.Cond{}); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	const writers, each = 8, 10
	together(t, writers, func(int) error {
		for done := 0; done < each; {
			cur, err := s.Lookup(t.Context(), metadata.Ref{Bucket: b.Name, Key: "counter"})
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(cur.ETag)
			if err != nil {
				return err
			}
			v := newVersion(b.Name, "counter")
			v.ETag = strconv.Itoa(n + 1)
			_, err = s.Commit(t.Context(), v, metadata.Cond{IfMatch: []string{cur.ETag}})
			switch {
			case err == nil:
				done++
			case !errors.Is(err, metadata.ErrPrecondition):
				return err
			}
		}
		return nil
	})
	if got := lookup(t, s, b.Name, "counter").ETag; got != strconv.Itoa(writers*each) {
		t.Errorf("%d increments made %s", writers*each, got)
	}
}

func testObjectEvents(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, metadata.VersioningEnabled)
	ctx := t.Context()
	from := head(t, s)
	one := put(t, s, b.Name, "key")
	two := put(t, s, b.Name, "key")
	marker, err := s.Delete(ctx, metadata.Ref{Bucket: b.Name, Key: "key"}, metadata.Cond{})
	if err != nil {
		t.Fatalf("Delete: %v", err)
	}
	for _, id := range []string{one.ID, marker.ID, two.ID} {
		if _, err := s.Delete(ctx, metadata.Ref{Bucket: b.Name, Key: "key", VersionID: id}, metadata.Cond{}); err != nil {
			t.Fatalf("Delete version: %v", err)
		}
	}
	// Refusals are no changes.
	_, _ = s.Delete(ctx, metadata.Ref{Bucket: b.Name, Key: "key", VersionID: two.ID}, metadata.Cond{})
	_, _ = s.Commit(ctx, newVersion(b.Name, "key"), metadata.Cond{IfMatch: []string{"x"}})

	type event struct {
		Type, ID        string
		Current, Marker bool
	}
	var got []event
	for _, e := range events(t, s, from) {
		var data metadata.ObjectData
		if err := json.Unmarshal(e.Data, &data); err != nil {
			t.Fatalf("data of event %s: %v", e.Seq, err)
		}
		if e.Bucket != b.Name || e.Key != "key" || e.Region == "" || time.Since(e.Time) > time.Hour {
			t.Errorf("event %+v", e)
		}
		if e.VersionID == one.ID && e.Seq != one.Seq && e.Type == metadata.ObjectCreated {
			t.Errorf("Commit told the Seq %s of event %s", one.Seq, e.Seq)
		}
		if e.VersionID == marker.ID && data.Current && !data.Marker {
			t.Errorf("event of a marker says %s", e.Data)
		}
		if e.VersionID == one.ID && (data.Size != one.Size || data.ETag != one.ETag || data.ContentType != one.ContentType) {
			t.Errorf("event of %+v says %s", one, e.Data)
		}
		got = append(got, event{e.Type, e.VersionID, data.Current, data.Marker})
	}
	wantEqual(t, "events", got, []event{
		{metadata.ObjectCreated, one.ID, true, false},
		{metadata.ObjectCreated, two.ID, true, false},
		{metadata.ObjectDeleted, marker.ID, true, true},
		{metadata.ObjectDeleted, one.ID, false, false},
		{metadata.ObjectDeleted, marker.ID, true, true},
		{metadata.ObjectDeleted, two.ID, true, false},
	})
}
