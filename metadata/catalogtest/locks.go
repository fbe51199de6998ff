package catalogtest

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"sync"
	"testing"
	"time"

	"meridian/metadata"
)

// Locks checks what keeps versions from being removed, and the other changes
// that leave a version what it is.
func Locks(t *testing.T, open func(t *testing.T) metadata.Store) {
	for name, test := range map[string]func(*testing.T, metadata.Store){
		"LockedStays":        testLockedStays,
		"LockedIsKeptByAll":  testLockedIsKeptByAll,
		"LockOrDelete":       testLockOrDelete,
		"DefaultRetention":   testDefaultRetention,
		"OfABucketIsForGood": testBucketLockIsForGood,
		"UpdateVersion":      testUpdateVersion,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// lockBucket gives a bucket object lock.
func lockBucket(t *testing.T, s metadata.Store, bucket string, l metadata.ObjectLock) {
	t.Helper()
	document, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.UpdateBucket(t.Context(), bucket, func(b *metadata.Bucket) error {
		b.Config[metadata.ObjectLockConfig] = document
		return nil
	})
	if err != nil {
		t.Fatalf("give bucket %s object lock: %v", bucket, err)
	}
}

func setLock(t *testing.T, s metadata.Store, r metadata.Ref, l metadata.Lock) error {
	t.Helper()
	_, err := s.UpdateVersion(t.Context(), r, metadata.Cause{}, func(v *metadata.Version) error {
		v.Lock = l
		return nil
	})
	return err
}

func testLockedStays(t *testing.T, s metadata.Store) {
	hour := time.Now().Add(time.Hour)
	for name, tt := range map[string]struct {
		lock             metadata.Lock
		stays, bypassing bool // whether it stays without and with bypass
	}{
		"governance":      {metadata.Lock{Mode: metadata.Governance, Until: hour}, true, false},
		"compliance":      {metadata.Lock{Mode: metadata.Compliance, Until: hour}, true, true},
		"hold":            {metadata.Lock{Hold: metadata.HoldOn}, true, true},
		"hold, ended":     {metadata.Lock{Hold: metadata.HoldOff}, false, false},
		"both":            {metadata.Lock{Mode: metadata.Governance, Until: hour, Hold: metadata.HoldOn}, true, true},
		"retention ended": {metadata.Lock{Mode: metadata.Compliance, Until: time.Now().Add(-time.Second)}, false, false},
	} {
		for _, noncurrent := range []bool{false, true} {
			b := newBucket(t, s, metadata.VersioningEnabled)
			v := newVersion(b.Name, "key")
			v.Lock = tt.lock
			if _, err := s.Commit(t.Context(), v, metadata.Cond{}); err != nil {
				t.Fatal(err)
			}
			if noncurrent {
				put(t, s, b.Name, "key")
			}
			marker, err := s.Delete(t.Context(), metadata.Ref{Bucket: b.Name, Key: "key"}, metadata.Cond{BypassGovernance: true})
			if err != nil || !marker.DeleteMarker {
				t.Errorf("%s: a delete without a version ID: %+v, %v", name, marker, err)
			}
			ref := metadata.Ref{Bucket: b.Name, Key: "key", VersionID: v.ID}
			before := head(t, s)
			for _, bypass := range []bool{false, true} {
				stays := tt.stays
				if bypass {
					stays = tt.bypassing
				}
				_, err := s.Delete(t.Context(), ref, metadata.Cond{BypassGovernance: bypass})
				switch {
				case stays:
					wantError(t, name+": delete", err, metadata.ErrLocked)
					if got, err := s.Lookup(t.Context(), ref); err != nil || got.Lock.Mode != tt.lock.Mode || got.Lock.Hold != tt.lock.Hold ||
						!got.Lock.Until.Equal(tt.lock.Until.Truncate(time.Microsecond)) {
						t.Errorf("%s: after a refused delete: %+v, %v", name, got.Lock, err)
					}
				case err != nil && !errors.Is(err, metadata.ErrNoSuchVersion):
					t.Errorf("%s, bypass %v: delete: %v", name, bypass, err)
				}
				if stays && len(kinds(t, s, before, b.Name)) > 0 {
					t.Errorf("%s: a refused delete told of itself", name)
				}
			}
			if tt.stays {
				wantError(t, name+": delete bucket", s.DeleteBucket(t.Context(), b.Name), metadata.ErrBucketNotEmpty)
			}
		}
	}
}

// testLockedIsKeptByAll removes locked versions in the ways that name none.
func testLockedIsKeptByAll(t *testing.T, s metadata.Store) {
	for _, versioning := range []string{"", metadata.VersioningSuspended} {
		b := newBucket(t, s, versioning)
		v := newVersion(b.Name, "key")
		v.Lock = metadata.Lock{Mode: metadata.Compliance, Until: time.Now().Add(time.Hour)}
		if _, err := s.Commit(t.Context(), v, metadata.Cond{}); err != nil {
			t.Fatal(err)
		}
		_, err := s.Commit(t.Context(), newVersion(b.Name, "key"), metadata.Cond{})
		wantError(t, "overwrite", err, metadata.ErrLocked)
		_, err = s.Delete(t.Context(), metadata.Ref{Bucket: b.Name, Key: "key"}, metadata.Cond{})
		wantError(t, "delete", err, metadata.ErrLocked)
		if got := lookup(t, s, b.Name, "key"); got.ID != v.ID {
			t.Errorf("versioning %q: current is %s, want %s", versioning, got.ID, v.ID)
		}
		if len(dropped(t, s, home)) > 0 {
			t.Errorf("versioning %q: the blob is to be freed", versioning)
		}
	}
	// A null version goes to the history once versioning is on.
	b := newBucket(t, s, "")
	null := put(t, s, b.Name, "key")
	setVersioning(t, s, b.Name, metadata.VersioningEnabled)
	if err := setLock(t, s, metadata.Ref{Bucket: b.Name, Key: "key", VersionID: "null"}, metadata.Lock{Hold: metadata.HoldOn}); err != nil {
		t.Fatal(err)
	}
	put(t, s, b.Name, "key")
	_, err := s.Delete(t.Context(), metadata.Ref{Bucket: b.Name, Key: "key", VersionID: "null"}, metadata.Cond{})
	wantError(t, "delete null version", err, metadata.ErrLocked)
	if _, err := s.Lookup(t.Context(), metadata.Ref{Bucket: b.Name, Key: "key", VersionID: null.ID}); err != nil {
		t.Error(err)
	}
}

// testLockOrDelete lets the two run at once: one of them comes first.
func testLockOrDelete(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, metadata.VersioningEnabled)
	for range 30 {
		v := put(t, s, b.Name, "key")
		ref := metadata.Ref{Bucket: b.Name, Key: "key", VersionID: v.ID}
		var locked, deleted error
		var both sync.WaitGroup
		both.Go(func() { locked = setLock(t, s, ref, metadata.Lock{Hold: metadata.HoldOn}) })
		both.Go(func() { _, deleted = s.Delete(t.Context(), ref, metadata.Cond{}) })
		both.Wait()
		switch {
		case locked == nil && errors.Is(deleted, metadata.ErrLocked), errors.Is(locked, metadata.ErrNoSuchVersion) && deleted == nil:
		default:
			t.Fatalf("locked: %v, deleted: %v", locked, deleted)
		}
	}
}

func testDefaultRetention(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, metadata.VersioningEnabled)
	before := put(t, s, b.Name, "before")
	lockBucket(t, s, b.Name, metadata.ObjectLock{Mode: metadata.Compliance, Days: 2})
	if got := lookup(t, s, b.Name, "before"); got.ID != before.ID || got.Lock != (metadata.Lock{}) {
		t.Errorf("a version from before: %+v", got.Lock)
	}
	check := func(key string, want metadata.Lock) {
		t.Helper()
		got := lookup(t, s, b.Name, key).Lock
		if got.Mode != want.Mode || got.Hold != want.Hold || !got.Until.Equal(want.Until.Truncate(time.Microsecond)) {
			t.Errorf("%s: lock %+v, want %+v", key, got, want)
		}
	}
	v := put(t, s, b.Name, "plain")
	check("plain", metadata.Lock{Mode: metadata.Compliance, Until: v.Modified.AddDate(0, 0, 2)})

	own := newVersion(b.Name, "own")
	own.Tags = map[string]string{"a": "b"}
	own.Lock = metadata.Lock{Mode: metadata.Governance, Until: time.Now().Add(time.Minute)}
	if _, err := s.Commit(t.Context(), own, metadata.Cond{}); err != nil {
		t.Fatal(err)
	}
	check("own", own.Lock)

	held := newVersion(b.Name, "held")
	held.Tags = map[string]string{"a": "b"}
	held.Lock.Hold = metadata.HoldOn
	if _, err := s.Commit(t.Context(), held, metadata.Cond{}); err != nil {
		t.Fatal(err)
	}
	check("held", metadata.Lock{Mode: metadata.Compliance, Until: held.Modified.AddDate(0, 0, 2), Hold: metadata.HoldOn})
	if got := lookup(t, s, b.Name, "held"); got.Tags["a"] != "b" {
		t.Errorf("tags beside the lock: %v", got.Tags)
	}

	lockBucket(t, s, b.Name, metadata.ObjectLock{Mode: metadata.Governance, Years: 1})
	up := newVersion(b.Name, "upload")
	if err := s.CreateUpload(t.Context(), metadata.Upload{ID: up.ID, Template: up, Region: home}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CompleteUpload(t.Context(), up.ID, up, metadata.Cond{}); err != nil {
		t.Fatal(err)
	}
	check("upload", metadata.Lock{Mode: metadata.Governance, Until: up.Modified.AddDate(1, 0, 0)})

	lockBucket(t, s, b.Name, metadata.ObjectLock{})
	put(t, s, b.Name, "none")
	check("none", metadata.Lock{})
}

func testBucketLockIsForGood(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, metadata.VersioningEnabled)
	lockBucket(t, s, b.Name, metadata.ObjectLock{})
	for what, change := range map[string]func(*metadata.Bucket){
		"suspend versioning": func(b *metadata.Bucket) { b.Versioning = metadata.VersioningSuspended },
		"take it off":        func(b *metadata.Bucket) { delete(b.Config, metadata.ObjectLockConfig) },
		"a mode alone":       func(b *metadata.Bucket) { b.Config[metadata.ObjectLockConfig] = []byte(`{"mode":"GOVERNANCE"}`) },
		"days alone":         func(b *metadata.Bucket) { b.Config[metadata.ObjectLockConfig] = []byte(`{"days":1}`) },
		"both periods": func(b *metadata.Bucket) {
			b.Config[metadata.ObjectLockConfig] = []byte(`{"mode":"GOVERNANCE","days":1,"years":1}`)
		},
		"an unknown mode": func(b *metadata.Bucket) { b.Config[metadata.ObjectLockConfig] = []byte(`{"mode":"X","days":1}`) },
	} {
		_, err := s.UpdateBucket(t.Context(), b.Name, func(b *metadata.Bucket) error {
			change(b)
			return nil
		})
		wantError(t, what, err, metadata.ErrInvalid)
	}
	for _, versioning := range []string{"", metadata.VersioningSuspended} {
		b := newBucket(t, s, versioning)
		_, err := s.UpdateBucket(t.Context(), b.Name, func(b *metadata.Bucket) error {
			b.Config[metadata.ObjectLockConfig] = []byte(`{}`)
			return nil
		})
		wantError(t, "object lock with versioning "+versioning, err, metadata.ErrInvalid)
	}
}

