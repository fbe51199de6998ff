package main

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	miniocredentials "github.com/minio/minio-go/v7/pkg/credentials"

	"meridian/origin/blob/miniotest"
	"meridian/origin/record"
)

func TestStoreOptionsThatDoNotGoTogetherAreRefused(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--store tape":                      "none of disk, minio and s3",
		"--store mino":                      `did you mean "minio"?`,
		"--store-bucket b --store-region r": "--store-bucket, --store-region: only for --store minio or --store s3",
		"--store minio":                     "needs --store-endpoint",
		"--store minio --store-endpoint http://m:9000":                                                       "needs --store-access-key and --store-secret-key",
		"--store minio --store-endpoint m:9000 --store-access-key a --store-secret-key b":                    "is not a URL like http://minio:9000",
		"--store minio --store-endpoint http://m:9000/b --store-access-key a --store-secret-key b":           "has a path or a query",
		"--store minio --store-endpoint http://sesame@m:9000 --store-access-key a --store-secret-key b":      "user name or password",
		"--store s3 --store-access-key a":                                                                    "go together",
		"--store minio --store-endpoint http://a,http://b --store-access-key a --store-secret-key b":         "give one for all regions, or 3",
		"--store minio --store-bucket x --store-endpoint http://a --store-access-key a --store-secret-key b": "a bucket of its own",
	} {
		var o storeOptions
		s := newSettings("origin", noEnv, io.Discard)
		o.declare(s)
		if _, err := s.parse(strings.Fields(args)); err != nil {
			t.Fatal(err)
		}
		err := o.check()
		if strings.HasPrefix(want, "give one") || strings.HasPrefix(want, "a bucket") {
			_, err = o.perRegion(3)
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}

// TestRegionsOverMinIO puts a photo into Meridian over a MinIO and finds it there
// with another tool.
func TestRegionsOverMinIO(t *testing.T) {
	t.Parallel()
	server := miniotest.New(t)
	c := startDev(t, "--store", "minio", "--store-endpoint", server.URL,
		"--store-access-key", miniotest.AccessKey, "--store-secret-key", miniotest.SecretKey)
	client := c.minio(c.s3(1))
	if err := client.MakeBucket(t.Context(), "photos", minio.MakeBucketOptions{Region: "europe"}); err != nil {
		t.Fatal(err)
	}
	c.call("PATCH", "/v1/buckets/photos", `{"visibility":"public-read"}`, http.StatusOK)
	picture := photo(t, 1, 640, 480)
	_, err := client.PutObject(t.Context(), "photos", "trip/été.jpg", bytes.NewReader(picture), int64(len(picture)),
		minio.PutObjectOptions{ContentType: "image/jpeg", UserMetadata: map[string]string{"camera": "X100"}})
	if err != nil {
		t.Fatal(err)
	}
	if a := get(t, c.edge(2)+"/photos/trip/%C3%A9t%C3%A9.jpg"); a.status != http.StatusOK || !bytes.Equal(a.body, picture) {
		t.Errorf("from an edge of another region: %d, %d bytes", a.status, len(a.body))
	}

	direct, err := minio.New(strings.TrimPrefix(server.URL, "http://"), &minio.Options{Creds: miniocredentials.NewStaticV4(miniotest.AccessKey, miniotest.SecretKey, "")})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for o := range direct.ListObjectsIter(t.Context(), "meridian-europe", minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		if !strings.HasPrefix(o.Key, "photos/") {
			continue
		}
		n++
		st, err := direct.StatObject(t.Context(), "meridian-europe", o.Key, minio.StatObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]string{}
		for name, value := range st.UserMetadata {
			m[strings.ToLower(name)] = value
		}
		v, left, err := record.Parse(m)
		if err != nil || len(left) > 0 || v.Bucket != "photos" || v.Key != "trip/été.jpg" || v.UserMetadata["camera"] != "X100" ||
			o.Key != "photos/"+v.ID+".jpg" || st.ContentType != "image/jpeg" || st.Size != int64(len(picture)) {
			t.Errorf("%s says of itself %v: %+v, without %v, %v", o.Key, m, v, left, err)
		}
	}
	if n != 1 {
		t.Errorf("the bucket of the region holds %d photos, want 1", n)
	}
}
