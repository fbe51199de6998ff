package main

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"strings"

	"meridian/origin/blob"
	"meridian/origin/blob/aws"
	"meridian/origin/blob/bucket"
	"meridian/origin/blob/disk"
	"meridian/origin/blob/minio"
)

// The kinds of blob stores.
const (
	storeDisk  = "disk"
	storeMinio = "minio"
	storeS3    = "s3"
)

// blobStore is a store with what a node says and does of it.
type blobStore interface {
	blob.Store
	io.Closer
}

// storeOptions say where an origin keeps its blobs.
type storeOptions struct {
	kind, endpoint, bucket, region string
	accessKey, secretKey           string
}

func (o *storeOptions) declare(s *settings) {
	s.flags.StringVar(&o.kind, "store", storeDisk, "`kind` of blob store: disk (files under --data), minio (MinIO, SeaweedFS, Garage, RustFS, Ceph) or s3 (Amazon S3)")
	s.flags.StringVar(&o.endpoint, "store-endpoint", "", "`URL` of the store's S3 server (s3: default Amazon's)")
	s.flags.StringVar(&o.bucket, "store-bucket", "", "`bucket` of the store, made where it is missing (default meridian-REGION)")
	s.flags.StringVar(&o.region, "store-region", "", "`region` of the store's S3 server, as it calls it (minio: default us-east-1; s3: AWS_REGION)")
	s.flags.StringVar(&o.accessKey, "store-access-key", "", "access `key` of the store (s3: default as AWS tools find it)")
	s.secret(&o.secretKey, "store-secret-key", "its `secret`")
}

// check refuses what does not go together.
func (o *storeOptions) check() error {
	var given []string
	for _, x := range []struct{ name, value string }{
		{"--store-endpoint", o.endpoint}, {"--store-bucket", o.bucket}, {"--store-region", o.region},
		{"--store-access-key", o.accessKey}, {"--store-secret-key", o.secretKey},
	} {
		if x.value != "" {
			given = append(given, x.name)
		}
	}
	switch o.kind {
	case storeDisk:
		if len(given) > 0 {
			return usagef("%s: only for --store minio or --store s3, and --store is disk", strings.Join(given, ", "))
		}
		return nil
	case storeMinio:
		if o.endpoint == "" {
			return usagef("--store minio needs --store-endpoint, the URL of the S3 server")
		}
		if o.accessKey == "" || o.secretKey == "" {
			return usagef("--store minio needs --store-access-key and --store-secret-key (or --store-secret-key-file)")
		}
	case storeS3:
		if (o.accessKey == "") != (o.secretKey == "") {
			return usagef("--store-access-key and --store-secret-key go together")
		}
	default:
		return usagef("--store %q is none of disk, minio and s3%s", o.kind, nearestOf(o.kind, []string{storeDisk, storeMinio, storeS3}))
	}
	if o.endpoint != "" {
		if _, err := (bucket.Config{Endpoint: o.endpoint}).ParseEndpoint(); err != nil {
			return usagef("--store-endpoint: %v", err)
		}
	}
	return nil
}

// perRegion are the options of n regions that share a command: --store-endpoint
// names one server for all of them, or one for each, comma-separated.
func (o *storeOptions) perRegion(n int) ([]storeOptions, error) {
	if o.bucket != "" {
		return nil, usagef("--store-bucket: every region has a bucket of its own here, meridian-REGION")
	}
	endpoints := strings.Split(o.endpoint, ",")
	if len(endpoints) != 1 && len(endpoints) != n {
		return nil, usagef("--store-endpoint names %d servers; give one for all regions, or %d", len(endpoints), n)
	}
	all := make([]storeOptions, n)
	for i := range all {
		all[i] = *o
		all[i].endpoint = strings.TrimSpace(endpoints[i%len(endpoints)])
		if err := all[i].check(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// open opens the store of a region; dir is where one on disk is.
func (o *storeOptions) open(ctx context.Context, region, dir string, log *slog.Logger) (blobStore, error) {
	c := bucket.Config{
		Endpoint: o.endpoint, Region: o.region, Bucket: o.bucketOf(region),
		AccessKey: o.accessKey, SecretKey: o.secretKey, Log: log,
	}
	switch o.kind {
	case storeMinio:
		return minio.Open(ctx, c)
	case storeS3:
		return aws.Open(ctx, c)
	}
	return disk.Open(disk.Config{Dir: dir, Log: log})
}

func (o *storeOptions) bucketOf(region string) string { return cmp.Or(o.bucket, "meridian-"+region) }
