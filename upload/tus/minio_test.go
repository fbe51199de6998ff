package tus_test

import (
	"bytes"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"meridian/metadata"
	"meridian/origin/blob/bucket"
	"meridian/origin/blob/minio"
	"meridian/origin/blob/miniotest"
	"meridian/upload"
	"meridian/upload/tus"
)

// startOver starts the origin of europe over a bucket of server.
func (w *world) startOver(server *miniotest.Server) *node {
	w.Helper()
	store, err := minio.Open(w.Context(), bucket.Config{
		Endpoint: server.URL, Bucket: server.Bucket(), AccessKey: miniotest.AccessKey, SecretKey: miniotest.SecretKey,
	})
	if err != nil {
		w.Fatal(err)
	}
	w.stores["europe"] = store
	return w.start("europe", "origin-europe", func(o *tus.Options) {
		o.Uploads = upload.New(upload.Options{Region: "europe", Store: store, Catalog: w.catalog, Log: slog.New(slog.DiscardHandler)})
		o.PartSize = 6 << 20
	})
}

// TestOverAnS3Bucket uploads over connections that break into a store that takes
// no part below 5 MiB but the last.
func TestOverAnS3Bucket(t *testing.T) {
	t.Parallel()
	server := miniotest.Shared(t)
	w := newWorld(t)
	n := w.startOver(server)
	random := rand.New(rand.NewPCG(5, 5))
	for _, size := range []int{0, 100, 23<<20 + 5} {
		key := strconv.Itoa(size)
		body := content(7, size)
		url := n.create(size, "key", key)
		for off := int64(0); off < int64(size); {
			cut := off + random.Int64N(9<<20)
			_, _ = n.try("ada", http.MethodPatch, url, &cutReader{b: body[off:], n: cut - off}, headers{"Upload-Offset", strconv.FormatInt(off, 10)})
			off = n.offset(url)
		}
		n.object(key, body)
	}
	if left := n.storeUploads("europe"); left != 0 {
		t.Errorf("%d uploads are left in the store", left)
	}
}

// TestAStoreThatIsDown stops the store of the region where the client is. What
// it has begun waits for the store; what is new goes elsewhere, unless the
// client insists.
func TestAStoreThatIsDown(t *testing.T) {
	t.Parallel()
	server := miniotest.New(t)
	w := newWorld(t)
	europe := w.startOver(server)
	w.start("asia", "origin-asia")
	front := w.front("europe")
	body := content(8, 3*partSize)
	begun := europe.create(len(body), "key", "begun")
	server.Stop(t)

	down := func(a answer) {
		t.Helper()
		if says := w.problem(a, http.StatusServiceUnavailable); !strings.Contains(says, "cannot be reached") || a.Header.Get("Retry-After") == "" {
			t.Errorf("Retry-After %q, %s", a.Header.Get("Retry-After"), says)
		}
	}
	create := func(endpoint, key string, sent io.Reader) answer {
		hs := headers{"Upload-Length", strconv.Itoa(len(body)), "Upload-Metadata", meta("bucket", "films", "key", key)}
		if sent != nil {
			hs = append(hs, "Content-Type", "application/offset+octet-stream")
		}
		return w.ask("ada", http.MethodPost, endpoint+"/v1/tus/", sent, hs)
	}
	down(create(europe.url, "direct", nil))
	down(w.patch(begun, 0, body))
	elsewhere := func(what string, a answer) {
		t.Helper()
		if a.StatusCode != http.StatusCreated || a.Header.Get("X-Meridian-Region") != "asia" {
			t.Errorf("%s: %s in %s %s", what, a.Status, a.Header.Get("X-Meridian-Region"), a.body)
		}
	}
	elsewhere("no body", create(front, "empty", nil))
	elsewhere("with a body", create(front, "whole", bytes.NewReader(body)))
	w.object("whole", body)
	w.mu.Lock()
	w.nodes[0].State = metadata.NodeImpaired
	w.mu.Unlock()
	elsewhere("told by the node", create(front, "told", struct{ io.Reader }{bytes.NewReader(body)}))
	w.object("told", body)

	server.Start(t)
	off := w.offset(begun)
	if a := w.patch(begun, off, body[off:]); a.StatusCode != http.StatusNoContent {
		t.Errorf("when it is back: %s %s", a.Status, a.body)
	}
	w.object("begun", body)
}
