package s3api_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"meridian/metadata"
	"meridian/metadata/postgres"
	"meridian/origin"
	"meridian/origin/blob"
	"meridian/origin/blob/bucket"
	"meridian/origin/blob/disk"
	"meridian/origin/blob/minio"
	"meridian/origin/blob/miniotest"
	"meridian/origin/s3api"
	"meridian/upload"
)

// shortStore loses the end of every blob that it reads.
type shortStore struct{ blob.Store }

func (s shortStore) Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	r, err := s.Store.Open(ctx, key, off, n)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r, 1000), r}, nil
}

// A blob that ends early must not look like the end of the object.
func TestShortBlobCutsTheConnection(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	store, err := disk.Open(disk.Config{Dir: t.TempDir(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *s3api.Options) {
		o.Objects = origin.New(origin.Options{Region: region, Store: shortStore{store}, Catalog: o.Catalog.(*postgres.Store), Log: log})
	})
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/bkt/key", pattern(1<<20))
	r := w.request("GET", "/bkt/key", nil)
	w.sign(r, root)
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

// A blob that is gone is our fault, and told before the headers of the object.
func TestMissingBlob(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/bkt/key", pattern(1<<20), "x-amz-meta-secret: 1")
	v, err := w.catalog.Lookup(t.Context(), metadata.Ref{Bucket: "bkt", Key: "key"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.blobs.Delete(t.Context(), v.Blob); err != nil {
		t.Fatal(err)
	}
	r := w.do(root, "GET", "/bkt/key", nil)
	if r.status/100 != 5 || r.header.Get("ETag") != "" || r.header.Get("X-Amz-Meta-Secret") != "" || r.header.Get("Content-Type") != "application/xml" {
		t.Errorf("%d %v", r.status, r.header)
	}
}

// A store that is down is no fault of ours or the client's: it is told in words,
// and when to come again.
func TestAStoreThatIsDown(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	server := miniotest.New(t)
	store, err := minio.Open(t.Context(), bucket.Config{
		Endpoint: server.URL, Bucket: server.Bucket(), AccessKey: miniotest.AccessKey, SecretKey: miniotest.SecretKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *s3api.Options) {
		o.Objects = origin.New(origin.Options{Region: region, Store: store, Catalog: o.Catalog.(*postgres.Store), Log: log})
		o.Uploads = upload.New(upload.Options{Region: region, Store: store, Catalog: o.Catalog.(*postgres.Store), Log: log})
	})
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/bkt/key", pattern(1000))
	server.Stop(t)
	for _, c := range []struct {
		method, path string
		body         []byte
		says         string
	}{
		{"PUT", "/bkt/small", pattern(1000), "The store of this region cannot be reached"},
		{"PUT", "/bkt/large", pattern(3 << 20), "The store of this region cannot be reached"},
		{"POST", "/bkt/parts?uploads", nil, "The store of this region cannot be reached"},
		{"GET", "/bkt/key", nil, "No region that holds the object can be reached"},
	} {
		r := w.refused(root, http.StatusServiceUnavailable, "ServiceUnavailable", c.method, c.path, c.body)
		if !strings.Contains(string(r.body), c.says) || r.header.Get("Retry-After") == "" {
			t.Errorf("%s %s: Retry-After %q, %s", c.method, c.path, r.header.Get("Retry-After"), r.body)
		}
	}
	w.must("HEAD", "/bkt/key", nil)
	server.Start(t)
	w.must("PUT", "/bkt/small", pattern(1000))
	w.must("GET", "/bkt/key", nil)
}
