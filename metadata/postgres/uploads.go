package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype/zeronull"

	"meridian/metadata"
)

// uploadColumns are as scanUpload reads them, of upload u in bucket b.
const uploadColumns = `u.id, b.name, u.key, u.version_id, u.owner, u.content_type, u.blob, u.regions, u.attrs,
	u.initiator, u.region, u.store_upload, u.checksum_algorithm, u.checksum_type, u.created`

func scanUpload(row pgx.CollectableRow) (metadata.Upload, error) {
	var u metadata.Upload
	var attrs []byte
	t := &u.Template
	err := row.Scan(&u.ID, &t.Bucket, &t.Key, &t.ID, &t.Owner, &t.ContentType, &t.Blob, &t.Regions, &attrs,
		&u.Initiator, &u.Region, &u.StoreUpload, &u.ChecksumAlgorithm, &u.ChecksumType, &u.Created)
	if err != nil {
		return u, err
	}
	if len(t.Regions) == 0 {
		t.Regions = nil
	}
	u.Created = u.Created.UTC()
	return u, parseAttrs(attrs, t)
}

func (s *Store) uploads(ctx context.Context, sql string, args ...any) ([]metadata.Upload, error) {
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanUpload)
}

// oneUpload runs a query for at most one upload.
func (s *Store) oneUpload(ctx context.Context, sql string, args ...any) (metadata.Upload, error) {
	list, err := s.uploads(ctx, sql, args...)
	if err != nil {
		return metadata.Upload{}, err
	}
	if len(list) == 0 {
		return metadata.Upload{}, metadata.ErrNoSuchUpload
	}
	return list[0], nil
}

// CreateUpload implements metadata.Uploads.
func (s *Store) CreateUpload(ctx context.Context, u metadata.Upload) error {
	if err := s.createUpload(ctx, u); err != nil {
		return fmt.Errorf("create upload for %s/%s: %w", u.Template.Bucket, u.Template.Key, err)
	}
	return nil
}

func (s *Store) createUpload(ctx context.Context, u metadata.Upload) error {
	t := asKept(u.Template)
	if err := checkVersion(&t); err != nil {
		return err
	}
	for _, text := range []string{u.ID, u.Initiator, u.Region, u.StoreUpload, u.ChecksumAlgorithm, u.ChecksumType} {
		if !isText(text) {
			return metadata.Invalidf("upload holds %q, which is not text", text)
		}
	}
	if u.ID == "" || t.Blob == "" || u.Region == "" {
		return metadata.Invalidf("upload lacks its ID, blob or region")
	}
	if u.Created.IsZero() {
		u.Created = time.Now()
	}
	attrs, err := formatAttrs(&t)
	if err != nil {
		return err
	}
	tag, err := s.pool.Exec(ctx, `
		INSERT INTO upload (id, bucket_id, key, version_id, owner, content_type, blob, regions, attrs,
		                    initiator, region, store_upload, checksum_algorithm, checksum_type, created)
		SELECT $1, b.id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15
		  FROM open_bucket($2) b, LATERAL refuse_regions(b, $8) WHERE b.id IS NOT NULL`,
		u.ID, t.Bucket, t.Key, t.ID, t.Owner, t.ContentType, t.Blob, textList(t.Regions), attrs,
		u.Initiator, u.Region, u.StoreUpload, u.ChecksumAlgorithm, u.ChecksumType, u.Created)
	if err == nil && tag.RowsAffected() == 0 {
		err = metadata.ErrNoSuchBucket
	}
	return refusedRegion(err)
}

// Upload implements metadata.Uploads.
func (s *Store) Upload(ctx context.Context, bucket, key, id string) (metadata.Upload, error) {
	var u metadata.Upload
	err := metadata.ErrNoSuchUpload
	if isText(bucket) && isText(key) && isText(id) {
		u, err = s.oneUpload(ctx, `
			SELECT `+uploadColumns+` FROM upload u JOIN bucket b ON b.id = u.bucket_id
			 WHERE u.id = $3 AND u.key = $2 AND b.name = $1`, bucket, key, id)
	}
	if err != nil {
		return metadata.Upload{}, fmt.Errorf("upload %s of %s/%s: %w", id, bucket, key, err)
	}
	return u, nil
}

// PutPart implements metadata.Uploads.
func (s *Store) PutPart(ctx context.Context, uploadID string, p metadata.Part) (*metadata.Part, error) {
	replaced, err := s.putPart(ctx, uploadID, p)
	if err != nil {
		return nil, fmt.Errorf("put part %d of upload %s: %w", p.Number, uploadID, err)
	}
	return replaced, nil
}

func (s *Store) putPart(ctx context.Context, uploadID string, p metadata.Part) (*metadata.Part, error) {
	if !isText(uploadID) {
		return nil, metadata.ErrNoSuchUpload
	}
	if p.Number < 1 || p.Size < 0 || !isText(p.ETag) || !isText(p.StorePart) {
		return nil, metadata.Invalidf("part %d of %d bytes cannot be kept", p.Number, p.Size)
	}
	var replaced *metadata.Part
	err := retry(ctx, false, func() (err error) {
		replaced, err = recordPart(ctx, s.pool, uploadID, &p)
		return err
	})
	return replaced, err
}

