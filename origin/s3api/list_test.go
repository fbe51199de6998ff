package s3api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/minio-go/v7"
)

func (w *world) fill(bucket string, keys ...string) {
	w.t.Helper()
	w.must("PUT", "/"+bucket, nil)
	for _, k := range keys {
		w.must("PUT", "/"+bucket+"/"+k, []byte("x"))
	}
}

func TestListing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, ctx := w.aws(root), t.Context()
	w.fill("bkt", "a", "b/1", "b/2", "b/3/x", "c", "d/1", "e")
	for _, tt := range []struct {
		prefix, delimiter, after string
		want                     string
	}{
		{"", "", "", "a b/1 b/2 b/3/x c d/1 e"},
		{"", "/", "", "a b/ c d/ e"},
		{"b/", "/", "", "b/1 b/2 b/3/"},
		{"b", "", "", "b/1 b/2 b/3/x"},
		{"", "", "c", "d/1 e"},
		{"", "/", "b/", "c d/ e"},
		{"z", "", "", ""},
	} {
		for _, limit := range []int32{1, 2, 1000} {
			var v1, v2 []string
			for p := s3.NewListObjectsV2Paginator(c, &s3.ListObjectsV2Input{Bucket: aws.String("bkt"), Prefix: &tt.prefix,
				Delimiter: &tt.delimiter, StartAfter: &tt.after, MaxKeys: &limit}); p.HasMorePages(); {
				page, err := p.NextPage(ctx)
				if err != nil {
					t.Fatal(err)
				}
				var names []string
				for _, o := range page.Contents {
					names = append(names, aws.ToString(o.Key))
				}
				for _, o := range page.CommonPrefixes {
					names = append(names, aws.ToString(o.Prefix))
				}
				if int(aws.ToInt32(page.KeyCount)) != len(names) || len(names) > int(limit) {
					t.Errorf("%+v: page of %d says %d", tt, len(names), aws.ToInt32(page.KeyCount))
				}
				slices.Sort(names)
				v2 = append(v2, names...)
			}
			marker := tt.after
			for {
				page, err := c.ListObjects(ctx, &s3.ListObjectsInput{Bucket: aws.String("bkt"), Prefix: &tt.prefix, Delimiter: &tt.delimiter, Marker: &marker, MaxKeys: &limit})
				if err != nil {
					t.Fatal(err)
				}
				var names []string
				for _, o := range page.Contents {
					names = append(names, aws.ToString(o.Key))
				}
				for _, o := range page.CommonPrefixes {
					names = append(names, aws.ToString(o.Prefix))
				}
				slices.Sort(names)
				v1 = append(v1, names...)
				if !aws.ToBool(page.IsTruncated) {
					break
				}
				marker = names[len(names)-1]
				if tt.delimiter != "" && aws.ToString(page.NextMarker) != marker {
					t.Errorf("%+v: next marker %q, want %q", tt, aws.ToString(page.NextMarker), marker)
				}
			}
			if strings.Join(v1, " ") != tt.want || strings.Join(v2, " ") != tt.want {
				t.Errorf("%+v by %d: %q and %q, want %q", tt, limit, v1, v2, tt.want)
			}
		}
	}
	if page, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("bkt"), MaxKeys: aws.Int32(0)}); err != nil || len(page.Contents) != 0 || aws.ToBool(page.IsTruncated) {
		t.Errorf("page of none: %+v, %v", page, err)
	}
	var names []string
	for o := range w.minio(root).ListObjects(ctx, "bkt", minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		names = append(names, o.Key)
	}
	if strings.Join(names, " ") != "a b/1 b/2 b/3/x c d/1 e" {
		t.Errorf("minio: %q", names)
	}
}

// A page goes on where it stopped, whatever was written meanwhile.
func TestContinuationSurvivesWrites(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, ctx := w.aws(root), t.Context()
	w.fill("bkt", "b", "d", "f")
	page, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("bkt"), MaxKeys: aws.Int32(2)})
	if err != nil {
		t.Fatal(err)
	}
	w.must("DELETE", "/bkt/d", nil)
	w.must("PUT", "/bkt/a", nil)
	w.must("PUT", "/bkt/e", nil)
	page, err = c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("bkt"), ContinuationToken: page.NextContinuationToken})
	if err != nil || len(page.Contents) != 2 || aws.ToString(page.Contents[0].Key) != "e" || aws.ToString(page.Contents[1].Key) != "f" {
		t.Errorf("%+v, %v", page, err)
	}
}

func TestListBuckets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 5 {
		w.must("PUT", fmt.Sprintf("/bkt-%d", i), nil)
	}
	w.must("PUT", "/other", nil)
	var names []string
	for p := s3.NewListBucketsPaginator(w.aws(reader), &s3.ListBucketsInput{Prefix: aws.String("bkt"), MaxBuckets: aws.Int32(2)}); p.HasMorePages(); {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range page.Buckets {
			names = append(names, aws.ToString(b.Name))
		}
	}
	if strings.Join(names, " ") != "bkt-0 bkt-1 bkt-2 bkt-3 bkt-4" {
		t.Errorf("%q", names)
	}
	all, err := w.minio(reader).ListBuckets(t.Context())
	if err != nil || len(all) != 6 {
		t.Errorf("minio: %v, %v", all, err)
	}
}
