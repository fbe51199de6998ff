package catalogtest

import (
	"bytes"
	"testing"

	"meridian/metadata"
)

// WrappedKeys checks that data keys can be wrapped anew wherever they are, and
// that nothing else changes by it.
func WrappedKeys(t *testing.T, open func(t *testing.T) metadata.Store) {
	t.Run("Rewrap", func(t *testing.T) {
		t.Parallel()
		testRewrap(t, open(t))
	})
}

func encrypted(v metadata.Version, kind, key string) metadata.Version {
	v.Encryption = &metadata.Encryption{Kind: kind, Key: []byte(key), Stored: v.Size + 16}
	return v
}

func testRewrap(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	b := newBucket(t, s, metadata.VersioningEnabled)
	commit := func(v metadata.Version) metadata.Version {
		t.Helper()
		done, err := s.Commit(ctx, v, metadata.Cond{})
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	// Marks of 9 bytes, of two former master keys and of that of now.
	const former, later, now = "mark-aaaa", "mark-zzzz", "mark-mmmm"
	marks := [][]byte{[]byte(former), []byte(later)}
	old := commit(encrypted(newVersion(b.Name, "key"), metadata.ServerKeys, former+" old"))
	current := commit(encrypted(newVersion(b.Name, "key"), metadata.ServerKeys, later+" current"))
	commit(encrypted(newVersion(b.Name, "mine"), metadata.CustomerKeys, former+" customer"))
	commit(encrypted(newVersion(b.Name, "lost"), metadata.ServerKeys, "mark-????"+" lost"))
	commit(encrypted(newVersion(b.Name, "new"), metadata.ServerKeys, now+" new"))
	put(t, s, b.Name, "plain")
	u := newUpload(b.Name, "upload")
	u.Template = encrypted(u.Template, metadata.ServerKeys, former+" upload")
	if err := s.CreateUpload(ctx, u); err != nil {
		t.Fatal(err)
	}

	list, err := s.FormerKeys(ctx, marks, 10)
	if err != nil || len(list) != 3 {
		t.Fatalf("FormerKeys = %+v, %v; want three", list, err)
	}
	if some, err := s.FormerKeys(ctx, marks, 2); err != nil || len(some) != 2 {
		t.Errorf("FormerKeys up to two = %+v, %v", some, err)
	}
	renewed := make([][]byte, len(list))
	for i, k := range list {
		_, name, _ := bytes.Cut(k.Key, []byte(" "))
		renewed[i] = append([]byte(now+" "), name...)
	}
	overtaken := commit(encrypted(newVersion(b.Name, "key"), metadata.ServerKeys, former+" latest"))
	for range 2 { // again is no harm
		if err := s.Rewrap(ctx, list, renewed); err != nil {
			t.Fatal(err)
		}
	}
	for want, v := range map[string]metadata.Version{now + " old": old, now + " current": current, former + " latest": overtaken} {
		got, err := s.Lookup(ctx, metadata.Ref{Bucket: b.Name, Key: v.Key, VersionID: v.ID})
		if err != nil || want != string(got.Encryption.Key) && v.ID != current.ID || got.Encryption.Stored != v.Size+16 || got.ETag != v.ETag {
			t.Errorf("%s: %+v, %v", want, got.Encryption, err)
		}
	}
	if got, err := s.Upload(ctx, b.Name, "upload", u.ID); err != nil || string(got.Template.Encryption.Key) != now+" upload" {
		t.Errorf("upload: %+v, %v", got.Template.Encryption, err)
	}
	// The version that went to the history meanwhile is found there.
	list, err = s.FormerKeys(ctx, marks, 10)
	if err != nil || len(list) != 2 {
		t.Fatalf("FormerKeys = %+v, %v; want the version that came and the one that moved", list, err)
	}
	for i := range list {
		renewed[i] = []byte(now + " again")
	}
	if err := s.Rewrap(ctx, list, renewed[:2]); err != nil {
		t.Fatal(err)
	}
	if list, err = s.FormerKeys(ctx, marks, 10); err != nil || len(list) > 0 {
		t.Errorf("left: %+v, %v", list, err)
	}
}
