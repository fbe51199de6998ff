package catalogtest

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"meridian/metadata"
)

// Keys checks metadata.Keys.
func Keys(t *testing.T, open func(t *testing.T) metadata.Store) {
	t.Run("PutFindDelete", func(t *testing.T) {
		t.Parallel()
		testKeys(t, open(t))
	})
	t.Run("ExpiredKeysAreUnknown", func(t *testing.T) {
		t.Parallel()
		testExpiredKeys(t, open(t))
	})
	t.Run("EventsOnlyWhereSomethingChanged", func(t *testing.T) {
		t.Parallel()
		testKeyEvents(t, open(t))
	})
	t.Run("Update", func(t *testing.T) {
		t.Parallel()
		testUpdateKey(t, open(t))
	})
	t.Run("ManyPutTheSameKeyAtOnce", func(t *testing.T) {
		t.Parallel()
		testConcurrentKeys(t, open(t))
	})
	t.Run("Refused", func(t *testing.T) {
		t.Parallel()
		testRefusedKeys(t, open(t))
	})
}

func accessKey(id string) metadata.AccessKey {
	return metadata.AccessKey{ID: id, Secret: "secret-of-" + id, User: "ann", Role: metadata.RoleReadWrite}
}

func keyIDs(t *testing.T, s metadata.Store) map[string]metadata.AccessKey {
	t.Helper()
	all := map[string]metadata.AccessKey{}
	for k, err := range s.Keys(t.Context()) {
		if err != nil {
			t.Fatalf("Keys: %v", err)
		}
		all[k.ID] = k
	}
	return all
}

func testKeys(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	want := accessKey("AKIAONE")
	if err := s.PutKey(ctx, want); err != nil {
		t.Fatal(err)
	}
	if err := s.PutKey(ctx, accessKey("AKIATWO")); err != nil {
		t.Fatal(err)
	}
	got, err := s.Key(ctx, want.ID)
	if err != nil || got.Secret != want.Secret || got.User != want.User || got.Role != want.Role || got.Created.IsZero() {
		t.Errorf("Key = %+v, %v; want %+v", got, err, want)
	}
	if all := keyIDs(t, s); len(all) != 2 || all["AKIATWO"].Secret != "secret-of-AKIATWO" {
		t.Errorf("Keys = %+v, want both with their secrets", all)
	}
	created := got.Created
	want.Secret, want.Role = "another-secret", metadata.RoleAdmin
	if err := s.PutKey(ctx, want); err != nil {
		t.Fatal(err)
	}
	if got, err = s.Key(ctx, want.ID); err != nil || got.Secret != want.Secret || got.Role != want.Role || !got.Created.Equal(created) {
		t.Errorf("replaced key = %+v, %v; want %+v created %s", got, err, want, created)
	}
	if err := s.DeleteKey(ctx, want.ID); err != nil {
		t.Fatal(err)
	}
	_, err = s.Key(ctx, want.ID)
	wantError(t, "a deleted key", err, metadata.ErrNoSuchAccess)
	wantError(t, "deleting it again", s.DeleteKey(ctx, want.ID), metadata.ErrNoSuchAccess)
	_, err = s.Key(ctx, "nobody\x00\xff")
	wantError(t, "an ID that no key can have", err, metadata.ErrNoSuchAccess)
	wantError(t, "deleting it", s.DeleteKey(ctx, "nobody\x00\xff"), metadata.ErrNoSuchAccess)
	if all := keyIDs(t, s); len(all) != 1 {
		t.Errorf("Keys = %+v after one of two was deleted", all)
	}
}

