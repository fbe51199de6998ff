package minio_test

import (
	"testing"

	"meridian/origin/blob"
	"meridian/origin/blob/blobtest"
	"meridian/origin/blob/bucket"
	"meridian/origin/blob/minio"
	"meridian/origin/blob/miniotest"
)

func TestConformance(t *testing.T) {
	server := miniotest.Shared(t)
	blobtest.Run(t, func(t *testing.T) blob.Store {
		t.Helper()
		s, err := minio.Open(t.Context(), bucket.Config{
			Endpoint: server.URL, Bucket: server.Bucket(), AccessKey: miniotest.AccessKey, SecretKey: miniotest.SecretKey,
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
