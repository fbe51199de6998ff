package origin_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"meridian/internal/checksum"
	"meridian/metadata"
	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgtest"
	"meridian/origin"
	"meridian/origin/blob"
	"meridian/origin/blob/disk"
	"meridian/origin/record"
)

// world is a region with a real store and a real catalogue.
type world struct {
	t       *testing.T
	dir     string
	store   *disk.Store
	catalog *postgres.Store
	objects *origin.Objects
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), catalog: pgtest.New(t)}
	var err error
	if w.store, err = disk.Open(disk.Config{Dir: w.dir, HeadRoom: -1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close() })
	if _, err := w.catalog.CreateBucket(t.Context(), metadata.Bucket{Name: "photos", Region: pgtest.Region, Owner: "root"}); err != nil {
		t.Fatal(err)
	}
	w.objects = w.with(w.catalog)
	return w
}

func (w *world) with(c origin.Catalog) *origin.Objects {
	return origin.New(origin.Options{Region: pgtest.Region, Store: w.store, Catalog: c, Log: slog.New(slog.DiscardHandler)})
}

// blobs are the keys in the store.
func (w *world) blobs() (keys []string) {
	w.t.Helper()
	for info, err := range w.store.List(context.Background(), "") {
		if err != nil {
			w.t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func (w *world) wantNothing(key string) {
	w.t.Helper()
	if _, err := w.objects.Stat(context.Background(), metadata.Ref{Bucket: "photos", Key: key}); !errors.Is(err, metadata.ErrNoSuchKey) {
		w.t.Errorf("Stat = %v, want ErrNoSuchKey", err)
	}
	if left := w.blobs(); len(left) > 0 {
		w.t.Errorf("left in the store: %v", left)
	}
}

func input(key, body string) origin.PutInput {
	return origin.PutInput{
		Template: metadata.Version{Bucket: "photos", Key: key, Owner: "root", ContentType: "image/jpeg"},
		Body:     strings.NewReader(body), Size: int64(len(body)),
	}
}

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

func readAll(t *testing.T, o *origin.Objects, v metadata.Version, off, n int64) (string, bool, error) {
	t.Helper()
	body, region, err := o.Open(t.Context(), v, off, n)
	local := region == o.Region
	if err != nil {
		return "", local, err
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	return string(b), local, err
}

func TestPutStatOpenDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := input("trip/beach.JPG", "hello, world")
	in.Algorithms = []checksum.Algorithm{checksum.CRC64NVME, checksum.SHA256}
	in.Verify = func(sums map[string]string) error {
		if sums["etag"] != md5Hex("hello, world") || sums["sha256"] == "" {
			return errors.New("wrong sums")
		}
		return nil
	}
	v, err := w.objects.Put(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if v.ETag != md5Hex("hello, world") || v.Size != 12 || v.CRC64 != checksum.Sum64([]byte("hello, world")) ||
		v.Checksums["crc64nvme"] != checksum.EncodeCRC64(v.CRC64) || v.Checksums["etag"] != "" || v.ChecksumType != origin.FullObject ||
		v.Blob != "photos/"+v.ID+".jpg" || len(v.Regions) != 1 || v.Seq.IsZero() {
		t.Errorf("put %+v", v)
	}
	found, err := w.objects.Stat(t.Context(), metadata.Ref{Bucket: "photos", Key: "trip/beach.JPG"})
	if err != nil || found.ID != v.ID || !found.Modified.Equal(v.Modified) {
		t.Errorf("Stat = %+v, %v", found, err)
	}
	st, err := w.store.Stat(t.Context(), v.Blob)
	if err != nil {
		t.Fatal(err)
	}
	if told, _, err := record.Parse(st.Meta); st.CRC64 != 0 && (err != nil || told.Bucket != v.Bucket || told.Key != v.Key || told.ID != v.ID) {
		t.Errorf("the blob tells of itself %v (%v)", st.Meta, err)
	}
	if got, local, err := readAll(t, w.objects, found, 7, 3); got != "wor" || !local || err != nil {
		t.Errorf("range = %q, local %t, %v", got, local, err)
	}
	copied, err := w.objects.Copy(t.Context(), found, input("copy.jpg", ""))
	if err != nil || copied.ETag != v.ETag || copied.Blob == v.Blob {
		t.Errorf("Copy = %+v, %v", copied, err)
	}
	empty, err := w.objects.Put(t.Context(), input("empty", ""))
	if err != nil || empty.Size != 0 || empty.ETag != md5Hex("") {
		t.Errorf("empty object: %+v, %v", empty, err)
	}
	if got, _, err := readAll(t, w.objects, empty, 0, -1); got != "" || err != nil {
		t.Errorf("empty object reads %q, %v", got, err)
	}
	if _, err := w.objects.Delete(t.Context(), metadata.Ref{Bucket: "photos", Key: "copy.jpg"}, metadata.Cond{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.objects.Stat(t.Context(), metadata.Ref{Bucket: "photos", Key: "copy.jpg"}); !errors.Is(err, metadata.ErrNoSuchKey) {
		t.Errorf("after Delete: %v", err)
	}
}

// What nothing else tells is told by the first bytes, in whatever pieces they
// come.
func TestPhotosWithoutANameForItAreKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	png := "\x89PNG\r\n\x1a\n" + strings.Repeat("x", 600)
	for key, c := range map[string]struct{ contentType, body, want string }{
		"9f86d081":   {"", png, "image/png"},
		"9f86d082":   {"binary/octet-stream", png, "image/png"},
		"named.png":  {"binary/octet-stream", png, ""}, // its name tells
		"9f86d083":   {"text/plain", png, ""},          // its type does
		"9f86d084":   {"", "some words", ""},
		"9f86d085":   {"", "", ""},
		"backup.tar": {"application/octet-stream", "ustar", ""},
	} {
		in := input(key, c.body)
		in.Template.ContentType = c.contentType
		in.Body = iotest.OneByteReader(in.Body)
		v, err := w.objects.Put(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if found, err := w.objects.Stat(t.Context(), metadata.Ref{Bucket: "photos", Key: key}); err != nil || found.Sniffed != c.want || v.Sniffed != c.want {
			t.Errorf("%s: %q, then %q, want %q (%v)", key, v.Sniffed, found.Sniffed, c.want, err)
		}
	}
}

type brokenReader struct{ err error }

func (r brokenReader) Read([]byte) (int, error) { return 0, r.err }

func TestARefusedPutLeavesNothing(t *testing.T) {
	t.Parallel()
	refused := errors.New("BadDigest")
	for name, c := range map[string]struct {
		change func(*origin.PutInput)
		want   error
	}{
		"checksum":      {func(in *origin.PutInput) { in.Verify = func(map[string]string) error { return refused } }, refused},
		"broken body":   {func(in *origin.PutInput) { in.Body = io.MultiReader(in.Body, brokenReader{refused}) }, refused},
		"short body":    {func(in *origin.PutInput) { in.Size++ }, blob.ErrSize},
		"long body":     {func(in *origin.PutInput) { in.Size-- }, blob.ErrSize},
		"precondition":  {func(in *origin.PutInput) { in.Cond.IfMatch = []string{"nope"} }, metadata.ErrNoSuchKey},
		"no bucket":     {func(in *origin.PutInput) { in.Template.Bucket = "nowhere" }, metadata.ErrNoSuchBucket},
		"malformed key": {func(in *origin.PutInput) { in.Template.Key = "a\x00b" }, metadata.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			in := input("key", "some bytes")
			c.change(&in)
			if _, err := w.objects.Put(t.Context(), in); !errors.Is(err, c.want) {
				t.Errorf("Put = %v, want %v", err, c.want)
			}
			w.wantNothing("key")
		})
	}
}

// doubtful is a catalogue whose connection breaks: before it commits, or after.
type doubtful struct {
	origin.Catalog
	before, after int
	commits       int
}

var errLost = errors.New("connection lost")

func (d *doubtful) Commit(ctx context.Context, v metadata.Version, c metadata.Cond) (metadata.Version, error) {
	if d.commits++; d.before > 0 {
		d.before--
		return metadata.Version{}, errLost
	}
	done, err := d.Catalog.Commit(ctx, v, c)
	if d.after > 0 {
		d.after--
		return metadata.Version{}, errLost
	}
	return done, err
}

func TestACommitInDoubtNeverLosesItsBlob(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	once := &doubtful{Catalog: w.catalog, after: 1}
	v, err := w.with(once).Put(t.Context(), input("again", "body"))
	if err != nil || once.commits != 2 {
		t.Errorf("a commit whose answer was lost: %v after %d tries", err, once.commits)
	}
	if got, _, err := readAll(t, w.objects, v, 0, -1); got != "body" || err != nil {
		t.Errorf("it reads %q, %v", got, err)
	}
	// Lost for good, although it was done: a reader finds the whole object.
	if _, err := w.with(&doubtful{Catalog: w.catalog, after: 10}).Put(t.Context(), input("lost", "body")); !errors.Is(err, errLost) {
		t.Errorf("Put = %v, want the lost connection", err)
	}
	if v, err = w.objects.Stat(t.Context(), metadata.Ref{Bucket: "photos", Key: "lost"}); err != nil {
		t.Fatal(err)
	}
	if got, _, err := readAll(t, w.objects, v, 0, -1); got != "body" || err != nil {
		t.Errorf("it reads %q, %v", got, err)
	}
	// In doubt first and then refused: the first attempt may still come through.
	first := &doubtful{Catalog: w.catalog, before: 1}
	in := input("lost", "other")
	in.Cond.IfNoneMatch = []string{"*"}
	if _, err := w.with(first).Put(t.Context(), in); !errors.Is(err, metadata.ErrPrecondition) {
		t.Errorf("Put = %v, want ErrPrecondition", err)
	}
	if n := len(w.blobs()); n != 3 {
		t.Errorf("%d blobs, want 3: the one in doubt is the sweeper's", n)
	}
	// Likewise where the catalogue has asked again by itself.
	in.Body = strings.NewReader("other")
	if _, err := w.with(asked{w.catalog}).Put(t.Context(), in); !errors.Is(err, metadata.ErrPrecondition) {
		t.Errorf("Put = %v, want ErrPrecondition", err)
	}
	if n := len(w.blobs()); n != 4 {
		t.Errorf("%d blobs, want 4: the one in doubt is the sweeper's", n)
	}
}

// asked is a catalogue that has lost an answer before it refuses.
type asked struct{ origin.Catalog }

func (c asked) Commit(ctx context.Context, v metadata.Version, cond metadata.Cond) (metadata.Version, error) {
	done, err := c.Catalog.Commit(ctx, v, cond)
	if err != nil {
		err = fmt.Errorf("%w; %w", err, metadata.ErrInDoubt)
	}
	return done, err
}

func TestAClientThatLeavesAfterItsBodyIsCommitted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	in := input("key", "body")
	in.Verify = func(map[string]string) error { return nil }
	o := w.with(cancelling{w.catalog, cancel})
	if _, err := o.Put(ctx, in); err != nil {
		t.Errorf("Put = %v", err)
	}
	if _, err := w.objects.Stat(t.Context(), metadata.Ref{Bucket: "photos", Key: "key"}); err != nil {
		t.Error(err)
	}
}

// cancelling ends the client's context just before the commit.
type cancelling struct {
	origin.Catalog
	cancel context.CancelFunc
}

func (c cancelling) Commit(ctx context.Context, v metadata.Version, cond metadata.Cond) (metadata.Version, error) {
	c.cancel()
	return c.Catalog.Commit(ctx, v, cond)
}

func TestCopyOfACorruptBlobIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v, err := w.objects.Put(t.Context(), input("key.txt", strings.Repeat("x", 1000)))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.dir, "blobs", "photos", v.ID[6:8], v.ID+".txt")
	if err := os.WriteFile(path, bytes.Repeat([]byte("y"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.objects.Copy(t.Context(), v, input("copy", "")); !errors.Is(err, blob.ErrCorrupt) {
		t.Errorf("Copy = %v, want ErrCorrupt", err)
	}
	if n := len(w.blobs()); n != 1 {
		t.Errorf("%d blobs, want only the source", n)
	}
}

// regions answers for other regions by name.
type regions map[string]func() (io.ReadCloser, error)

func (r regions) Open(_ context.Context, region string, _ metadata.Version, _, _ int64) (io.ReadCloser, error) {
	return r[region]()
}

func TestOpenAsksTheOtherRegionsThatHoldTheBlob(t *testing.T) {
	t.Parallel()
	store, err := disk.Open(disk.Config{Dir: t.TempDir(), HeadRoom: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	down := errors.New("connection refused")
	peers := regions{
		"asia":    func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("bytes")), nil },
		"us-west": func() (io.ReadCloser, error) { return nil, fs.ErrNotExist },
		"africa":  func() (io.ReadCloser, error) { return nil, down },
	}
	o := origin.New(origin.Options{Region: "europe", Store: store, Peers: peers, Log: slog.New(slog.DiscardHandler)})
	for name, c := range map[string]struct {
		regions       string
		body          string
		missing, away bool
	}{
		"second of two":         {"us-west asia", "bytes", false, false},
		"own lost it":           {"europe africa asia", "bytes", false, false},
		"nobody has it":         {"europe us-west", "", true, false},
		"one may have it":       {"europe us-west africa", "", false, true},
		"no region is recorded": {"", "", false, true},
	} {
		v := metadata.Version{Blob: "b/k", Size: 5, Regions: strings.Fields(c.regions)}
		got, local, err := readAll(t, o, v, 0, -1)
		if got != c.body || local || errors.Is(err, fs.ErrNotExist) != c.missing || errors.Is(err, origin.ErrUnavailable) != c.away {
			t.Errorf("%s: %q, local %t, %v", name, got, local, err)
		}
	}
}

// broken ends with an error after its text.
func broken(text string) io.ReadCloser {
	return io.NopCloser(io.MultiReader(strings.NewReader(text), iotest.ErrReader(errors.New("connection reset"))))
}

func TestABodyThatBreaksOffGoesOnFromTheNextRegion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const whole = "0123456789"
	var asked []string
	at := func(region string, body func(rest string) io.ReadCloser) rangeOf {
		return func(off, n int64) (io.ReadCloser, error) {
			asked = append(asked, fmt.Sprint(region, " ", off, " ", n))
			return body(whole[off : off+n]), nil
		}
	}
	plain := func(rest string) io.ReadCloser { return io.NopCloser(strings.NewReader(rest)) }
	o := origin.New(origin.Options{
		Region: pgtest.Region, Store: w.store, Log: slog.New(slog.DiscardHandler),
		Nearest: func(r []string) []string { slices.Sort(r); return r },
		Peers: ranges{
			"a": at("a", func(rest string) io.ReadCloser { return broken(rest[:2]) }),
			"b": at("b", func(rest string) io.ReadCloser { return plain(rest[:1]) }), // ends early, cleanly
			"c": at("c", plain),
		},
	})
	v := metadata.Version{Blob: "b/k", Size: 10, Regions: []string{"c", "b", "a"}}
	if got, _, err := readAll(t, o, v, 3, 5); got != whole[3:8] || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	if want := "a 3 5; b 5 3; c 6 2"; strings.Join(asked, "; ") != want {
		t.Errorf("asked %q, want %q", asked, want)
	}
	v.Regions = []string{"a", "b"}
	if got, _, err := readAll(t, o, v, 0, -1); got != whole[:3] || !errors.Is(err, origin.ErrUnavailable) {
		t.Errorf("where all break off: read %q, %v", got, err)
	}
}

// ranges are regions that answer for ranges.
type ranges map[string]rangeOf

type rangeOf func(off, n int64) (io.ReadCloser, error)

func (r ranges) Open(_ context.Context, region string, _ metadata.Version, off, n int64) (io.ReadCloser, error) {
	return r[region](off, n)
}

func TestARegionThatFailsIsAskedLastForAWhile(t *testing.T) {
	t.Parallel()
	now := time.Now()
	tries := 0
	down := errors.New("connection refused")
	peers := regions{
		"near": func() (io.ReadCloser, error) { tries++; return io.NopCloser(strings.NewReader("near!")), down },
		"far":  func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("far..")), nil },
	}
	o := origin.New(origin.Options{Region: "europe", Peers: peers, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
	v := metadata.Version{Blob: "b/k", Size: 5, Regions: []string{"near", "far"}}
	read := func(want string, wantTries int) {
		t.Helper()
		if got, _, err := readAll(t, o, v, 0, -1); got != want || err != nil || tries != wantTries {
			t.Errorf("read %q, %v after %d tries of the near one, want %q after %d", got, err, tries, want, wantTries)
		}
	}
	read("far..", 1)
	read("far..", 2)
	for range 5 {
		read("far..", 2) // it is not waited for
	}
	now = now.Add(1100 * time.Millisecond)
	read("far..", 3)
	read("far..", 3)
	down = nil
	now = now.Add(1100 * time.Millisecond)
	read("far..", 3) // the pause has doubled
	now = now.Add(time.Second)
	read("near!", 4)
	read("near!", 5)
	// What only one region has is asked of that one, however it does.
	down = errors.New("connection refused")
	v.Regions = []string{"near"}
	for range 4 {
		if _, _, err := readAll(t, o, v, 0, -1); !errors.Is(err, origin.ErrUnavailable) {
			t.Errorf("read = %v", err)
		}
	}
	if tries != 9 {
		t.Errorf("%d tries", tries)
	}
}
