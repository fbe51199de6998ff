package media_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
	"meridian/metadata/media"
)

const secret = "the cluster secret"

// origin serves one version as an origin does to nodes, and counts requests.
type origin struct {
	version metadata.Version
	data    []byte
	asked   atomic.Int64
	status  atomic.Int64 // to answer instead, if not 0
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.asked.Add(1)
	v := sigv4.Verifier{Keys: func(_ context.Context, s sigv4.Scope) ([]byte, error) {
		if s.AccessKey != hop.NodeAccessKey {
			return nil, sigv4.ErrUnknownAccessKey
		}
		return sigv4.DeriveKey(secret, s.Date, s.Region, s.Service), nil
	}}
	switch _, err := v.Verify(r); {
	case err != nil:
		http.Error(w, err.Error(), http.StatusForbidden)
	case o.status.Load() != 0:
		w.WriteHeader(int(o.status.Load()))
	case r.URL.Path != "/"+o.version.Bucket+"/"+o.version.Key || r.Header.Get(hop.RequestVersion) != o.version.ID:
		http.NotFound(w, r)
	default:
		w.Header().Set(hop.Version, o.version.ID)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(o.data))
	}
}

func newOrigin(t *testing.T, region string, v metadata.Version, data []byte) (*origin, metadata.Node) {
	t.Helper()
	o := &origin{version: v, data: data}
	srv := httptest.NewServer(o)
	t.Cleanup(srv.Close)
	return o, metadata.Node{Tier: metadata.TierOrigin, Region: region, URL: srv.URL}
}

func opener(region, secret string, nodes ...metadata.Node) *media.HTTPOpener {
	return media.NewHTTPOpener(media.HTTPOptions{
		Secret: secret, Region: region,
		Nodes: func(context.Context) ([]metadata.Node, error) { return nodes, nil },
	})
}

func TestHTTPReader(t *testing.T) {
	t.Parallel()
	data := make([]byte, 1<<20+11)
	_, _ = rand.Read(data)
	v := metadata.Version{Bucket: "b", Key: "a b//ü+%.jpg", ID: "01A", Size: int64(len(data)), Regions: []string{"asia", "europe"}}
	near, nearNode := newOrigin(t, "europe", v, data)
	far, farNode := newOrigin(t, "asia", v, data)
	none, noneNode := newOrigin(t, "us-west", v, data)
	edge := metadata.Node{Tier: metadata.TierEdge, Region: "europe", URL: "http://edge.invalid"}
	r, err := opener("europe", secret, edge, noneNode, farNode, nearNode).OpenAt(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ off, n int }{{0, 10}, {5, 4096}, {100, 1000}, {128<<10 - 3, 10}, {1 << 20, 11}, {0, 100}} {
		got := make([]byte, c.n)
		if n, err := r.ReadAt(got, int64(c.off)); n != c.n || err != nil || !bytes.Equal(got, data[c.off:c.off+c.n]) {
			t.Errorf("%d bytes at %d: %d, %v", c.n, c.off, n, err)
		}
	}
	if n := near.asked.Load(); n != 3 { // the first two blocks and the last
		t.Errorf("asked %d times", n)
	}
	if n := far.asked.Load() + none.asked.Load(); n != 0 {
		t.Errorf("asked far origins %d times", n)
	}
	if n, err := r.ReadAt(make([]byte, 20), 1<<20); n != 11 || !errors.Is(err, io.EOF) {
		t.Errorf("over the end: %d, %v", n, err)
	}
	// The near origin goes down in the middle of a file.
	near.status.Store(http.StatusServiceUnavailable)
	got := make([]byte, 10)
	if _, err := r.ReadAt(got, 512<<10); err != nil || !bytes.Equal(got, data[512<<10:512<<10+10]) {
		t.Errorf("after a failure: %v", err)
	}
	if far.asked.Load() != 1 {
		t.Errorf("the other holder was asked %d times", far.asked.Load())
	}
	// All of it, through more blocks than are kept.
	if all, err := io.ReadAll(io.NewSectionReader(r, 0, v.Size)); err != nil || !bytes.Equal(all, data) {
		t.Errorf("all of it: %d bytes, %v", len(all), err)
	}
}

func TestHTTPReaderRefuses(t *testing.T) {
	t.Parallel()
	v := metadata.Version{Bucket: "b", Key: "k", ID: "01A", Size: 300 << 10}
	data := make([]byte, v.Size)
	for name, c := range map[string]struct {
		served  metadata.Version
		data    []byte
		secret  string
		missing bool
	}{
		"gone":          {metadata.Version{Bucket: "b", Key: "k", ID: "01B"}, data, secret, true},
		"shorter":       {v, data[:200<<10], secret, false},
		"other secret":  {v, data, "guess", false},
		"other key":     {metadata.Version{Bucket: "b", Key: "k2", ID: "01A"}, data, secret, true},
		"empty content": {v, nil, secret, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, node := newOrigin(t, "europe", c.served, c.data)
			r, err := opener("europe", c.secret, node).OpenAt(t.Context(), v)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := r.ReadAt(make([]byte, 10), 256<<10); err == nil || errors.Is(err, fs.ErrNotExist) != c.missing {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
	if _, err := opener("europe", secret).OpenAt(t.Context(), v); err == nil {
		t.Error("opened without any origin")
	}
}
