package postgres

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype/zeronull"

	"meridian/metadata"
)

const (
	maxListLimit = 1000
	// foldProbe is how many keys a listing with a delimiter looks at before it
	// decides how to go on.
	foldProbe = 100
)

// List implements metadata.Objects. Without a delimiter a page is one range of
// an index. With one, keys that fall under a common prefix are read over while
// they are few; where they are many the listing walks: it jumps from each common
// prefix behind all that lies under it.
func (s *Store) List(ctx context.Context, q metadata.ListQuery) (metadata.ListPage, error) {
	page, err := s.list(ctx, q)
	if err != nil {
		return metadata.ListPage{}, fmt.Errorf("list %s: %w", q.Bucket, err)
	}
	return page, nil
}

func (s *Store) list(ctx context.Context, q metadata.ListQuery) (metadata.ListPage, error) {
	if err := checkListQuery(q); err != nil {
		return metadata.ListPage{}, err
	}
	l := listing{s: s, q: q, at: position{lo: q.Prefix}, hi: afterAll(q.Prefix)}
	if err := l.resume(ctx); err != nil {
		return metadata.ListPage{}, err
	}
	if q.Limit > 0 {
		if err := l.read(ctx, q.Limit+1); err != nil {
			return metadata.ListPage{}, err
		}
	}
	if len(l.entries) == 0 {
		if _, err := s.Bucket(ctx, q.Bucket); err != nil {
			return metadata.ListPage{}, err
		}
	}
	return l.page(), nil
}

func checkListQuery(q metadata.ListQuery) error {
	if !isText(q.Bucket) {
		return metadata.ErrNoSuchBucket
	}
	if q.Limit < 0 || q.Limit > maxListLimit {
		return metadata.Invalidf("limit %d is not between 0 and %d", q.Limit, maxListLimit)
	}
	for _, text := range []string{q.Prefix, q.Delimiter, q.After, q.AfterVersion} {
		if len(text) > metadata.MaxKeyLength || !isText(text) {
			return metadata.Invalidf("prefix, delimiter or marker %.40q could be of no key", text)
		}
	}
	return nil
}

// position is where a listing goes on: at key lo; and, before that, below seq
// inside key tie, unless that is empty.
type position struct {
	lo  string
	tie string
	seq int64
}

// listEntry is a version, or a common prefix.
type listEntry struct {
	common  string
	version metadata.Version
	seq     int64
}

// listing is the making of one page.
type listing struct {
	s       *Store
	q       metadata.ListQuery
	at      position
	hi      string // exclusive
	entries []listEntry
}

// resume moves the beginning behind q.After.
func (l *listing) resume(ctx context.Context) error {
	q := l.q
	if q.After == "" {
		return nil
	}
	under := strings.HasPrefix(q.After, q.Prefix)
	if under {
		if common, folds := fold(q.After, q.Prefix, q.Delimiter); folds && common == q.After {
			l.at.lo = afterAll(q.After)
			return nil
		}
	}
	l.at.lo = max(l.at.lo, next(q.After))
	if !under || !q.Versions || q.AfterVersion == "" {
		return nil
	}
	seq, err := l.s.versionPlace(ctx, metadata.Ref{Bucket: q.Bucket, Key: q.After, VersionID: q.AfterVersion})
	l.at.tie, l.at.seq = q.After, seq
	return err
}

// versionPlace returns the place of a version among those of its key: the next
// ones in a listing lie below it. It is known for some time after a version is
// gone, since many a lister deletes what it lists. Where it is not known any more
// the key is listed anew: better twice than not at all.
func (s *Store) versionPlace(ctx context.Context, r metadata.Ref) (int64, error) {
	var seq int64
	err := s.pool.QueryRow(ctx, `
		SELECT coalesce(
		       (SELECT v.seq FROM object v WHERE `+inBucket+` AND v.key = $2 AND v.version_id = $3),
		       (SELECT v.seq FROM object_history v WHERE `+inBucket+` AND v.key = $2 AND v.version_id = $3),
		       (SELECT v.seq FROM object v WHERE `+inBucket+` AND v.key = $2 AND v.is_null AND $3 = 'null'),
		       (SELECT v.seq FROM object_history v WHERE `+inBucket+` AND v.key = $2 AND v.is_null AND $3 = 'null'),
		       (SELECT v.seq FROM dropped_version v WHERE v.bucket = $1 AND v.key = $2 AND v.version_id = $3),
		       (SELECT m.seq FROM removed_marker m WHERE m.version_id = $3),
		       9223372036854775807)`, r.Bucket, r.Key, r.VersionID).Scan(&seq)
	return seq, err
}