// recordPart runs put_part.
func recordPart(ctx context.Context, db querier, uploadID string, p *metadata.Part) (*metadata.Part, error) {
	modified := p.Modified
	if modified.IsZero() {
		modified = time.Now()
	}
	var sums []byte
	if len(p.Checksums) > 0 {
		var err error
		if sums, err = json.Marshal(p.Checksums); err != nil {
			return nil, err
		}
	}
	var found bool
	var old partScan
	err := db.QueryRow(ctx, `
		SELECT d.r_found, `+partColumns+` FROM put_part($1, $2, $3, $4, $5, $6, $7, $8, $9) d,
		       LATERAL (SELECT (d.r_replaced).*) p`,
		uploadID, p.Number, p.Size, int64(p.CRC64), modified, p.ETag, p.StorePart, sums, p.Salt).
		Scan(append([]any{&found}, old.targets()...)...)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, metadata.ErrNoSuchUpload
	case old.number == 0:
		return nil, nil
	}
	replaced, err := old.part()
	return &replaced, err
}

// partColumns are of part p, as partScan reads them.
const partColumns = `p.number, p.size, p.crc64, p.modified, p.etag, p.store_part, p.checksums, p.salt`

// partScan reads a part; columns that are all null make an empty one.
type partScan struct {
	p      metadata.Part
	number int64
	crc64  int64
	sums   []byte
}

func (s *partScan) targets() []any {
	return []any{(*zeronull.Int8)(&s.number), (*zeronull.Int8)(&s.p.Size), (*zeronull.Int8)(&s.crc64),
		(*zeronull.Timestamptz)(&s.p.Modified), (*zeronull.Text)(&s.p.ETag), (*zeronull.Text)(&s.p.StorePart), &s.sums, &s.p.Salt}
}

func (s *partScan) part() (metadata.Part, error) {
	p := s.p
	p.Number, p.CRC64, p.Modified = int(s.number), uint64(s.crc64), p.Modified.UTC()
	if len(s.sums) > 0 {
		if err := json.Unmarshal(s.sums, &p.Checksums); err != nil {
			return p, fmt.Errorf("checksums of part %d: %w", p.Number, err)
		}
	}
	return p, nil
}

// partsPage is how many parts one query reads.
const partsPage = 1000

// Parts implements metadata.Uploads. An upload without parts, and one that does
// not exist, yield none.
func (s *Store) Parts(ctx context.Context, uploadID string, after int) iter.Seq2[metadata.Part, error] {
	return paged(partsPage, func(last *metadata.Part) ([]metadata.Part, error) {
		if last != nil {
			after = last.Number
		}
		if !isText(uploadID) {
			return nil, nil
		}
		rows, err := s.pool.Query(ctx, `
			SELECT `+partColumns+` FROM part p WHERE upload_id = $1 AND number > $2 ORDER BY number LIMIT $3`,
			uploadID, after, partsPage)
		var page []metadata.Part
		if err == nil {
			page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (metadata.Part, error) {
				var scan partScan
				if err := row.Scan(scan.targets()...); err != nil {
					return metadata.Part{}, err
				}
				return scan.part()
			})
		}
		if err != nil {
			return nil, fmt.Errorf("parts of upload %s: %w", uploadID, err)
		}
		return page, nil
	})
}

// CompleteUpload implements metadata.Uploads.
func (s *Store) CompleteUpload(ctx context.Context, uploadID string, v metadata.Version, c metadata.Cond) (metadata.Version, error) {
	err := metadata.ErrNoSuchUpload
	var done metadata.Version
	if uploadID != "" && isText(uploadID) {
		done, err = s.commit(ctx, uploadID, v, c)
	}
	if err != nil {
		return metadata.Version{}, fmt.Errorf("complete upload %s of %s/%s: %w", uploadID, v.Bucket, v.Key, err)
	}
	return done, nil
}

// AbortUpload implements metadata.Uploads.
func (s *Store) AbortUpload(ctx context.Context, uploadID string) (metadata.Upload, error) {
	var u metadata.Upload
	err := metadata.ErrNoSuchUpload
	if isText(uploadID) {
		err = retry(ctx, false, func() (err error) {
			u, err = s.oneUpload(ctx, `
				DELETE FROM upload u USING bucket b WHERE u.id = $1 AND b.id = u.bucket_id
				RETURNING `+uploadColumns, uploadID)
			return err
		})
	}
	if err != nil {
		return metadata.Upload{}, fmt.Errorf("abort upload %s: %w", uploadID, err)
	}
	return u, nil
}

// staleUploadsPage is how many uploads one query reads.
const staleUploadsPage = 200

// StaleUploads implements metadata.Uploads, oldest first.
func (s *Store) StaleUploads(ctx context.Context, region string, t time.Time) iter.Seq2[metadata.Upload, error] {
	return paged(staleUploadsPage, func(last *metadata.Upload) ([]metadata.Upload, error) {
		var after metadata.Upload
		if last != nil {
			after = *last
		}
		page, err := s.uploads(ctx, `
			SELECT `+uploadColumns+` FROM upload u JOIN bucket b ON b.id = u.bucket_id
			 WHERE u.region = $1 AND u.created < $2 AND (u.created, u.id) > ($3, $4)
			 ORDER BY u.created, u.id LIMIT $5`, region, t, after.Created, after.ID, staleUploadsPage)
		if err != nil {
			return nil, fmt.Errorf("stale uploads of %s: %w", region, err)
		}
		return page, nil
	})
}
