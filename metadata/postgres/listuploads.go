package postgres

import (
	"context"
	"fmt"
	"strings"

	"meridian/metadata"
)

// ListUploads implements metadata.Uploads. There are few uploads in progress, so
// that many under one common prefix may cost a query of their own.
func (s *Store) ListUploads(ctx context.Context, q metadata.UploadQuery) (metadata.UploadPage, error) {
	page, err := s.listUploads(ctx, q)
	if err != nil {
		return metadata.UploadPage{}, fmt.Errorf("list uploads of %s: %w", q.Bucket, err)
	}
	return page, nil
}

const listUploadsSQL = `
	SELECT u.* FROM (
	    (SELECT ` + uploadColumns + ` FROM upload u JOIN bucket b ON b.id = u.bucket_id
	      WHERE b.name = $1 AND u.key = $5 AND u.id > $6 ORDER BY u.id LIMIT $4)
	    UNION ALL
	    (SELECT ` + uploadColumns + ` FROM upload u JOIN bucket b ON b.id = u.bucket_id
	      WHERE b.name = $1 AND u.key >= $2 AND u.key < $3 ORDER BY u.key, u.id LIMIT $4)
	) u ORDER BY u.key, u.id LIMIT $4`

func (s *Store) listUploads(ctx context.Context, q metadata.UploadQuery) (metadata.UploadPage, error) {
	err := checkListQuery(metadata.ListQuery{Bucket: q.Bucket, Prefix: q.Prefix, Delimiter: q.Delimiter,
		After: q.KeyMarker, AfterVersion: q.UploadMarker, Limit: q.Limit})
	if err != nil {
		return metadata.UploadPage{}, err
	}
	if _, err := s.Bucket(ctx, q.Bucket); err != nil || q.Limit == 0 {
		return metadata.UploadPage{}, err
	}
	l := uploadListing{q: q, lo: q.Prefix}
	l.resume()
	for hi := afterAll(q.Prefix); l.count() <= q.Limit; {
		ask := q.Limit + 1 - l.count()
		rows, err := s.uploads(ctx, listUploadsSQL, q.Bucket, l.lo, hi, ask, l.tie, l.id)
		if err != nil {
			return metadata.UploadPage{}, err
		}
		for _, u := range rows {
			l.add(u)
		}
		if len(rows) < ask {
			break
		}
	}
	if !l.page.Truncated {
		l.page.NextKey, l.page.NextUpload = "", ""
	}
	return l.page, nil
}

// uploadListing is the making of one page. It goes on at key lo and, before
// that, behind upload id inside key tie.
type uploadListing struct {
	q           metadata.UploadQuery
	page        metadata.UploadPage
	lo, tie, id string
}

func (l *uploadListing) count() int {
	n := len(l.page.Uploads) + len(l.page.Prefixes)
	if l.page.Truncated {
		n++
	}
	return n
}

// resume moves the beginning behind the markers.
func (l *uploadListing) resume() {
	q := l.q
	if q.KeyMarker == "" {
		return
	}
	under := strings.HasPrefix(q.KeyMarker, q.Prefix)
	if under {
		if common, folds := fold(q.KeyMarker, q.Prefix, q.Delimiter); folds && common == q.KeyMarker {
			l.lo = afterAll(common)
			return
		}
	}
	l.lo = max(l.lo, next(q.KeyMarker))
	if under && q.UploadMarker != "" {
		l.tie, l.id = q.KeyMarker, q.UploadMarker
	}
}

// add takes the next upload in order.
func (l *uploadListing) add(u metadata.Upload) {
	common, folds := fold(u.Template.Key, l.q.Prefix, l.q.Delimiter)
	if folds && len(l.page.Prefixes) > 0 && l.page.Prefixes[len(l.page.Prefixes)-1] == common {
		return
	}
	if l.count() >= l.q.Limit {
		l.page.Truncated = true // this one is the first of the next page
		return
	}
	if folds {
		l.page.Prefixes = append(l.page.Prefixes, common)
		l.page.NextKey, l.page.NextUpload = common, ""
		l.lo, l.tie, l.id = afterAll(common), "", ""
		return
	}
	l.page.Uploads = append(l.page.Uploads, u)
	l.page.NextKey, l.page.NextUpload = u.Template.Key, u.ID
	l.lo, l.tie, l.id = next(u.Template.Key), u.Template.Key, u.ID
}