// testACL sets and takes back the ACL of a version.
func testACL(t *testing.T, s metadata.Store, r metadata.Ref) {
	t.Helper()
	open := &metadata.ACL{Owner: "ada", Grants: []metadata.Grant{
		{User: "ada", Permission: metadata.FullControl}, {Group: metadata.AllUsers, Permission: metadata.PermitRead},
	}}
	for _, acl := range []*metadata.ACL{open, nil} {
		before := head(t, s)
		v, err := s.UpdateVersion(t.Context(), r, metadata.Cause{}, func(v *metadata.Version) error {
			v.ACL = acl
			return nil
		})
		found, lookupErr := s.Lookup(t.Context(), r)
		if err != nil || lookupErr != nil || !reflect.DeepEqual(v.ACL, acl) || !reflect.DeepEqual(found.ACL, acl) {
			t.Errorf("ACL %+v, then %+v, %v, %v", v.ACL, found.ACL, err, lookupErr)
		}
		var d metadata.ObjectData
		if all := events(t, s, before); len(all) != 1 || json.Unmarshal(all[0].Data, &d) != nil || len(d.Changed) != 1 || d.Changed[0] != metadata.ChangedACL {
			t.Errorf("events of a change of the ACL: %+v", all)
		}
	}
	_, err := s.UpdateVersion(t.Context(), r, metadata.Cause{}, func(v *metadata.Version) error {
		v.ACL = &metadata.ACL{Owner: "ada", Grants: []metadata.Grant{{User: "ada", Permission: "ALL"}}}
		return nil
	})
	wantError(t, "an unknown permission", err, metadata.ErrInvalid)
}

