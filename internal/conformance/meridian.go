package main

import (
	"context"
	"fmt"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"meridian/internal/devserver"
)

// The root key of the Meridian under test. Its user is called as the key: the
// suites take access keys for the IDs of users.
const (
	rootKey    = "root"
	rootSecret = "conformance-secret"
)

// meridian is the one under test.
type meridian struct{ *devserver.Server }

// newMeridian has regions, comma-separated, that are called as those of S3 in which
// the suite makes buckets. The endpoint that it tests is that of the first.
func newMeridian(o options, regions string) meridian {
	return meridian{&devserver.Server{
		Program: o.meridian, AccessKey: rootKey, SecretKey: rootSecret, Keep: o.keep, Args: []string{"--regions", regions},
	}}
}

// clean removes the buckets that a test left behind: tests count them, and use
// their names again. Where one holds what may not be removed, Meridian begins
// anew.
func (m meridian) clean(ctx context.Context) error {
	client, err := minio.New(m.S3Host(), &minio.Options{Creds: credentials.NewStaticV4(rootKey, rootSecret, ""), Region: "us-east-1"})
	if err != nil {
		return err
	}
	buckets, err := client.ListBuckets(ctx)
	if err != nil {
		return fmt.Errorf("look for buckets that a test left behind: %w", err)
	}
	for _, b := range buckets {
		if emptied(ctx, client, b.Name) {
			continue
		}
		if err := m.End(); err != nil {
			return err
		}
		return m.Start(ctx)
	}
	return nil
}

func emptied(ctx context.Context, client *minio.Client, bucket string) bool {
	versions := client.ListObjects(ctx, bucket, minio.ListObjectsOptions{WithVersions: true, Recursive: true})
	for v := range versions {
		if v.Err != nil {
			return false
		}
		err := client.RemoveObject(ctx, bucket, v.Key, minio.RemoveObjectOptions{VersionID: v.VersionID, GovernanceBypass: true})
		if err != nil {
			return false
		}
	}
	return client.RemoveBucket(ctx, bucket) == nil
}
