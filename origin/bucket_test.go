package origin_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"time"

	miniogo "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"meridian/metadata"
	"meridian/metadata/postgres/pgtest"
	"meridian/origin"
	"meridian/origin/blob/aws"
	"meridian/origin/blob/bucket"
	"meridian/origin/blob/minio"
	"meridian/origin/blob/miniotest"
	"meridian/origin/record"
	"meridian/origin/sweep"
	"meridian/upload"
)

// TestARegionOverABucket runs the life of objects over a store in an S3 bucket,
// and looks at what lies there with another tool.
func TestARegionOverABucket(t *testing.T) {
	t.Parallel()
	server := miniotest.Shared(t)
	for name, open := range map[string]func(context.Context, bucket.Config) (*bucket.Store, error){"minio": minio.Open, "aws": aws.Open} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := bucket.Config{
				Endpoint: server.URL, Region: "us-east-1", Bucket: server.Bucket(), AccessKey: miniotest.AccessKey, SecretKey: miniotest.SecretKey,
			}
			store, err := open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			overBucket(t, store, c)
		})
	}
}

func overBucket(t *testing.T, store *bucket.Store, c bucket.Config) {
	t.Helper()
	ctx, catalog, log := t.Context(), pgtest.New(t), slog.New(slog.DiscardHandler)
	if _, err := catalog.CreateBucket(ctx, metadata.Bucket{Name: "films", Region: pgtest.Region, Owner: "root"}); err != nil {
		t.Fatal(err)
	}
	objects := origin.New(origin.Options{Region: pgtest.Region, Store: store, Catalog: catalog, Log: log})
	uploads := upload.New(upload.Options{Region: pgtest.Region, Store: store, Catalog: catalog, Log: log})
	template := metadata.Version{Bucket: "films", Key: "A Film.MP4", ContentType: "video/mp4", Owner: "root", UserMetadata: map[string]string{"director": "Varda"}}

	short := strings.Repeat("short ", 1000)
	first, err := objects.Put(ctx, origin.PutInput{Template: template, Body: strings.NewReader(short), Size: int64(len(short))})
	if err != nil {
		t.Fatal(err)
	}
	if got, local, err := readAll(t, objects, first, 6, 5); got != "short" || !local || err != nil {
		t.Errorf("a range: %q, local %t, %v", got, local, err)
	}
	refuse := errors.New("wrong checksum")
	_, err = objects.Put(ctx, origin.PutInput{
		Template: template, Body: io.LimitReader(zeros{}, 3<<20), Size: 3 << 20, Verify: func(map[string]string) error { return refuse },
	})
	if !errors.Is(err, refuse) {
		t.Errorf("a put that is refused: %v", err)
	}

	up, err := uploads.Begin(ctx, template, "", "")
	if err != nil {
		t.Fatal(err)
	}
	bodies := [][]byte{bytes.Repeat([]byte("a"), upload.MinPartSize), []byte("the end")}
	var named []upload.CompletePart
	sums := md5.New()
	for n, b := range bodies {
		p, err := uploads.PutPart(ctx, up, n+1, int64(len(b)), bytes.NewReader(b), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		named = append(named, upload.CompletePart{Number: p.Number, ETag: p.ETag})
		sum := md5.Sum(b)
		sums.Write(sum[:])
	}
	film, err := uploads.Complete(ctx, up, named, upload.CompleteOptions{Size: -1})
	if err != nil || film.ETag != hex.EncodeToString(sums.Sum(nil))+"-2" {
		t.Fatalf("complete: %+v, %v", film, err)
	}
	if got, _, err := readAll(t, objects, film, upload.MinPartSize-2, -1); got != "aathe end" || err != nil {
		t.Errorf("across the parts: %q, %v", got, err)
	}
	forgotten, err := uploads.Begin(ctx, template, "", "")
	if err != nil {
		t.Fatal(err)
	}

	found := listed(t, c)
	if len(found) != 2 {
		t.Errorf("the bucket holds %d blobs, want the two that were put: %v", len(found), found)
	}
	for _, v := range []metadata.Version{first, film} {
		told, left, err := record.Parse(found["films/"+v.ID+".mp4"])
		if err != nil || len(left) > 0 || told.Key != v.Key || told.ID != v.ID || told.Owner != "root" || told.ContentType != "video/mp4" || told.UserMetadata["director"] != "Varda" {
			t.Errorf("the blob of %s tells of itself %+v, %v", v.ID, told, err)
		}
	}

	// The short film was replaced, and the last upload is never completed.
	if _, err := uploads.Expire(ctx, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Begin(ctx, "films/forgotten", nil); err != nil {
		t.Fatal(err)
	}
	later := func() time.Time { return time.Now().Add(48 * time.Hour) }
	sweeper := sweep.New(sweep.Options{Region: pgtest.Region, Store: store, Catalog: catalog, Log: log, Now: later})
	if r, err := sweeper.Round(ctx, true); err != nil || r.Dropped != 1 || r.Uploads != 1 {
		t.Errorf("swept %+v, %v", r, err)
	}
	if _, err := store.Stat(ctx, first.Blob); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the blob that was replaced: %v", err)
	}
	if found := listed(t, c); len(found) != 1 || found[film.Blob] == nil {
		t.Errorf("after the sweep the bucket holds %v", found)
	}
	if _, err := uploads.PutPart(ctx, forgotten, 1, 1, strings.NewReader("x"), nil, nil); err == nil {
		t.Error("an upload that expired takes parts")
	}
	if _, err := objects.Delete(ctx, metadata.Ref{Bucket: "films", Key: "A Film.MP4"}, metadata.Cond{}); err != nil {
		t.Fatal(err)
	}
	if r, err := sweeper.Round(ctx, true); err != nil || r.Dropped != 1 || len(listed(t, c)) != 0 {
		t.Errorf("after the delete: swept %+v, %v; left %v", r, err, listed(t, c))
	}
}

// listed is what an ordinary S3 tool finds in the bucket of a store: the
// metadata by key.
func listed(t *testing.T, c bucket.Config) map[string]map[string]string {
	t.Helper()
	client, err := miniogo.New(strings.TrimPrefix(c.Endpoint, "http://"), &miniogo.Options{Creds: credentials.NewStaticV4(c.AccessKey, c.SecretKey, "")})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]map[string]string{}
	for o := range client.ListObjectsIter(t.Context(), c.Bucket, miniogo.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		st, err := client.StatObject(t.Context(), c.Bucket, o.Key, miniogo.StatObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		found[o.Key] = map[string]string{}
		for name, value := range st.UserMetadata {
			found[o.Key][strings.ToLower(name)] = value
		}
	}
	return found
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