func testUpdateVersion(t *testing.T, s metadata.Store) {
	b := newBucket(t, s, metadata.VersioningEnabled)
	old := newVersion(b.Name, "key")
	old.UserMetadata = map[string]string{"camera": "x"}
	if _, err := s.Commit(t.Context(), old, metadata.Cond{}); err != nil {
		t.Fatal(err)
	}
	cur := put(t, s, b.Name, "key")
	tagsOf := func(id string) map[string]string {
		t.Helper()
		v, err := s.Lookup(t.Context(), metadata.Ref{Bucket: b.Name, Key: "key", VersionID: id})
		if err != nil {
			t.Fatal(err)
		}
		return v.Tags
	}
	tag := func(id string, tags map[string]string) metadata.Version {
		t.Helper()
		v, err := s.UpdateVersion(t.Context(), metadata.Ref{Bucket: b.Name, Key: "key", VersionID: id}, metadata.Cause{User: "ada"}, func(v *metadata.Version) error {
			v.Tags = tags
			v.Size, v.ETag, v.ContentType = 1, "x", "y" // not to be changed
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, tt := range []struct {
		ref, id, changed string
		tags             map[string]string
		current          bool
	}{
		{old.ID, old.ID, metadata.ChangedTags, map[string]string{"a": "1"}, false},
		{"", cur.ID, metadata.ChangedTags, map[string]string{"b": "2", "c": ""}, true},
		{old.ID, old.ID, metadata.ClearedTags, nil, false},
	} {
		before := head(t, s)
		v := tag(tt.ref, tt.tags)
		if v.ID != tt.id || v.Size != cur.Size || v.ContentType != cur.ContentType || v.Seq.IsZero() || !maps.Equal(tagsOf(tt.ref), tt.tags) {
			t.Errorf("tagged %q: %+v", tt.ref, v)
		}
		all := events(t, s, before)
		if len(all) != 1 || all[0].Type != metadata.ObjectUpdated || all[0].VersionID != tt.id || all[0].Key != "key" || all[0].Seq != v.Seq || all[0].Cause.User != "ada" {
			t.Fatalf("events of a change of tags: %+v", all)
		}
		var d metadata.ObjectData
		if err := json.Unmarshal(all[0].Data, &d); err != nil || d.Current != tt.current || len(d.Changed) != 1 || d.Changed[0] != tt.changed {
			t.Errorf("data of the event: %s, %v", all[0].Data, err)
		}
	}
	before := head(t, s)
	tag("", map[string]string{"c": "", "b": "2"})
	if n := len(events(t, s, before)); n != 0 {
		t.Errorf("%d events of a change that changes nothing", n)
	}
	if v, err := s.Lookup(t.Context(), metadata.Ref{Bucket: b.Name, Key: "key", VersionID: old.ID}); err != nil || v.UserMetadata["camera"] != "x" {
		t.Errorf("after the change: %+v, %v", v, err)
	}
	testACL(t, s, metadata.Ref{Bucket: b.Name, Key: "key", VersionID: old.ID})
	if got := allVersions(t, s, b.Name); len(got) != 2 || got[0].ID != cur.ID || !got[0].Modified.Equal(cur.Modified) {
		t.Errorf("versions: %+v", got)
	}

	marker, err := s.Delete(t.Context(), metadata.Ref{Bucket: b.Name, Key: "key"}, metadata.Cond{})
	if err != nil {
		t.Fatal(err)
	}
	never := errors.New("no")
	for _, tt := range []struct {
		ref  metadata.Ref
		want error
	}{
		{metadata.Ref{Bucket: b.Name, Key: "key"}, metadata.ErrNoSuchKey},
		{metadata.Ref{Bucket: b.Name, Key: "key", VersionID: marker.ID}, metadata.ErrDeleteMarker},
		{metadata.Ref{Bucket: b.Name, Key: "key", VersionID: "null"}, metadata.ErrNoSuchVersion},
		{metadata.Ref{Bucket: b.Name, Key: "other"}, metadata.ErrNoSuchKey},
		{metadata.Ref{Bucket: "none-" + b.Name, Key: "key"}, metadata.ErrNoSuchBucket},
		{metadata.Ref{Bucket: b.Name, Key: "key", VersionID: cur.ID}, never},
	} {
		_, err := s.UpdateVersion(t.Context(), tt.ref, metadata.Cause{}, func(*metadata.Version) error { return never })
		wantError(t, "update "+tt.ref.VersionID, err, tt.want)
	}
	err = setLock(t, s, metadata.Ref{Bucket: b.Name, Key: "key", VersionID: cur.ID}, metadata.Lock{Mode: metadata.Governance})
	wantError(t, "half a retention", err, metadata.ErrInvalid)
}
