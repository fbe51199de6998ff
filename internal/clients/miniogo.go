package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/tags"
)

// minioGo is MinIO's SDK for Go, at the version that Meridian's own store uses.
func minioGo() client {
	return client{
		name: "minio-go", version: "github.com/minio/minio-go/v7",
		driver: library{
			makeBucket: func(ctx context.Context, r *round, _ subject) ([]byte, error) {
				return nil, r.witness.s3.MakeBucket(ctx, r.bucket, minio.MakeBucketOptions{})
			},
			putObject: minioPut,
			getObject: func(ctx context.Context, r *round, s subject) ([]byte, error) {
				return nil, r.witness.s3.FGetObject(ctx, r.bucket, s.key, s.file, minio.GetObjectOptions{})
			},
			readPart:   minioRead,
			listAll:    minioList,
			statObject: minioStat,
			copyObject: minioCopy,
			signURL:    minioSign,
			removeObject: func(ctx context.Context, r *round, s subject) ([]byte, error) {
				return nil, r.witness.s3.RemoveObject(ctx, r.bucket, s.key, minio.RemoveObjectOptions{})
			},
			removeAll: func(ctx context.Context, r *round, _ subject) ([]byte, error) { return nil, r.witness.empty(ctx) },
			removeBucket: func(ctx context.Context, r *round, _ subject) ([]byte, error) {
				return nil, r.witness.s3.RemoveBucket(ctx, r.bucket)
			},
		},
		more: []step{
			{"seek and read at", minioSeek},
			{"tags and metadata", minioTags},
			{"upload of unknown size", minioStream},
		},
		versions: minioVersions,
	}
}

func newMinio(endpoint string) (*minio.Client, error) {
	_, host, _ := strings.Cut(endpoint, "://")
	return minio.New(host, &minio.Options{Creds: credentials.NewStaticV4(rootKey, rootSecret, ""), Region: "us-east-1"})
}

func minioPut(ctx context.Context, r *round, s subject) ([]byte, error) {
	_, err := r.witness.s3.FPutObject(ctx, r.bucket, s.key, s.file, minio.PutObjectOptions{PartSize: 6 << 20})
	return nil, err
}

