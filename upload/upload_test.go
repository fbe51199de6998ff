package upload_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/internal/checksum"
	"meridian/metadata"
	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgtest"
	"meridian/origin/blob"
	"meridian/origin/blob/disk"
	"meridian/origin/record"
	"meridian/upload"
)

const minPart = 1000

type world struct {
	t       *testing.T
	store   *disk.Store
	catalog *postgres.Store
	uploads *upload.Manager
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, catalog: pgtest.New(t)}
	var err error
	if w.store, err = disk.Open(disk.Config{Dir: t.TempDir(), HeadRoom: -1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close() })
	if _, err := w.catalog.CreateBucket(t.Context(), metadata.Bucket{Name: "films", Region: pgtest.Region, Owner: "root"}); err != nil {
		t.Fatal(err)
	}
	w.uploads = upload.New(upload.Options{
		Region: pgtest.Region, Store: w.store, Catalog: w.catalog, Log: slog.New(slog.DiscardHandler), MinPart: minPart,
	})
	return w
}

func (w *world) begin(alg checksum.Algorithm, kind string) metadata.Upload {
	w.t.Helper()
	u, err := w.uploads.Begin(w.t.Context(), metadata.Version{Bucket: "films", Key: "film.mp4", ContentType: "video/mp4", Owner: "root"}, alg, kind)
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

func (w *world) put(u metadata.Upload, n int, b []byte, algs ...checksum.Algorithm) metadata.Part {
	w.t.Helper()
	p, err := w.uploads.PutPart(w.t.Context(), u, n, int64(len(b)), bytes.NewReader(b), algs, nil)
	if err != nil {
		w.t.Fatalf("PutPart %d: %v", n, err)
	}
	return p
}

func (w *world) read(v metadata.Version) []byte {
	w.t.Helper()
	r, err := w.store.Open(context.Background(), v.Blob, 0, -1)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// left tells what is in the store.
func (w *world) left() (blobs, uploads int) {
	w.t.Helper()
	for _, err := range w.store.List(context.Background(), "") {
		if err != nil {
			w.t.Fatal(err)
		}
		blobs++
	}
	for _, err := range w.store.Uploads(context.Background(), time.Now().Add(time.Hour)) {
		if err != nil {
			w.t.Fatal(err)
		}
		uploads++
	}
	return blobs, uploads
}

func content(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func named(parts ...metadata.Part) (list []upload.CompletePart) {
	for _, p := range parts {
		list = append(list, upload.CompletePart{Number: p.Number, ETag: p.ETag, Checksums: p.Checksums})
	}
	return list
}

func unsized() upload.CompleteOptions { return upload.CompleteOptions{Size: -1} }

func TestAnObjectOfPartsIsWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		alg  checksum.Algorithm
		kind string
	}{
		{"", ""},
		{checksum.CRC32, "COMPOSITE"}, {checksum.CRC32, "FULL_OBJECT"},
		{checksum.CRC32C, "COMPOSITE"}, {checksum.CRC32C, "FULL_OBJECT"},
		{checksum.CRC64NVME, "FULL_OBJECT"}, {checksum.SHA1, "COMPOSITE"}, {checksum.SHA256, "COMPOSITE"},
	} {
		u := w.begin(c.alg, c.kind)
		bodies := [][]byte{content(1, minPart), content(2, 3*minPart+7), content(3, 5)}
		w.put(u, 4, content(9, minPart), c.alg) // replaced below
		parts := make([]metadata.Part, len(bodies))
		var wg sync.WaitGroup
		for i, b := range bodies {
			wg.Go(func() { parts[i] = w.put(u, 3*i+1, b, c.alg) })
		}
		wg.Wait()
		w.put(u, 9, content(8, 77), c.alg) // left out
		v, err := w.uploads.Complete(t.Context(), u, named(parts...), upload.CompleteOptions{Size: 4*minPart + 12})
		if err != nil {
			t.Fatalf("%s %s: %v", c.alg, c.kind, err)
		}
		whole := bytes.Join(bodies, nil)
		if !bytes.Equal(w.read(v), whole) {
			t.Errorf("%s %s: the object is not the parts", c.alg, c.kind)
		}
		st, err := w.store.Stat(t.Context(), v.Blob)
		if err != nil {
			t.Fatal(err)
		}
		if told, _, err := record.Parse(st.Meta); err != nil || told.Key != "film.mp4" || told.ID != v.ID || told.ContentType != "video/mp4" {
			t.Errorf("the blob tells of itself %v (%v)", st.Meta, err)
		}
		sums := md5.New()
		for _, b := range bodies {
			s := md5.Sum(b)
			sums.Write(s[:])
		}
		if want := hex.EncodeToString(sums.Sum(nil)) + "-3"; v.ETag != want {
			t.Errorf("ETag %s, want %s", v.ETag, want)
		}
		if v.CRC64 != checksum.Sum64(whole) || v.Size != int64(len(whole)) || len(v.Parts) != 3 || v.Parts[1].Number != 4 || v.ContentType != "video/mp4" {
			t.Errorf("%s %s: %+v", c.alg, c.kind, v)
		}
		alg, kind := c.alg, c.kind
		if alg == "" {
			alg, kind = checksum.CRC64NVME, "FULL_OBJECT" // as S3 does
		}
		want := sumOf(alg, whole)
		if kind == "COMPOSITE" {
			var each []string
			for _, b := range bodies {
				each = append(each, sumOf(alg, b))
			}
			if want, err = checksum.Composite(alg, each); err != nil {
				t.Fatal(err)
			}
		}
		if v.Checksums[string(alg)] != want || v.ChecksumType != kind {
			t.Errorf("%s %s: %v of type %s, want %s", alg, kind, v.Checksums, v.ChecksumType, want)
		}
		// The answer got lost and the client asks again.
		again, err := w.uploads.Completed(t.Context(), "films", "film.mp4", u.ID, named(parts...))
		if err != nil || again.ID != v.ID || again.ETag != v.ETag {
			t.Errorf("Completed = %+v, %v", again, err)
		}
		if again, err = w.uploads.Complete(t.Context(), u, named(parts...), unsized()); err != nil || again.ID != v.ID {
			t.Errorf("Complete again = %+v, %v", again, err)
		}
		if _, err := w.uploads.Completed(t.Context(), "films", "film.mp4", u.ID, named(parts[:2]...)); !errors.Is(err, metadata.ErrNoSuchUpload) {
			t.Errorf("Completed of other parts = %v", err)
		}
	}
	if _, uploads := w.left(); uploads != 0 {
		t.Errorf("%d uploads are left in the store", uploads)
	}
}

func sumOf(alg checksum.Algorithm, b []byte) string {
	s := checksum.NewSet(alg)
	_, _ = s.Write(b)
	return s.Sums()[string(alg)]
}

func TestWhatCompleteRefusesChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.begin(checksum.CRC32, "FULL_OBJECT")
	one := w.put(u, 1, content(1, minPart), checksum.CRC32)
	small := w.put(u, 2, content(2, minPart-1), checksum.CRC32)
	last := w.put(u, 3, content(3, 10), checksum.CRC32)
	wrongTag, wrongSum := one, one
	wrongTag.ETag = last.ETag
	wrongSum.Checksums = map[string]string{"crc32": "AAAAAA=="}
	for name, c := range map[string]struct {
		parts []upload.CompletePart
		opts  upload.CompleteOptions
		want  error
	}{
		"no parts":       {nil, unsized(), metadata.ErrInvalid},
		"wrong order":    {named(last, one), unsized(), upload.ErrPartOrder},
		"a part twice":   {named(one, one), unsized(), upload.ErrPartOrder},
		"unknown part":   {named(one, metadata.Part{Number: 4, ETag: one.ETag}), unsized(), metadata.ErrInvalidPart},
		"wrong ETag":     {named(wrongTag), unsized(), metadata.ErrInvalidPart},
		"wrong checksum": {named(wrongSum), unsized(), metadata.ErrInvalidPart},
		"too small":      {named(small, last), unsized(), upload.ErrPartTooSmall},
		"wrong size":     {named(one, last), upload.CompleteOptions{Size: 1}, upload.ErrWrongSize},
		"wrong sum of the whole": {named(one, last), upload.CompleteOptions{Size: -1, Checksums: map[string]string{"crc32": "AAAAAA=="}},
			upload.ErrChecksum},
		"condition": {named(one, last), upload.CompleteOptions{Size: -1, Cond: metadata.Cond{IfMatch: []string{"x"}}}, metadata.ErrNoSuchKey},
	} {
		if v, err := w.uploads.Complete(t.Context(), u, c.parts, c.opts); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v, want %v", name, v, err, c.want)
		}
	}
	if blobs, uploads := w.left(); blobs != 0 || uploads != 1 {
		t.Errorf("%d blobs and %d uploads in the store", blobs, uploads)
	}
	// Parts can still be put, and the upload completed.
	last = w.put(u, 3, content(4, 20), checksum.CRC32)
	v, err := w.uploads.Complete(t.Context(), u, named(one, last), upload.CompleteOptions{
		Size: minPart + 20, Checksums: map[string]string{"crc32": sumOf(checksum.CRC32, append(content(1, minPart), content(4, 20)...))},
		Cond: metadata.Cond{IfNoneMatch: []string{"*"}},
	})
	if err != nil || !bytes.Equal(w.read(v), append(content(1, minPart), content(4, 20)...)) {
		t.Errorf("Complete = %+v, %v", v, err)
	}
}

func TestARefusedPartIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.begin("", "")
	refused := errors.New("BadDigest")
	put := func(n int, size int64, body string, verify func(map[string]string) error) error {
		_, err := w.uploads.PutPart(t.Context(), u, n, size, strings.NewReader(body), nil, verify)
		return err
	}
	for name, c := range map[string]struct{ got, want error }{
		"checksum":    {put(1, 3, "abc", func(map[string]string) error { return refused }), refused},
		"short":       {put(1, 4, "abc", nil), blob.ErrSize},
		"number 0":    {put(0, 3, "abc", nil), metadata.ErrInvalid},
		"number high": {put(upload.MaxParts+1, 3, "abc", nil), metadata.ErrInvalid},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	for p, err := range w.catalog.Parts(t.Context(), u.ID, 0) {
		t.Errorf("part %+v, %v", p, err)
	}
	elsewhere := u
	elsewhere.Region = "asia"
	if _, err := w.uploads.PutPart(t.Context(), elsewhere, 1, 1, strings.NewReader("x"), nil, nil); !errors.Is(err, upload.ErrWrongRegion) || !strings.Contains(err.Error(), "asia") {
		t.Errorf("part of another region's upload: %v", err)
	}
}

// TestRacesLeaveNoHalfState lets everything happen to an upload at once.
func TestRacesLeaveNoHalfState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	for round := range 15 {
		u := w.begin("", "")
		one, two := content(byte(round), minPart), content(byte(round+100), 10)
		parts := named(w.put(u, 1, one), w.put(u, 2, two))
		var mu sync.Mutex
		var done []metadata.Version
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				v, err := w.uploads.Complete(ctx, u, parts, unsized())
				if err == nil {
					mu.Lock()
					done = append(done, v)
					mu.Unlock()
				} else if !errors.Is(err, metadata.ErrNoSuchUpload) && !errors.Is(err, metadata.ErrInvalidPart) {
					t.Errorf("Complete = %v", err)
				}
			})
			wg.Go(func() { // the same bytes, so that either part may be meant
				_, err := w.uploads.PutPart(ctx, u, 1, minPart, bytes.NewReader(one), nil, nil)
				if err != nil && !errors.Is(err, metadata.ErrNoSuchUpload) {
					t.Errorf("PutPart = %v", err)
				}
			})
			if i == 0 && round%3 != 0 {
				wg.Go(func() {
					if err := w.uploads.Abort(ctx, u); err != nil && !errors.Is(err, metadata.ErrNoSuchUpload) {
						t.Errorf("Abort = %v", err)
					}
				})
			}
		}
		wg.Wait()
		v, err := w.catalog.Lookup(ctx, metadata.Ref{Bucket: "films", Key: "film.mp4", VersionID: u.ID})
		switch {
		case err == nil:
			if got := w.read(v); !bytes.Equal(got, append(bytes.Clone(one), two...)) {
				t.Errorf("round %d: the object has %d wrong bytes", round, len(got))
			}
		case !errors.Is(err, metadata.ErrNoSuchVersion) && !errors.Is(err, metadata.ErrNoSuchKey):
			t.Fatal(err)
		case len(done) > 0:
			t.Errorf("round %d: a Complete succeeded and there is no object", round)
		}
		for _, d := range done {
			if d.ID != u.ID {
				t.Errorf("round %d: a Complete answers %s", round, d.ID)
			}
		}
		if err != nil { // aborted, or every Complete met a part in exchange
			if err := w.uploads.Abort(ctx, u); err != nil && !errors.Is(err, metadata.ErrNoSuchUpload) {
				t.Error(err)
			}
			if _, err := w.store.Stat(ctx, u.Template.Blob); err == nil {
				t.Errorf("round %d: an aborted upload left its blob", round)
			}
		}
		if _, uploads := w.left(); uploads != 0 {
			t.Fatalf("round %d: %d uploads are left in the store", round, uploads)
		}
	}
}

