package s3api_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"meridian/metadata"
	"meridian/origin"
	"meridian/origin/s3api"
)

// otherRegion answers for a region that holds the blob too.
type otherRegion struct{ body string }

func (o otherRegion) Open(_ context.Context, _ string, _ metadata.Version, off, n int64) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(o.body[off : off+n])), nil
}

func TestPlacementAtCreation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bucket := func(name string) metadata.Bucket {
		t.Helper()
		b, err := w.catalog.Bucket(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	w.must("PUT", "/plain", nil)
	if b := bucket("plain"); b.Placement.Mode() != metadata.PlacedHome || len(b.Residency) != 0 {
		t.Errorf("without headers: %+v", b)
	}
	w.must("PUT", "/spread", nil, "X-Meridian-Placement: us-west, asia", "X-Meridian-Residency: us-west,asia")
	if b := bucket("spread"); strings.Join(b.Placement, " ") != "us-west asia" || strings.Join(b.Residency, " ") != "us-west asia" {
		t.Errorf("with headers: %+v", b)
	}
	w.must("PUT", "/everywhere", nil, "X-Meridian-Placement: all")
	if b := bucket("everywhere"); b.Placement.Mode() != metadata.PlacedAll {
		t.Errorf("everywhere: %+v", b)
	}
	for _, headers := range []string{"X-Meridian-Placement: mars", "X-Meridian-Residency: mars,us-west", "X-Meridian-Residency: asia"} {
		r := w.refused(root, http.StatusBadRequest, "InvalidArgument", "PUT", "/refused", nil, headers)
		if strings.Contains(headers, "mars") && !strings.Contains(r.error(t).Message, "us-west, europe, asia") {
			t.Errorf("%s: the known regions are not named: %s", headers, r.body)
		}
	}
	w.refused(root, http.StatusNotFound, "NoSuchBucket", "GET", "/refused", nil)
}

func TestAWriteWhereTheBucketMayNotBeIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.catalog.CreateBucket(t.Context(), metadata.Bucket{Name: "european", Region: "europe", Owner: "root", Residency: []string{"europe", "asia"}}); err != nil {
		t.Fatal(err)
	}
	w.must("PUT", "/free", nil)
	w.must("PUT", "/free/a", []byte("x"))
	for _, r := range []reply{
		w.refused(root, http.StatusBadRequest, "IllegalLocationConstraintException", "PUT", "/european/a", []byte("x")),
		w.refused(root, http.StatusBadRequest, "IllegalLocationConstraintException", "PUT", "/european/a", nil, "X-Amz-Copy-Source: /free/a"),
		w.refused(root, http.StatusBadRequest, "IllegalLocationConstraintException", "POST", "/european/a?uploads", nil),
	} {
		if m := r.error(t).Message; !strings.Contains(m, "europe, asia") {
			t.Errorf("the refusal does not say where to write: %q", m)
		}
	}
	if n := w.blobCount(); n != 1 {
		t.Errorf("%d blobs in the store, want only that of the free bucket", n)
	}
}

func TestReplicationStatus(t *testing.T) {
	t.Parallel()
	const body = "the bytes"
	w := newWorld(t, func(o *s3api.Options) {
		o.Objects = origin.New(origin.Options{Region: region, Store: o.Objects.Store, Catalog: o.Catalog, Peers: otherRegion{body}, Log: slog.New(slog.DiscardHandler)})
	})
	ctx := t.Context()
	for _, r := range []string{region, "asia"} {
		if err := w.catalog.AddRegion(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	status := func(path, want, wantRegion string) {
		t.Helper()
		for _, method := range []string{"GET", "HEAD"} {
			r := w.must(method, path, nil)
			if got := r.header.Get("X-Amz-Replication-Status"); got != want {
				t.Errorf("%s %s: status %q, want %q", method, path, got, want)
			}
			if got := r.header.Get("X-Meridian-Region"); method == "GET" && got != wantRegion {
				t.Errorf("%s: answered by %q, want %q", path, got, wantRegion)
			}
		}
	}
	w.must("PUT", "/plain", nil)
	w.must("PUT", "/plain/a", []byte(body))
	status("/plain/a", "", region)
	w.must("PUT", "/spread", nil, "X-Meridian-Placement: all")
	w.must("PUT", "/spread/a", []byte(body))
	status("/spread/a", "PENDING", region)
	for range 5 {
		list, err := w.catalog.TakeCopies(ctx, "asia", "me", 1, time.Hour)
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		if err := w.catalog.CopyFailed(ctx, list[0], "no route", 0); err != nil {
			t.Fatal(err)
		}
	}
	status("/spread/a", "FAILED", region)
	v, err := w.catalog.Lookup(ctx, metadata.Ref{Bucket: "spread", Key: "a"})
	if err == nil {
		err = w.catalog.Placed(ctx, v.Blob, "asia")
	}
	if err != nil {
		t.Fatal(err)
	}
	status("/spread/a", "COMPLETED", region)
	if got := w.do(node, "GET", "/spread/a", nil).header.Get("X-Amz-Replication-Status"); got != "" {
		t.Errorf("a cache is told %q, which would go out of date there", got)
	}

	// What another region took.
	commit := func(key string, regions ...string) {
		t.Helper()
		_, err := w.catalog.Commit(ctx, metadata.Version{
			Bucket: "spread", Key: key, ID: v.ID[:20] + key + v.ID[20+len(key):], Size: int64(len(body)), ETag: "e", Blob: "spread/" + key, Regions: regions,
		}, metadata.Cond{})
		if err != nil {
			t.Fatal(err)
		}
	}
	commit("THERE", "asia")
	status("/spread/THERE", "PENDING", "asia")
	commit("BOTH", "asia", region)
	r := w.must("HEAD", "/spread/BOTH", nil)
	if got := r.header.Get("X-Amz-Replication-Status"); got != "REPLICA" {
		t.Errorf("a copy of what another region took: %q", got)
	}
}
