package postgres_test

import (
	"context"
	"flag"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/metadata"
	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgtest"
)

var benchObjects = flag.Int("bench-objects", 200_000, "objects in the bucket that is listed and written to")

// benchStore is a catalogue with a bucket of many objects under 200 prefixes.
func benchStore(b *testing.B) *postgres.Store {
	b.Helper()
	c := pgtest.Config(b)
	c.MaxConns = 32
	s, err := postgres.Open(b.Context(), c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	if _, err := s.CreateBucket(b.Context(), metadata.Bucket{Name: "bench", Region: "europe"}); err != nil {
		b.Fatal(err)
	}
	fillBucket(b, c.URL, "bench", *benchObjects)
	return s
}

// fillBucket writes n objects past the catalogue, which would take long.
func fillBucket(t testing.TB, url, bucket string, n int) {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, `
		INSERT INTO object (bucket_id, seq, size, crc64, modified, is_null, key, version_id, etag, owner, content_type,
		                    blob, regions, attrs)
		SELECT b.id, i, i, i, now(), true, format('dir-%s/%s.jpg', lpad((i % 200)::text, 3, '0'), lpad(i::text, 9, '0')),
		       format('01ARZ3NDEKTSV4RR%s', lpad(i::text, 10, '0')), md5(i::text), 'ada', 'image/jpeg',
		       format('%s/01ARZ3NDEKTSV4RR%s.jpg', b.name, lpad(i::text, 10, '0')), '{europe}',
		       '{"sums": {"crc64nvme": "AAAAAAAAAAA="}, "sumtype": "FULL_OBJECT"}'
		  FROM bucket b, generate_series(1, $2::bigint) i WHERE b.name = $1`, bucket, n)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, `VACUUM ANALYZE object`); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkList(b *testing.B) {
	s := benchStore(b)
	for name, q := range map[string]metadata.ListQuery{
		"flat":      {Limit: 1000},
		"middle":    {Limit: 1000, After: "dir-100/"},
		"delimiter": {Limit: 1000, Delimiter: "/"},
		"inside":    {Limit: 1000, Delimiter: "/", Prefix: "dir-100/"},
		"versions":  {Limit: 1000, Versions: true},
		"folded":    {Limit: 1000, Versions: true, Delimiter: "/"},
	} {
		q.Bucket = "bench"
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.List(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	s := benchStore(b)
	ref := metadata.Ref{Bucket: "bench", Key: "dir-100/000000100.jpg"}
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Lookup(b.Context(), ref); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkCommit(b *testing.B) {
	s := benchStore(b)
	for _, clients := range []int{1, 8, 32} {
		for _, what := range []string{"create", "overwrite"} {
			b.Run(fmt.Sprintf("%s/clients-%d", what, clients), func(b *testing.B) {
				var n atomic.Int64
				run := time.Now().UnixNano()
				b.SetParallelism((clients + 1) / 2) // of two processors
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						i := n.Add(1)
						id := fmt.Sprintf("01ARZ3NDEKTSV%d%013d", run, i)
						key := "new/" + id
						if what == "overwrite" {
							key = fmt.Sprintf("dir-%03d/%09d.jpg", i%200, i%int64(*benchObjects)+1)
						}
						_, err := s.Commit(b.Context(), metadata.Version{Bucket: "bench", Key: key, ID: id, Blob: "bench/" + id + ".jpg",
							Size: 100, ETag: "0123456789abcdef0123456789abcdef", Regions: []string{"europe"}, ContentType: "image/jpeg",
							Checksums: map[string]string{"crc64nvme": "AAAAAAAAAAA="}}, metadata.Cond{})
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}
