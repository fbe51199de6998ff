package aws_test

import (
	"os"
	"strings"
	"testing"

	"meridian/origin/blob"
	"meridian/origin/blob/aws"
	"meridian/origin/blob/blobtest"
	"meridian/origin/blob/bucket"
	"meridian/origin/blob/miniotest"
)

func TestConformance(t *testing.T) {
	server := miniotest.Shared(t)
	blobtest.Run(t, func(t *testing.T) blob.Store {
		t.Helper()
		s, err := aws.Open(t.Context(), bucket.Config{
			Endpoint: server.URL, Region: "eu-west-1", Bucket: server.Bucket(), AccessKey: miniotest.AccessKey, SecretKey: miniotest.SecretKey,
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestKeysAndRegionComeFromTheEnvironment(t *testing.T) {
	server := miniotest.Shared(t)
	c := bucket.Config{Endpoint: server.URL, Bucket: server.Bucket()}
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	if _, err := aws.Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "give the store's region, or AWS_REGION") {
		t.Errorf("without a region: %v", err)
	}
	t.Setenv("AWS_REGION", "eu-west-1")
	if _, err := aws.Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "give the store's access key and secret key") {
		t.Errorf("without keys: %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", miniotest.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", miniotest.SecretKey)
	if _, err := aws.Open(t.Context(), c); err != nil {
		t.Error(err)
	}
}