func testExpiredKeys(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	past, future := time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	old, young := accessKey("AKIAOLD"), accessKey("AKIAYOUNG")
	old.Expires, young.Expires = &past, &future
	for _, k := range []metadata.AccessKey{old, young} {
		if err := s.PutKey(ctx, k); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Key(ctx, old.ID)
	wantError(t, "an expired key", err, metadata.ErrNoSuchAccess)
	if k, err := s.Key(ctx, young.ID); err != nil || k.Expires == nil || k.Expires.Sub(future).Abs() > time.Millisecond {
		t.Errorf("Key = %+v, %v; want it to expire at %s", k, err, future)
	}
	if all := keyIDs(t, s); len(all) != 1 || all[young.ID].ID == "" {
		t.Errorf("Keys = %+v, want the unexpired one", all)
	}
	// It comes back to life when its end is put off.
	old.Expires = nil
	if err := s.PutKey(ctx, old); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Key(ctx, old.ID); err != nil {
		t.Errorf("a renewed key: %v", err)
	}
}

// keyEvents names the keys of the key.changed events after the Seq.
func keyEvents(t *testing.T, s metadata.Store, after metadata.Seq) []string {
	t.Helper()
	var ids []string
	for _, e := range events(t, s, after) {
		if e.Type != metadata.KeyChanged {
			continue
		}
		var data metadata.KeyData
		if err := json.Unmarshal(e.Data, &data); err != nil {
			t.Errorf("data of %s: %v", e.Type, err)
		}
		ids = append(ids, data.AccessKey)
	}
	return ids
}

func testKeyEvents(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	start, err := s.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	expires := time.Now().Add(time.Hour) // in nanoseconds, which no catalogue keeps
	k := accessKey("AKIAROOT")
	k.Expires = &expires
	for range 3 {
		if err := s.PutKey(ctx, k); err != nil {
			t.Fatal(err)
		}
	}
	if got := keyEvents(t, s, start); len(got) != 1 || got[0] != k.ID {
		t.Errorf("putting a key three times gave events for %q, want one", got)
	}
	for _, change := range []func(){
		func() { k.Secret = "new-secret" },
		func() { k.Role = metadata.RoleReadOnly },
		func() { k.User = "bob" },
		func() { k.Expires = nil },
		func() { k.Policy = json.RawMessage(`{"Statement":[]}`) },
		func() { k.Policy = nil },
	} {
		if start, err = s.Head(ctx); err != nil {
			t.Fatal(err)
		}
		change()
		if err := s.PutKey(ctx, k); err != nil {
			t.Fatal(err)
		}
		if got := keyEvents(t, s, start); len(got) != 1 {
			t.Errorf("a change to %+v gave events for %q, want one", k, got)
		}
	}
	if start, err = s.Head(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteKey(ctx, k.ID); err != nil {
		t.Fatal(err)
	}
	if got := keyEvents(t, s, start); len(got) != 1 || got[0] != k.ID {
		t.Errorf("deleting a key gave events for %q, want one", got)
	}
}

func testUpdateKey(t *testing.T, s metadata.Store) {
	ctx := t.Context()
	was := accessKey("AKIAONE")
	if err := s.PutKey(ctx, was); err != nil {
		t.Fatal(err)
	}
	start, err := s.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	policy := json.RawMessage(`{"Version": "2012-10-17", "Statement": []}`)
	limit := func(k *metadata.AccessKey) error {
		k.Policy, k.ID, k.Secret, k.Created = policy, "AKIAOTHER", "another secret", time.Time{}
		return nil
	}
	k, err := s.UpdateKey(ctx, was.ID, limit)
	if err != nil || string(k.Policy) != string(policy) || k.ID != was.ID || k.Secret != was.Secret || k.Created.IsZero() {
		t.Errorf("updated %+v, %v", k, err)
	}
	if got, err := s.Key(ctx, was.ID); err != nil || string(got.Policy) != string(policy) || got.Secret != was.Secret {
		t.Errorf("kept %+v, %v", got, err)
	}
	if _, err := s.UpdateKey(ctx, was.ID, limit); err != nil {
		t.Error(err)
	}
	if got := keyEvents(t, s, start); len(got) != 1 || got[0] != was.ID {
		t.Errorf("an update, and one that changes nothing, gave events for %q, want one", got)
	}
	refused := metadata.Invalidf("no")
	_, err = s.UpdateKey(ctx, was.ID, func(k *metadata.AccessKey) error { k.Policy = nil; return refused })
	wantError(t, "an update that is refused", err, refused)
	_, err = s.UpdateKey(ctx, was.ID, func(k *metadata.AccessKey) error { k.Role = "god"; return nil })
	wantError(t, "an update to what cannot be", err, metadata.ErrInvalid)
	if got, err := s.Key(ctx, was.ID); err != nil || string(got.Policy) != string(policy) || got.Role != was.Role {
		t.Errorf("after refused updates %+v, %v", got, err)
	}
	_, err = s.UpdateKey(ctx, "AKIANONE", limit)
	wantError(t, "an update of nothing", err, metadata.ErrNoSuchAccess)
	if k, err = s.UpdateKey(ctx, was.ID, func(k *metadata.AccessKey) error { k.Policy = nil; return nil }); err != nil || k.Policy != nil {
		t.Errorf("policy taken off: %+v, %v", k, err)
	}
	if got, err := s.Key(ctx, was.ID); err != nil || got.Policy != nil {
		t.Errorf("policy taken off: %+v, %v", got, err)
	}
}

func testConcurrentKeys(t *testing.T, s metadata.Store) {
	start, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			if err := s.PutKey(t.Context(), accessKey("AKIAROOT")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := keyEvents(t, s, start); len(got) != 1 {
		t.Errorf("12 roles putting the root key gave %d events, want 1", len(got))
	}
}

func testRefusedKeys(t *testing.T, s metadata.Store) {
	for name, spoil := range map[string]func(*metadata.AccessKey){
		"no ID":            func(k *metadata.AccessKey) { k.ID = "" },
		"slash in ID":      func(k *metadata.AccessKey) { k.ID = "AK/IA" }, // ends the credential scope
		"key of the nodes": func(k *metadata.AccessKey) { k.ID = "meridian-node" },
		"no secret":        func(k *metadata.AccessKey) { k.Secret = "" },
		"unknown role":     func(k *metadata.AccessKey) { k.Role = "owner" },
		"no user":          func(k *metadata.AccessKey) { k.User = "" },
		"policy too long":  func(k *metadata.AccessKey) { k.Policy = make(json.RawMessage, metadata.MaxKeyPolicy+1) },
		"policy, no JSON":  func(k *metadata.AccessKey) { k.Policy = json.RawMessage("{") },
	} {
		k := accessKey("AKIAFINE")
		spoil(&k)
		wantError(t, name, s.PutKey(t.Context(), k), metadata.ErrInvalid)
	}
	if all := keyIDs(t, s); len(all) != 0 {
		t.Errorf("refused keys were kept: %+v", all)
	}
}
