package s3api_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"meridian/internal/hop"
	"meridian/metadata/postgres"
	"meridian/origin"
	"meridian/origin/blob"
	"meridian/origin/blob/disk"
	"meridian/origin/s3api"
)

// stuckStore opens nothing until whoever asks gives up, or a while has passed.
type stuckStore struct{ blob.Store }

func (s stuckStore) Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(5 * time.Second):
		return s.Store.Open(ctx, key, off, n)
	}
}

// A node tells how long it waits, and nobody works for it any longer. From others
// the header means nothing.
func TestNodesGiveUp(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	store, err := disk.Open(disk.Config{Dir: t.TempDir(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *s3api.Options) {
		o.Objects = origin.New(origin.Options{Region: region, Store: stuckStore{store}, Catalog: o.Catalog.(*postgres.Store), Log: log})
	})
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/bkt/key", []byte("body"))
	if r := w.do(node, "GET", "/bkt/key", nil, hop.RequestTimeout+": 50"); r.status != 503 {
		t.Errorf("a node that gave up: %d %s", r.status, r.body)
	}
	if r := w.do(root, "GET", "/bkt/key", nil, hop.RequestTimeout+": 50"); r.status != 200 || string(r.body) != "body" {
		t.Errorf("a client: %d %s", r.status, r.body)
	}
}
