package tus_test

import (
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"testing"

	"meridian/origin/blob/bucket"
	"meridian/origin/blob/minio"
	"meridian/origin/blob/miniotest"
	"meridian/upload"
	"meridian/upload/tus"
)

// TestOverAnS3Bucket uploads over connections that break into a store that takes
// no part below 5 MiB but the last.
func TestOverAnS3Bucket(t *testing.T) {
	t.Parallel()
	server := miniotest.Shared(t)
	store, err := minio.Open(t.Context(), bucket.Config{
		Endpoint: server.URL, Bucket: server.Bucket(), AccessKey: miniotest.AccessKey, SecretKey: miniotest.SecretKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.stores["europe"] = store
	n := w.start("europe", "origin-europe", func(o *tus.Options) {
		o.Uploads = upload.New(upload.Options{Region: "europe", Store: store, Catalog: w.catalog, Log: slog.New(slog.DiscardHandler)})
		o.PartSize = 6 << 20
	})
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