func minioRead(ctx context.Context, r *round, s subject) ([]byte, error) {
	var o minio.GetObjectOptions
	if err := o.SetRange(s.first, s.last); err != nil {
		return nil, err
	}
	body, _, _, err := (&minio.Core{Client: r.witness.s3}).GetObject(ctx, r.bucket, s.key, o)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// minioList lists by both versions of the operation, which must say the same.
func minioList(ctx context.Context, r *round, s subject) ([]byte, error) {
	var lists [2][]string
	for i := range lists {
		for o := range r.witness.s3.ListObjects(ctx, r.bucket, minio.ListObjectsOptions{Prefix: s.prefix, Recursive: true, UseV1: i == 1, MaxKeys: 300}) {
			if o.Err != nil {
				return nil, o.Err
			}
			lists[i] = append(lists[i], o.Key)
		}
	}
	if !slices.Equal(lists[0], lists[1]) {
		return nil, wrong("ListObjectsV2 gave %d keys, ListObjects %d", len(lists[0]), len(lists[1]))
	}
	return []byte(strings.Join(lists[0], "\n")), nil
}

func minioStat(ctx context.Context, r *round, s subject) ([]byte, error) {
	info, err := r.witness.s3.StatObject(ctx, r.bucket, s.key, minio.StatObjectOptions{})
	return fmt.Append(nil, info.Size), err
}

// minioCopy copies by ComposeObject, which copies large objects by parts.
func minioCopy(ctx context.Context, r *round, s subject) ([]byte, error) {
	_, err := r.witness.s3.ComposeObject(ctx, minio.CopyDestOptions{Bucket: r.bucket, Object: s.key}, minio.CopySrcOptions{Bucket: r.bucket, Object: s.from})
	return nil, err
}

func minioSign(ctx context.Context, r *round, s subject) ([]byte, error) {
	endpoint := r.server.S3()
	if s.edge {
		endpoint = r.server.Edge()
	}
	client, err := newMinio(endpoint)
	if err != nil {
		return nil, err
	}
	u, err := client.PresignedGetObject(ctx, r.bucket, s.key, 5*time.Minute, nil)
	if err != nil {
		return nil, err
	}
	return []byte(u.String()), nil
}

func minioSeek(ctx context.Context, r *round) error {
	object, err := r.witness.s3.GetObject(ctx, r.bucket, "big.bin", minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	defer object.Close()
	want := big()
	for _, at := range []int64{20 << 20, 3, bigSize - 1000} {
		if _, err := object.Seek(at, io.SeekStart); err != nil {
			return err
		}
		got := make([]byte, 1000)
		if _, err := io.ReadFull(object, got); err != nil {
			return err
		}
		if err := same("read after a seek", got, want[at:at+1000]); err != nil {
			return err
		}
	}
	got := make([]byte, 1000)
	if _, err := object.ReadAt(got, 1<<20); err != nil {
		return err
	}
	return same("read at", got, want[1<<20:1<<20+1000])
}

func minioTags(ctx context.Context, r *round) error {
	s3, want := r.witness.s3, map[string]string{"a": "1", "b c": "2 +="} // it takes no letters but ASCII
	_, err := s3.PutObject(ctx, r.bucket, "tagged", strings.NewReader("x"), 1, minio.PutObjectOptions{
		UserMetadata: map[string]string{"Colour": "blue"}, UserTags: want, ContentType: "text/x-own",
	})
	if err != nil {
		return err
	}
	got, err := s3.GetObjectTagging(ctx, r.bucket, "tagged", minio.GetObjectTaggingOptions{})
	if err != nil {
		return err
	}
	if !maps.Equal(got.ToMap(), want) {
		return wrong("tags %v, want %v", got, want)
	}
	info, err := s3.StatObject(ctx, r.bucket, "tagged", minio.StatObjectOptions{})
	if err != nil {
		return err
	}
	if info.UserMetadata["Colour"] != "blue" || info.ContentType != "text/x-own" || info.UserTagCount != len(want) {
		return wrong("%+v", info)
	}
	set, err := tags.NewTags(map[string]string{"team": "own"}, false)
	if err != nil {
		return err
	}
	if err := s3.SetBucketTagging(ctx, r.bucket, set); err != nil {
		return err
	}
	return s3.RemoveBucketTagging(ctx, r.bucket)
}

func minioStream(ctx context.Context, r *round) error {
	data := noise(17<<20, 8)
	body := struct{ io.Reader }{strings.NewReader(string(data))} // of which no size can be asked
	if _, err := r.witness.s3.PutObject(ctx, r.bucket, "streamed", body, -1, minio.PutObjectOptions{PartSize: 5 << 20}); err != nil {
		return err
	}
	return r.get(ctx, "streamed", data)
}

func minioVersions(ctx context.Context, r *round) error {
	s3 := r.witness.s3
	if err := s3.EnableVersioning(ctx, r.bucket); err != nil {
		return err
	}
	var first string
	for _, text := range []string{"second", "first"} {
		info, err := s3.PutObject(ctx, r.bucket, "kept", strings.NewReader(text), int64(len(text)), minio.PutObjectOptions{})
		if err != nil {
			return err
		}
		first = info.VersionID
	}
	if err := s3.RemoveObject(ctx, r.bucket, "kept", minio.RemoveObjectOptions{}); err != nil {
		return err
	}
	if err := r.witness.gone(ctx, "kept"); err != nil {
		return err
	}
	object, err := s3.GetObject(ctx, r.bucket, "kept", minio.GetObjectOptions{VersionID: first})
	if err != nil {
		return err
	}
	defer object.Close()
	got, err := io.ReadAll(object)
	if err != nil {
		return err
	}
	return same("a version", got, []byte("first"))
}
