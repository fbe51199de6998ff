package postgres_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"meridian/metadata"
	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgtest"
)

// newResumable makes an upload of ten bytes in a new bucket.
func newResumable(t *testing.T, s *postgres.Store) metadata.Resumable {
	t.Helper()
	ctx := t.Context()
	if _, err := s.Bucket(ctx, "films"); errors.Is(err, metadata.ErrNoSuchBucket) {
		if _, err := s.CreateBucket(ctx, metadata.Bucket{Name: "films", Region: pgtest.Region, Owner: "ada"}); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	id := ulid.Make().String()
	err := s.CreateUpload(ctx, metadata.Upload{
		ID: id, Region: pgtest.Region, StoreUpload: "store-" + id, Created: now,
		Template: metadata.Version{Bucket: "films", Key: "film.mp4", ID: id, Blob: "films/" + id, Owner: "ada"},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := metadata.Resumable{
		ID: id, Bucket: "films", Key: "film.mp4", Region: pgtest.Region, Owner: "ada", Meta: map[string]string{"filename": "fílm.mp4", "empty": ""},
		Length: 10, Head: []byte{}, Created: now, Expires: now.Add(time.Hour),
	}
	if err := s.CreateResumable(ctx, r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAResumableUploadAdvances(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), pgtest.New(t)
	r := newResumable(t, s)
	if got, err := s.Resumable(ctx, r.ID); err != nil || !reflect.DeepEqual(got, r) {
		t.Fatalf("Resumable = %+v, %v, want %+v", got, err, r)
	}
	const me = "origin-europe/boot/1"
	if _, err := s.HoldResumable(ctx, r.ID, me, time.Minute); err != nil {
		t.Fatal(err)
	}
	later := r.Expires.Add(time.Hour)
	step := func(from, to int64, tail string, parts ...metadata.Part) error {
		_, err := s.AdvanceResumable(ctx, r.ID, me, metadata.Advance{From: from, To: to, Tail: []byte(tail), Parts: parts, Head: []byte("ab"), Expires: later})
		return err
	}
	part := func(n int, size int64) metadata.Part {
		return metadata.Part{Number: n, Size: size, ETag: "e", StorePart: "s"}
	}
	check := func(offset, tail int64, parts int, bytesOfTail string) {
		t.Helper()
		got, err := s.Resumable(ctx, r.ID)
		if err != nil || got.Offset != offset || got.Tail != tail || got.Parts != parts || !got.Expires.Equal(later) || string(got.Head) != "ab" {
			t.Errorf("Resumable = %+v, %v", got, err)
		}
		if b, err := s.ResumableTail(ctx, r.ID); err != nil || string(b) != bytesOfTail {
			t.Errorf("tail = %q, %v, want %q", b, err, bytesOfTail)
		}
		n := 0
		for _, err := range s.Parts(ctx, r.ID, 0) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != parts {
			t.Errorf("%d parts are recorded, want %d", n, parts)
		}
	}
	for _, err := range []error{step(0, 2, "ab"), step(2, 3, "c")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	check(3, 3, 0, "abc")
	if err := step(2, 4, "xx"); !errors.Is(err, metadata.ErrNotHeld) {
		t.Errorf("from an offset that has passed: %v", err)
	}
	check(3, 3, 0, "abc")
	if err := step(3, 9, "i", part(1, 4), part(2, 4)); err != nil {
		t.Fatal(err)
	}
	check(9, 1, 2, "i")
	if _, err := s.AdvanceResumable(ctx, r.ID, "other/boot/1", metadata.Advance{From: 9, To: 10, Tail: []byte("j")}); !errors.Is(err, metadata.ErrNotHeld) {
		t.Errorf("by who does not hold it: %v", err)
	}
	if err := s.SetResumableLength(ctx, r.ID, me, 8); !errors.Is(err, metadata.ErrNotHeld) {
		t.Errorf("a length below the offset: %v", err)
	}
	v := metadata.Version{ETag: "tag", Seq: metadata.Seq{Xid: 7, ID: 8}}
	if err := s.FinishResumable(ctx, r.ID, v); err != nil {
		t.Fatal(err)
	}
	got, err := s.Resumable(ctx, r.ID)
	if err != nil || !got.Done || got.Offset != 10 || got.ETag != "tag" || got.Seq != v.Seq {
		t.Errorf("finished: %+v, %v", got, err)
	}
	if err := step(10, 11, "k"); !errors.Is(err, metadata.ErrNotHeld) {
		t.Errorf("after the end: %v", err)
	}
}

func TestAnEndedUploadDoesNotAdvance(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), pgtest.New(t)
	r := newResumable(t, s)
	const me = "n/b/1"
	if _, err := s.HoldResumable(ctx, r.ID, me, time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AbortUpload(ctx, r.ID); err != nil {
		t.Fatal(err)
	}
	_, err := s.AdvanceResumable(ctx, r.ID, me, metadata.Advance{To: 5, Expires: r.Expires, Parts: []metadata.Part{{Number: 1, Size: 5, ETag: "e"}}})
	if !errors.Is(err, metadata.ErrNoSuchUpload) {
		t.Errorf("Advance of an aborted upload: %v", err)
	}
	if got, err := s.Resumable(ctx, r.ID); err != nil || got.Offset != 0 {
		t.Errorf("half of it was recorded: %+v, %v", got, err)
	}
}

func TestOneHoldsAResumableUpload(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), pgtest.New(t)
	r := newResumable(t, s)
	hold := func(holder string, d time.Duration) (bool, error) {
		return s.HoldResumable(ctx, r.ID, holder, d)
	}
	expect := func(what string, wanted bool, err error, wantWanted bool, wantErr error) {
		t.Helper()
		if wanted != wantWanted || !errors.Is(err, wantErr) {
			t.Errorf("%s: %v, %v, want %v, %v", what, wanted, err, wantWanted, wantErr)
		}
	}
	w, err := hold("a/1/x", time.Hour)
	expect("free", w, err, false, nil)
	w, err = hold("a/1/y", time.Hour)
	expect("another request of the same process", w, err, false, metadata.ErrNotHeld)
	w, err = hold("a/1/x", time.Hour)
	expect("prolong, wanted", w, err, true, nil)
	w, err = hold("a/2/y", time.Hour)
	expect("the next boot of the node", w, err, false, nil)
	w, err = hold("a/1/x", time.Hour)
	expect("the boot before", w, err, false, metadata.ErrNotHeld)
	if err := s.ReleaseResumable(ctx, r.ID, "a/1/x"); err != nil {
		t.Fatal(err)
	}
	w, err = hold("b/1/x", time.Hour)
	expect("released by another only", w, err, false, metadata.ErrNotHeld)
	if err := s.ReleaseResumable(ctx, r.ID, "a/2/y"); err != nil {
		t.Fatal(err)
	}
	w, err = hold("b/1/x", 0)
	expect("released", w, err, false, nil)
	w, err = hold("c/1/x", time.Hour)
	expect("its time is over", w, err, false, nil)
	if _, err := s.HoldResumable(ctx, "missing", "c/1/x", time.Hour); !errors.Is(err, metadata.ErrNoSuchUpload) {
		t.Errorf("unknown upload: %v", err)
	}
	if _, err := hold("nobody", time.Hour); !errors.Is(err, metadata.ErrInvalid) {
		t.Errorf("a holder without a name: %v", err)
	}
}

func TestResumableUploadsExpire(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), pgtest.New(t)
	young, old, held := newResumable(t, s), newResumable(t, s), newResumable(t, s)
	for _, r := range []metadata.Resumable{old, held} {
		if _, err := s.HoldResumable(ctx, r.ID, "n/b/1", time.Hour); err != nil {
			t.Fatal(err)
		}
		a := metadata.Advance{To: 3, Tail: []byte("abc"), Expires: time.Now().Add(-time.Second)}
		if _, err := s.AdvanceResumable(ctx, r.ID, "n/b/1", a); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.ReleaseResumable(ctx, old.ID, "n/b/1"); err != nil {
		t.Fatal(err)
	}
	list, err := s.ExpiredResumables(ctx, pgtest.Region, 10)
	if err != nil || len(list) != 1 || list[0].ID != old.ID {
		t.Errorf("ExpiredResumables = %+v, %v, want only %s", list, err, old.ID)
	}
	if list, err := s.ExpiredResumables(ctx, "asia", 10); err != nil || len(list) != 0 {
		t.Errorf("of another region: %+v, %v", list, err)
	}
	if _, err := s.Resumable(ctx, old.ID); !errors.Is(err, metadata.ErrNoSuchUpload) {
		t.Errorf("an expired upload: %v", err)
	}
	if err := s.DeleteResumable(ctx, old.ID); err != nil {
		t.Fatal(err)
	}
	if b, err := s.ResumableTail(ctx, old.ID); err != nil || !bytes.Equal(b, nil) {
		t.Errorf("tail of a deleted upload: %q, %v", b, err)
	}
	if _, err := s.Resumable(ctx, young.ID); err != nil {
		t.Error(err)
	}
}
