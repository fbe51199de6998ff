package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"meridian/internal/devserver"
)

// witness looks at what a client did to its bucket, from beside it.
type witness struct {
	s3     *minio.Client
	bucket string
}

func newWitness(server *devserver.Server, bucket string) (witness, error) {
	s3, err := newMinio(server.S3())
	return witness{s3, bucket}, err
}

// holds fails unless the object is there with these bytes.
func (w witness) holds(ctx context.Context, key string, want []byte) error {
	object, err := w.s3.GetObject(ctx, w.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	defer object.Close()
	got, err := io.ReadAll(object)
	if err != nil {
		return fmt.Errorf("the server has no %q: %w", key, err)
	}
	return same(fmt.Sprintf("%q on the server", key), got, want)
}

// gone fails unless there is no such object.
func (w witness) gone(ctx context.Context, key string) error {
	_, err := w.s3.StatObject(ctx, w.bucket, key, minio.StatObjectOptions{})
	if minio.ToErrorResponse(err).StatusCode == http.StatusNotFound {
		return nil
	}
	return errors.Join(err, wrong("%q is still there", key))
}

// state tells, by key, which bytes lie under a prefix since when.
func (w witness) state(ctx context.Context, prefix string) (map[string]string, error) {
	state := map[string]string{}
	for o := range w.s3.ListObjects(ctx, w.bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, o.Err
		}
		state[o.Key] = o.ETag + " " + o.LastModified.Format(time.RFC3339Nano)
	}
	return state, nil
}

// changed names what differs between two states.
func changed(before, after map[string]string) []string {
	var names []string
	for key := range before {
		if after[key] != before[key] {
			names = append(names, key)
		}
	}
	for key := range maps.Keys(after) {
		if _, old := before[key]; !old {
			names = append(names, key)
		}
	}
	slices.Sort(names)
	return names
}

// put uploads objects beside the client.
func (w witness) put(ctx context.Context, objects map[string]string) error {
	for key, text := range objects {
		if _, err := w.s3.PutObject(ctx, w.bucket, key, strings.NewReader(text), int64(len(text)), minio.PutObjectOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// fetch gets a URL with nothing but it.
func fetch(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, wrong("GET %s: %s: %.400s", url, res.Status, body)
	}
	return body, nil
}

// forget removes every version of everything, so that the bucket can be removed by
// a client that does not know of them.
func (w witness) forget(ctx context.Context) error {
	for o := range w.s3.ListObjects(ctx, w.bucket, minio.ListObjectsOptions{WithVersions: true, Recursive: true}) {
		if o.Err != nil {
			return o.Err
		}
		if err := w.s3.RemoveObject(ctx, w.bucket, o.Key, minio.RemoveObjectOptions{VersionID: o.VersionID}); err != nil {
			return err
		}
	}
	return nil
}

// size is how many bytes the objects of the bucket have.
func (w witness) size(ctx context.Context) (int64, error) {
	var n int64
	for o := range w.s3.ListObjects(ctx, w.bucket, minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			return 0, o.Err
		}
		n += o.Size
	}
	return n, nil
}

// empty removes all that is in the bucket, a thousand at once.
func (w witness) empty(ctx context.Context) error {
	objects := w.s3.ListObjects(ctx, w.bucket, minio.ListObjectsOptions{Recursive: true})
	for e := range w.s3.RemoveObjects(ctx, w.bucket, objects, minio.RemoveObjectsOptions{}) {
		if e.Err != nil {
			return e.Err
		}
	}
	return nil
}

// drop removes the bucket with all that is in it.
func (w witness) drop(ctx context.Context) error {
	if err := w.empty(ctx); err != nil {
		return err
	}
	return w.s3.RemoveBucket(ctx, w.bucket)
}
