package blobtest

import (
	"bytes"
	"errors"
	"sync"
	"testing"
	"time"

	"meridian/origin/blob"
)

func multipart(t *testing.T, s blob.Store) {
	ctx := t.Context()
	bodies := [][]byte{content(1, minPart), content(2, minPart+77), content(3, 1234)}
	up, err := s.Begin(ctx, "bucket/movie.mp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	// Out of order, at once, the second part twice.
	stale, err := s.PutPart(ctx, up, 2, minPart, bytes.NewReader(content(9, minPart)))
	if err != nil {
		t.Fatal(err)
	}
	parts := make([]blob.Part, len(bodies))
	var wg sync.WaitGroup
	for i := range bodies {
		wg.Go(func() {
			p, err := s.PutPart(ctx, up, i+1, int64(len(bodies[i])), bytes.NewReader(bodies[i]))
			if err != nil || p.Number != i+1 || p.Size != int64(len(bodies[i])) || p.CRC64 != crc(bodies[i]) {
				t.Errorf("PutPart %d = %+v, %v", i+1, p, err)
			}
			parts[i] = p
		})
	}
	wg.Wait()
	if err := s.DropPart(ctx, up, stale); err != nil {
		t.Errorf("DropPart of a replaced part = %v", err)
	}
	wantMissing(t, s, "bucket/movie.mp4")
	for info, err := range s.List(ctx, "") {
		t.Errorf("an upload in progress is listed: %+v, %v", info, err)
	}
	info, err := s.Complete(ctx, up, parts)
	if err != nil {
		t.Fatal(err)
	}
	whole := bytes.Join(bodies, nil)
	if info.Key != "bucket/movie.mp4" || info.Size != int64(len(whole)) || info.CRC64 != crc(whole) {
		t.Errorf("Complete = %+v, want %d bytes, CRC %d", info, len(whole), crc(whole))
	}
	wantContent(t, s, "bucket/movie.mp4", whole)
	checkRanges(t, s, "bucket/movie.mp4", whole)
	// Across the seams of parts.
	for _, off := range []int64{minPart - 1, minPart, 2*minPart + 76, 2*minPart + 77} {
		got, err := read(t, s, "bucket/movie.mp4", off, 2)
		if err != nil || !bytes.Equal(got, whole[off:off+2]) {
			t.Errorf("two bytes at %d: %v, %v", off, got, err)
		}
	}
	if st, err := s.Stat(ctx, "bucket/movie.mp4"); err != nil || st.Size != int64(len(whole)) {
		t.Errorf("Stat = %+v, %v", st, err)
	}
	if _, err := s.Put(ctx, "bucket/movie.mp4", 1, bytes.NewReader([]byte("x")), nil); !errors.Is(err, blob.ErrExists) {
		t.Errorf("Put over a multipart blob = %v, want ErrExists", err)
	}
	if err := s.Delete(ctx, "bucket/movie.mp4"); err != nil {
		t.Fatal(err)
	}
	wantMissing(t, s, "bucket/movie.mp4")
}

func multipartHandles(t *testing.T, s blob.Store) {
	ctx := t.Context()
	up, err := s.Begin(ctx, "bucket/k", nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.PutPart(ctx, up, 1, 3, bytes.NewReader([]byte("abc")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutPart(ctx, up, 2, 5, bytes.NewReader([]byte("abc"))); !errors.Is(err, blob.ErrSize) {
		t.Errorf("short part = %v, want ErrSize", err)
	}
	for name, up := range map[string]string{"made up": "nope", "traversal": "../x", "empty": ""} {
		if _, err := s.PutPart(ctx, up, 1, 1, bytes.NewReader([]byte("x"))); !errors.Is(err, blob.ErrNoUpload) {
			t.Errorf("part of a %s upload = %v, want ErrNoUpload", name, err)
		}
	}
	wrong := p
	wrong.ID += "x"
	if _, err := s.Complete(ctx, up, []blob.Part{wrong}); !errors.Is(err, blob.ErrNoPart) {
		t.Errorf("Complete with an unknown part = %v, want ErrNoPart", err)
	}
	if _, err := s.Complete(ctx, up, []blob.Part{p}); err != nil {
		t.Errorf("Complete after one that was refused = %v", err)
	}
	wantContent(t, s, "bucket/k", []byte("abc"))
}

func completeOnce(t *testing.T, s blob.Store) {
	ctx := t.Context()
	up, err := s.Begin(ctx, "bucket/k", nil)
	if err != nil {
		t.Fatal(err)
	}
	b := content(5, 1000)
	p, err := s.PutPart(ctx, up, 1, 1000, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if info, err := s.Complete(ctx, up, []blob.Part{p}); err != nil || info.Size != 1000 {
				t.Errorf("one of eight Completes = %+v, %v", info, err)
			}
		})
	}
	wg.Wait()
	wantContent(t, s, "bucket/k", b)
	if _, err := s.PutPart(ctx, up, 2, 1, bytes.NewReader([]byte("x"))); !errors.Is(err, blob.ErrNoUpload) {
		t.Errorf("part after Complete = %v, want ErrNoUpload", err)
	}
}

func abort(t *testing.T, s blob.Store) {
	ctx := t.Context()
	up, err := s.Begin(ctx, "bucket/k", nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.PutPart(ctx, up, 1, 3, bytes.NewReader([]byte("abc")))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Abort(ctx, up); err != nil {
			t.Errorf("Abort = %v", err)
		}
	}
	if _, err := s.Complete(ctx, up, []blob.Part{p}); !errors.Is(err, blob.ErrNoUpload) {
		t.Errorf("Complete after Abort = %v, want ErrNoUpload", err)
	}
	wantMissing(t, s, "bucket/k")
	mustPut(t, s, "bucket/k", []byte("free again"))
}

func uploads(t *testing.T, s blob.Store) {
	ctx := t.Context()
	up, err := s.Begin(ctx, "bucket/k", nil)
	if err != nil {
		t.Fatal(err)
	}
	count := func(before time.Time) (n int) {
		for u, err := range s.Uploads(ctx, before) {
			if err != nil {
				t.Fatal(err)
			}
			if u.ID != up || u.Key != "bucket/k" {
				t.Errorf("upload in progress: %+v", u)
			}
			n++
		}
		return n
	}
	if n := count(time.Now().Add(-time.Hour)); n != 0 {
		t.Errorf("%d uploads are older than an hour", n)
	}
	if n := count(time.Now().Add(time.Hour)); n != 1 {
		t.Errorf("%d uploads in progress, want 1", n)
	}
	if err := s.Abort(ctx, up); err != nil {
		t.Fatal(err)
	}
	if n := count(time.Now().Add(time.Hour)); n != 0 {
		t.Errorf("%d uploads after Abort", n)
	}
}

func emptyMultipart(t *testing.T, s blob.Store) {
	ctx := t.Context()
	up, err := s.Begin(ctx, "bucket/empty", nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.PutPart(ctx, up, 1, 0, bytes.NewReader(nil))
	if err != nil || p.Size != 0 || p.CRC64 != 0 {
		t.Fatalf("PutPart = %+v, %v", p, err)
	}
	if info, err := s.Complete(ctx, up, []blob.Part{p}); err != nil || info.Size != 0 {
		t.Fatalf("Complete = %+v, %v", info, err)
	}
	if info, err := s.Stat(ctx, "bucket/empty"); err != nil || info.Size != 0 {
		t.Errorf("Stat = %+v, %v", info, err)
	}
}
