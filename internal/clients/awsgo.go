package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// awsGo is the AWS SDK for Go with its transfer manager, as it is by default: with
// checksums in trailers. The manager is the one that programs in the field use,
// though there is a newer.
func awsGo() client {
	return client{
		name: "aws-sdk-go-v2", version: "github.com/aws/aws-sdk-go-v2/service/s3",
		driver: library{
			makeBucket: func(ctx context.Context, r *round, _ subject) ([]byte, error) {
				_, err := awsClient(r, false).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &r.bucket})
				return nil, err
			},
			putObject:  awsPut,
			getObject:  awsGet,
			readPart:   awsRead,
			listAll:    awsList,
			statObject: awsStat,
			copyObject: func(ctx context.Context, r *round, s subject) ([]byte, error) {
				source := url.PathEscape(r.bucket + "/" + s.from)
				_, err := awsClient(r, false).CopyObject(ctx, &s3.CopyObjectInput{Bucket: &r.bucket, Key: &s.key, CopySource: &source})
				return nil, err
			},
			signURL: awsSign,
			removeObject: func(ctx context.Context, r *round, s subject) ([]byte, error) {
				_, err := awsClient(r, false).DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &r.bucket, Key: &s.key})
				return nil, err
			},
			removeAll: awsRemoveAll,
			removeBucket: func(ctx context.Context, r *round, _ subject) ([]byte, error) {
				_, err := awsClient(r, false).DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &r.bucket})
				return nil, err
			},
		},
		more: []step{
			{"every checksum", awsChecksums},
			{"upload of unknown size", awsStream},
			{"conditions", awsConditions},
		},
	}
}

func awsClient(r *round, edge bool) *s3.Client {
	endpoint := r.server.S3()
	if edge {
		endpoint = r.server.Edge()
	}
	return s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: &endpoint, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(rootKey, rootSecret, ""),
	})
}

func awsUpload(ctx context.Context, r *round, key string, body io.Reader) error {
	up := manager.NewUploader(awsClient(r, false), func(u *manager.Uploader) { u.PartSize = 6 << 20 })
	_, err := up.Upload(ctx, &s3.PutObjectInput{Bucket: &r.bucket, Key: &key, Body: body})
	return err
}

func awsPut(ctx context.Context, r *round, s subject) ([]byte, error) {
	f, err := os.Open(s.file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return nil, awsUpload(ctx, r, s.key, f)
}

func awsGet(ctx context.Context, r *round, s subject) ([]byte, error) {
	var got manager.WriteAtBuffer
	down := manager.NewDownloader(awsClient(r, false))
	if _, err := down.Download(ctx, &got, &s3.GetObjectInput{Bucket: &r.bucket, Key: &s.key}); err != nil {
		return nil, err
	}
	return nil, os.WriteFile(s.file, got.Bytes(), 0o600)
}

func awsRead(ctx context.Context, r *round, s subject) ([]byte, error) {
	span := fmt.Sprintf("bytes=%d-%d", s.first, s.last)
	got, err := awsClient(r, false).GetObject(ctx, &s3.GetObjectInput{Bucket: &r.bucket, Key: &s.key, Range: &span})
	if err != nil {
		return nil, err
	}
	defer got.Body.Close()
	return io.ReadAll(got.Body)
}

func awsKeys(ctx context.Context, r *round, prefix string) ([]string, error) {
	var keys []string
	pages := s3.NewListObjectsV2Paginator(awsClient(r, false), &s3.ListObjectsV2Input{Bucket: &r.bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, o := range page.Contents {
			keys = append(keys, aws.ToString(o.Key))
		}
	}
	return keys, nil
}

func awsList(ctx context.Context, r *round, s subject) ([]byte, error) {
	keys, err := awsKeys(ctx, r, s.prefix)
	return []byte(strings.Join(keys, "\n")), err
}

func awsStat(ctx context.Context, r *round, s subject) ([]byte, error) {
	head, err := awsClient(r, false).HeadObject(ctx, &s3.HeadObjectInput{Bucket: &r.bucket, Key: &s.key})
	if err != nil {
		return nil, err
	}
	return fmt.Append(nil, aws.ToInt64(head.ContentLength)), nil
}

func awsSign(ctx context.Context, r *round, s subject) ([]byte, error) {
	signed, err := s3.NewPresignClient(awsClient(r, s.edge)).PresignGetObject(ctx,
		&s3.GetObjectInput{Bucket: &r.bucket, Key: &s.key}, s3.WithPresignExpires(5*time.Minute))
	if err != nil {
		return nil, err
	}
	return []byte(signed.URL), nil
}

// awsRemoveAll removes by DeleteObjects, a thousand at once.
func awsRemoveAll(ctx context.Context, r *round, s subject) ([]byte, error) {
	keys, err := awsKeys(ctx, r, s.prefix)
	if err != nil {
		return nil, err
	}
	for some := range slices.Chunk(keys, 1000) {
		var objects []types.ObjectIdentifier
		for _, key := range some {
			objects = append(objects, types.ObjectIdentifier{Key: &key})
		}
		out, err := awsClient(r, false).DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &r.bucket, Delete: &types.Delete{Objects: objects}})
		if err != nil {
			return nil, err
		}
		if len(out.Errors) > 0 || len(out.Deleted) != len(some) {
			return nil, wrong("%d of %d deleted, errors %v", len(out.Deleted), len(some), out.Errors)
		}
	}
	return nil, nil
}

// awsChecksums sends each checksum that the SDK computes, of one request and of
// parts, and lets it check them when it reads.
func awsChecksums(ctx context.Context, r *round) error {
	client := awsClient(r, false)
	up := manager.NewUploader(client)
	data := noise(11<<20, 9)
	for _, sum := range []types.ChecksumAlgorithm{
		types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c, types.ChecksumAlgorithmCrc64nvme,
		types.ChecksumAlgorithmSha1, types.ChecksumAlgorithmSha256,
	} {
		for _, body := range [][]byte{data[:5000], data} {
			key := fmt.Sprintf("summed/%s-%d", sum, len(body))
			_, err := up.Upload(ctx, &s3.PutObjectInput{Bucket: &r.bucket, Key: &key, Body: bytes.NewReader(body), ChecksumAlgorithm: sum})
			if err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			got, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &r.bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
			if err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			read, err := io.ReadAll(got.Body)
			_ = got.Body.Close() // read to its end, or broken
			if err := errors.Join(err, same(key, read, body)); err != nil {
				return err
			}
		}
	}
	return nil
}

func awsStream(ctx context.Context, r *round) error {
	data := noise(17<<20, 8)
	body := struct{ io.Reader }{bytes.NewReader(data)} // of which no size can be asked
	if err := awsUpload(ctx, r, "streamed", body); err != nil {
		return err
	}
	return r.get(ctx, "streamed", data)
}

// awsConditions must not write where something is, nor over what is another.
func awsConditions(ctx context.Context, r *round) error {
	client, key := awsClient(r, false), "conditional"
	put := func(none, match *string) error {
		_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: &r.bucket, Key: &key, Body: strings.NewReader("x"), IfNoneMatch: none, IfMatch: match})
		return err
	}
	absent, other := "*", `"00000000000000000000000000000000"`
	if err := put(&absent, nil); err != nil {
		return err
	}
	if put(&absent, nil) == nil || put(nil, &other) == nil {
		return wrong("a write against its condition was taken")
	}
	return nil
}
