package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	clients   = 16
	bucket    = "bench"
	pageSize  = 1000
	partSize  = 8 << 20
	filmSize  = 64 << 20
	photoSize = 1 << 20
	noteSize  = 4 << 10
)

// content is the beginning of every object.
var content = func() []byte {
	b := make([]byte, filmSize)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(b) // it cannot fail
	return b
}()

// kind is objects of one size, which lie in the bucket from the beginning.
type kind struct {
	name  string
	size  int
	count int
}

var (
	note  = kind{"note", noteSize, 5000}
	photo = kind{"photo", photoSize, 64}
	film  = kind{"film", filmSize, 4}
	kinds = []kind{note, photo, film}
)

// path is that of the i-th object of a kind. Names sort as their numbers.
func (k kind) path(i int) string { return fmt.Sprintf("/%s/%s/%06d", bucket, k.name, i%k.count) }

// row is one line of the table: what is asked for again and again.
type row struct {
	name string
	unit string
	// each is how many units one operation counts.
	each float64
	// ask does the operation with a number of its own.
	ask func(ctx context.Context, c *client, s *server, n int) error
	// most limits how often it is done in one of so many rounds; nil does not.
	most func(s *server, rounds int) int
}

var rows = []row{
	{name: "put-4KiB", unit: "op/s", each: 1, ask: func(ctx context.Context, c *client, s *server, _ int) error {
		return c.expect(ctx, http.MethodPut, newPath(s.written.Add(1)), content[:noteSize], http.StatusOK)
	}},
	{name: "get-4KiB", unit: "op/s", each: 1, ask: get(note)},
	{name: "head", unit: "op/s", each: 1, ask: func(ctx context.Context, c *client, _ *server, n int) error {
		return c.expect(ctx, http.MethodHead, note.path(n*7919), nil, http.StatusOK)
	}},
	{name: "put-1MiB", unit: "MiB/s", each: 1, ask: func(ctx context.Context, c *client, _ *server, n int) error {
		return c.expect(ctx, http.MethodPut, fmt.Sprintf("/%s/new-photo/%d", bucket, n%256), content[:photoSize], http.StatusOK)
	}},
	{name: "get-1MiB", unit: "MiB/s", each: 1, ask: get(photo)},
	{name: "put-64MiB-multipart", unit: "MiB/s", each: 64, ask: putParts},
	{name: "get-64MiB", unit: "MiB/s", each: 64, ask: get(film)},
	{name: "list", unit: "objects/s", each: pageSize, ask: list},
	{
		name: "delete", unit: "op/s", each: 1,
		ask: func(ctx context.Context, c *client, s *server, _ int) error {
			return c.expect(ctx, http.MethodDelete, newPath(s.deleted.Add(1)), nil, http.StatusNoContent)
		},
		most: func(s *server, rounds int) int { return int(s.written.Load()) / rounds },
	},
}

// newPath is that of the n-th object that was put while it was measured.
func newPath(n int64) string { return fmt.Sprintf("/%s/new/%08d", bucket, n) }

func get(k kind) func(context.Context, *client, *server, int) error {
	return func(ctx context.Context, c *client, _ *server, n int) error {
		got, err := c.do(ctx, http.MethodGet, k.path(n*7919), nil, nil)
		if err == nil && (got.status != http.StatusOK || got.bytes != int64(k.size)) {
			err = fmt.Errorf("%w: %d with %d bytes for GET %s", errWrongAnswer, got.status, got.bytes, k.path(n*7919))
		}
		return err
	}
}

// list asks for a page somewhere in the bucket.
func list(ctx context.Context, c *client, _ *server, n int) error {
	after := (n * 37) % (note.count - pageSize)
	var page bytes.Buffer
	got, err := c.do(ctx, http.MethodGet, fmt.Sprintf("/%s?list-type=2&max-keys=%d&start-after=%s%%2F%06d", bucket, pageSize, note.name, after), nil, &page)
	if err != nil {
		return err
	}
	if keys := bytes.Count(page.Bytes(), []byte("<Key>")); got.status != http.StatusOK || keys != pageSize {
		return fmt.Errorf("%w: %d with %d keys for a page of %d", errWrongAnswer, got.status, keys, pageSize)
	}
	return nil
}

// putParts puts an object in parts, one after the other, over one that is there.
func putParts(ctx context.Context, c *client, _ *server, n int) error {
	path := fmt.Sprintf("/%s/new-film/%d", bucket, n%clients)
	var begun bytes.Buffer
	got, err := c.do(ctx, http.MethodPost, path+"?uploads=", nil, &begun)
	if err != nil {
		return err
	}
	_, rest, _ := bytes.Cut(begun.Bytes(), []byte("<UploadId>"))
	id, _, found := bytes.Cut(rest, []byte("</UploadId>"))
	if got.status != http.StatusOK || !found {
		return fmt.Errorf("%w: %d for the beginning of an upload: %s", errWrongAnswer, got.status, begun.Bytes())
	}
	var complete bytes.Buffer
	complete.WriteString("<CompleteMultipartUpload>")
	for part := range filmSize / partSize {
		sent, err := c.do(ctx, http.MethodPut, fmt.Sprintf("%s?partNumber=%d&uploadId=%s", path, part+1, id), content[part*partSize:(part+1)*partSize], nil)
		if err != nil {
			return err
		}
		if sent.status != http.StatusOK || sent.etag == "" {
			return fmt.Errorf("%w: %d for a part", errWrongAnswer, sent.status)
		}
		fmt.Fprintf(&complete, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", part+1, sent.etag)
	}
	complete.WriteString("</CompleteMultipartUpload>")
	var said bytes.Buffer
	got, err = c.do(ctx, http.MethodPost, fmt.Sprintf("%s?uploadId=%s", path, id), complete.Bytes(), &said)
	if err == nil && (got.status != http.StatusOK || !bytes.Contains(said.Bytes(), []byte("CompleteMultipartUploadResult"))) {
		err = fmt.Errorf("%w: %d for the end of an upload: %s", errWrongAnswer, got.status, said.Bytes())
	}
	return err
}

// turns hands out the numbers of the operations of one turn, until its time or
// their number is over.
type turns struct {
	next atomic.Int64
	most int64 // negative: no limit
	end  time.Time
}

func (t *turns) take() (n int, ok bool) {
	i := t.next.Add(1) - 1
	return int(i), (t.most < 0 || i < t.most) && time.Now().Before(t.end)
}

// share has so many clients take turns, each over a connection of its own. do is told
// which client it is and which turn.
func (t *turns) share(ctx context.Context, s *server, count int, do func(ctx context.Context, c *client, i, n int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for i := range count {
		g.Go(func() error {
			c, err := dial(ctx, s.host)
			if err != nil {
				return err
			}
			defer c.close()
			for {
				n, ok := t.take()
				if !ok {
					return ctx.Err()
				}
				if err := do(ctx, c, i, n); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}