// read collects entries until there are want of them or no more.
func (l *listing) read(ctx context.Context, want int) error {
	walk := false
	for len(l.entries) < want && (l.at.lo < l.hi || l.at.tie != "") {
		ask := want - len(l.entries)
		if walk {
			return l.walk(ctx, ask)
		}
		if l.q.Delimiter != "" && len(l.entries) == 0 {
			ask = min(ask, foldProbe)
		}
		before := len(l.entries)
		rows, err := l.flat(ctx, ask)
		if err != nil || rows < ask {
			return err
		}
		walk = 2*(len(l.entries)-before) < rows
	}
	return nil
}

// flat reads the next n versions, folds them into entries, and returns how many
// versions there were.
func (l *listing) flat(ctx context.Context, n int) (int, error) {
	var rows pgx.Rows
	var err error
	if l.q.Versions {
		rows, err = l.s.pool.Query(ctx, flatVersionsSQL, l.q.Bucket, l.at.lo, l.hi, n, l.at.tie, l.at.seq)
	} else {
		rows, err = l.s.pool.Query(ctx, flatObjectsSQL, l.q.Bucket, l.at.lo, l.hi, n)
	}
	if err != nil {
		return 0, err
	}
	var scan versionScan
	count := 0
	_, err = pgx.ForEachRow(rows, scan.targets(), func() error {
		count++
		common, folds := fold(scan.v.Key, l.q.Prefix, l.q.Delimiter)
		if !folds {
			return l.add("", &scan)
		}
		if end := len(l.entries) - 1; end >= 0 && l.entries[end].common == common {
			return nil
		}
		return l.add(common, &scan)
	})
	return count, err
}

// walk reads the next n entries.
func (l *listing) walk(ctx context.Context, n int) error {
	sql := walkObjectsSQL
	args := []any{l.q.Bucket, l.at.lo, l.hi, utf8.RuneCountInString(l.q.Prefix), l.q.Delimiter,
		afterAll(l.q.Delimiter), n}
	if l.q.Versions {
		sql = walkVersionsSQL
		args = append(args, l.at.tie, l.at.seq)
	}
	rows, err := l.s.pool.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	var scan versionScan
	var common string
	_, err = pgx.ForEachRow(rows, append([]any{(*zeronull.Text)(&common)}, scan.targets()...), func() error {
		return l.add(common, &scan)
	})
	return err
}

// add appends an entry and moves the position behind it.
func (l *listing) add(common string, scan *versionScan) error {
	if common != "" {
		l.entries = append(l.entries, listEntry{common: common})
		l.at = position{lo: afterAll(common)}
		return nil
	}
	v, err := scan.version(l.q.Bucket)
	l.entries = append(l.entries, listEntry{version: v, seq: scan.seq})
	l.at = position{lo: next(v.Key)}
	if l.q.Versions {
		l.at.tie, l.at.seq = v.Key, scan.seq
	}
	return err
}

func (l *listing) page() metadata.ListPage {
	var page metadata.ListPage
	if len(l.entries) > l.q.Limit {
		page.Truncated = true
		l.entries = l.entries[:l.q.Limit]
		last := l.entries[l.q.Limit-1]
		page.Next = last.common
		if last.common == "" {
			page.Next = last.version.Key
			if l.q.Versions {
				// Not "null", which may name another version by the next page.
				page.NextVersion = last.version.ID
			}
		}
	}
	for _, e := range l.entries {
		if e.common != "" {
			page.Prefixes = append(page.Prefixes, e.common)
		} else {
			page.Versions = append(page.Versions, e.version)
		}
	}
	return page
}