func TestExpireEndsAbandonedUploads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := time.Now()
	w.uploads = upload.New(upload.Options{
		Region: pgtest.Region, Store: w.store, Catalog: w.catalog, Log: slog.New(slog.DiscardHandler), MinPart: minPart,
		Now: func() time.Time { return now },
	})
	var old []metadata.Upload
	for range 3 {
		u := w.begin("", "")
		w.put(u, 1, content(1, 10))
		old = append(old, u)
	}
	now = now.Add(7 * 24 * time.Hour)
	young := w.begin("", "")
	if n, err := w.uploads.Expire(t.Context(), 6*24*time.Hour); n != 3 || err != nil {
		t.Errorf("Expire = %d, %v, want 3", n, err)
	}
	for _, u := range old {
		if _, err := w.catalog.Upload(t.Context(), "films", "film.mp4", u.ID); !errors.Is(err, metadata.ErrNoSuchUpload) {
			t.Errorf("expired upload: %v", err)
		}
	}
	if _, uploads := w.left(); uploads != 1 {
		t.Errorf("%d uploads in the store, want the young one", uploads)
	}
	w.put(young, 1, []byte("still here"))
}

// TestManyParts holds an upload of many parts to its bytes and its order.
func TestManyParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.begin("", "")
	const n = 300
	parts := make([]metadata.Part, n)
	var want bytes.Buffer
	var wg sync.WaitGroup
	gate := make(chan struct{}, 8)
	for i := range n {
		b := fmt.Appendf(nil, "%0*d", minPart, i)
		want.Write(b)
		wg.Go(func() {
			gate <- struct{}{}
			parts[i] = w.put(u, i+1, b)
			<-gate
		})
	}
	wg.Wait()
	v, err := w.uploads.Complete(t.Context(), u, named(parts...), unsized())
	if err != nil {
		t.Fatal(err)
	}
	if got := w.read(v); !bytes.Equal(got, want.Bytes()) || v.CRC64 != checksum.Sum64(got) {
		t.Errorf("%d bytes, want %d", len(got), want.Len())
	}
	r, err := w.store.Open(t.Context(), v.Blob, 150*minPart-4, 8)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); string(got) != "01490000" || err != nil {
		t.Errorf("over a seam: %q, %v", got, err)
	}
}
