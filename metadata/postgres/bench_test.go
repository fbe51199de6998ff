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
	fillBucket(b, c.URL, "bench", *benchObjects, 200)
	return s
}

// fillBucket writes n objects under so many prefixes past the catalogue and its
// triggers, which would take long.
func fillBucket(t testing.TB, url, bucket string, n, prefixes int) {
	t.Helper()
	execute(t, url, `
		INSERT INTO object (bucket_id, seq, size, crc64, modified, is_null, key, version_id, etag, owner, content_type,
		                    blob, regions, attrs)
		SELECT b.id, i, i, i, now(), true,
		       format('dir-%s/%s.jpg', lpad((i % $3::bigint)::text, length(($3 - 1)::text), '0'), lpad(i::text, 9, '0')),
		       format('01ARZ3NDEKTSV4RR%s', lpad(i::text, 10, '0')), md5(i::text), 'ada', 'image/jpeg',
		       format('%s/01ARZ3NDEKTSV4RR%s.jpg', b.name, lpad(i::text, 10, '0')), '{europe}',
		       '{"sums": {"crc64nvme": "AAAAAAAAAAA="}, "sumtype": "FULL_OBJECT"}'
		  FROM bucket b, generate_series(1, $2::bigint) i WHERE b.name = $1`, bucket, n, prefixes)
	execute(t, url, `VACUUM ANALYZE object`)
}

// fillHistory gives one object in so many of a bucket a version before it.
func fillHistory(t testing.TB, url, bucket string, every int) {
	t.Helper()
	execute(t, url, `
		INSERT INTO object_history
		SELECT v.bucket_id, -v.seq, v.size, v.crc64, v.modified, false, v.key, '01ARZ3NDEKTSV4RS' || right(v.version_id, 10),
		       v.etag, v.owner, v.content_type, v.blob || '-before', v.regions, v.attrs
		  FROM object v WHERE v.bucket_id = (SELECT id FROM bucket WHERE name = $1) AND v.seq % $2::bigint = 0 ORDER BY v.key`, bucket, every)
	execute(t, url, `VACUUM ANALYZE object_history`)
}

func execute(t testing.TB, url, sql string, args ...any) {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, `SET session_replication_role = replica`); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, sql, args...); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkList asks for the same pages of a small and of a large bucket in one
// database. What a page costs, in time, blocks and rows, may depend on what it
// shows, not on how many objects there are. `make bench-list` runs it with 10
// million.
func BenchmarkList(b *testing.B) {
	c := pgtest.Config(b)
	c.MaxConns = 1 // whose statistics are flushed
	s, err := postgres.Open(b.Context(), c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	conn := connect(b, c.URL)
	for _, n := range []int{*benchObjects / 100, *benchObjects} {
		bucket := fmt.Sprintf("bench-%d", n)
		if _, err := s.CreateBucket(b.Context(), metadata.Bucket{Name: bucket, Region: "europe"}); err != nil {
			b.Fatal(err)
		}
		prefixes := min(n, max(2000, n/1000))
		fillBucket(b, c.URL, bucket, n, prefixes)
		fillHistory(b, c.URL, bucket, 5)
		dir := func(i int) string { return fmt.Sprintf("dir-%0*d/", len(fmt.Sprint(prefixes-1)), i) }
		deep, inside := dir(prefixes*9/10), dir(prefixes/2)
		for _, page := range []struct {
			name string
			q    metadata.ListQuery
		}{
			{"flat", metadata.ListQuery{}},
			{"start-after", metadata.ListQuery{After: deep}},
			{"prefix", metadata.ListQuery{Prefix: inside}},
			{"delimiter", metadata.ListQuery{Delimiter: "/"}},
			{"delimiter-start-after", metadata.ListQuery{Delimiter: "/", After: inside}},
			{"one-prefix-hides-all", metadata.ListQuery{Delimiter: "-"}},
			{"versions", metadata.ListQuery{Versions: true}},
			{"versions-start-after", metadata.ListQuery{Versions: true, After: deep}},
			{"versions-delimiter", metadata.ListQuery{Versions: true, Delimiter: "/"}},
		} {
			page.q.Bucket, page.q.Limit = bucket, 1000
			b.Run(fmt.Sprintf("objects=%d/%s", n, page.name), func(b *testing.B) { benchPage(b, s, conn, page.q) })
		}
	}
}

// benchPage also tells what a page shows, and the blocks and rows that are read
// for it.
func benchPage(b *testing.B, s *postgres.Store, conn *pgx.Conn, q metadata.ListQuery) {
	blocks, rows := blocksRead(b, s, conn), rowsRead(b, s, conn)
	entries := 0
	for b.Loop() {
		page, err := s.List(b.Context(), q)
		if err != nil {
			b.Fatal(err)
		}
		entries = len(page.Versions) + len(page.Prefixes)
	}
	if entries == 0 {
		b.Fatal("the page is empty")
	}
	pages := float64(b.N)
	b.ReportMetric(float64(entries), "entries/op")
	b.ReportMetric(float64(blocksRead(b, s, conn)-blocks)/pages, "blocks/op")
	b.ReportMetric(float64(rowsRead(b, s, conn)-rows)/pages, "rows/op")
}

// blocksRead is how many blocks of object and object_history and of their indexes
// were looked at so far, in memory or not.
func blocksRead(t testing.TB, s *postgres.Store, conn *pgx.Conn) (n int64) {
	t.Helper()
	if err := s.FlushStatistics(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := conn.QueryRow(t.Context(), `
		SELECT sum(heap_blks_read + heap_blks_hit + coalesce(idx_blks_read + idx_blks_hit, 0)
		         + coalesce(toast_blks_read + toast_blks_hit, 0)) FROM pg_statio_user_tables
		 WHERE relname IN ('object', 'object_history')`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
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

func BenchmarkDelete(b *testing.B) {
	s := benchStore(b)
	var n atomic.Int64 // each object is deleted once
	for _, clients := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("clients-%d", clients), func(b *testing.B) {
			b.SetParallelism((clients + 1) / 2) // of two processors
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					i := n.Add(1)
					_, err := s.Delete(b.Context(), metadata.Ref{Bucket: "bench", Key: fmt.Sprintf("dir-%03d/%09d.jpg", i%200, i)}, metadata.Cond{})
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
