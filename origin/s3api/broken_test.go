package s3api_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"testing"

	"meridian/metadata"
	"meridian/metadata/postgres"
	"meridian/origin"
	"meridian/origin/blob"
	"meridian/origin/blob/disk"
	"meridian/origin/s3api"
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
