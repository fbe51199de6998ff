package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"meridian/metadata"
)

// Commit implements metadata.Objects. A single statement is the transaction, so
// that it takes one round trip.
func (s *Store) Commit(ctx context.Context, v metadata.Version, c metadata.Cond) (metadata.Version, error) {
	done, err := s.commit(ctx, "", v, c)
	if err != nil {
		return metadata.Version{}, fmt.Errorf("commit %s/%s: %w", v.Bucket, v.Key, err)
	}
	return done, nil
}

// commit commits v and, where upload is not empty, ends that upload. Repeating
// it is harmless, so it is also repeated after a lost connection.
func (s *Store) commit(ctx context.Context, upload string, v metadata.Version, c metadata.Cond) (metadata.Version, error) {
	err := checkVersion(&v)
	if err == nil && (v.Blob == "" || len(v.Regions) == 0 || v.DeleteMarker) {
		err = metadata.Invalidf("version %s names no blob or no region that holds it", v.ID)
	}
	if err == nil {
		err = checkCond(c)
	}
	if err != nil {
		return v, err
	}
	v = asKept(v)
	attrs, err := formatAttrs(&v)
	if err != nil {
		return v, err
	}
	parts, err := formatParts(v.Parts)
	if err != nil {
		return v, err
	}
	operation := metadata.ByPut
	if upload != "" {
		operation = metadata.ByMultipart
	}
	data, err := json.Marshal(objectEvent{
		metadata.ObjectData{Size: v.Size, ETag: v.ETag, ContentType: cmp.Or(v.Sniffed, v.ContentType), Current: true}, causeOf(c, operation),
	})
	if err != nil {
		return v, err
	}
	var status string
	var at place
	var null *bool
	w := &write{
		bucket: v.Bucket,
		sql: `
			SELECT r_status, r_xid, r_seq, r_null FROM commit_version(
			       $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)`,
		args: []any{
			v.Bucket, v.Key, v.ID, v.Size, int64(v.CRC64), v.Modified, v.ETag, v.Owner, v.ContentType, v.Blob, v.Regions,
			attrs, parts, etags(c.IfMatch), etags(c.IfNoneMatch), c.IfVersion, upload, s.region, data,
		},
		targets: []any{&status, &at.xid, &at.id, &null},
		status:  &status,
		waits:   upload != "", // whose parts may be coming still
	}
	err = s.write(ctx, true, w)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == codeQuota {
		return v, w.told(fmt.Errorf("%w: %s", metadata.ErrQuota, pg.Message))
	}
	if err != nil {
		return v, w.told(refusedRemoval(refusedRegion(err)))
	}
	if status == "again" {
		return s.committedBefore(ctx, v)
	}
	if err := statusError(status); err != nil {
		return v, w.told(err)
	}
	s.ring()
	v.Null, v.Latest, v.Seq = null != nil && *null, true, at.seq()
	return v, nil
}

// objectEvent is the data of an object's event as the outbox keeps it.
type objectEvent struct {
	metadata.ObjectData
	Cause metadata.Cause `json:"cause,omitzero"`
}

// maxCause bounds what is kept of each part of a cause, in bytes.
const maxCause = 256

// causeOf is the cause of a write in the form that can be kept.
func causeOf(c metadata.Cond, operation string) metadata.Cause {
	return metadata.Cause{
		Operation: cmp.Or(c.By.Operation, operation), User: asText(c.By.User, maxCause),
		Address: asText(c.By.Address, maxCause), Request: asText(c.By.Request, maxCause),
	}
}

// place is a Seq that may be null.
type place struct {
	xid *uint64
	id  *int64
}

func (p place) seq() metadata.Seq {
	if p.xid == nil || p.id == nil {
		return metadata.Seq{}
	}
	return metadata.Seq{Xid: *p.xid, ID: uint64(*p.id)}
}

// committedBefore answers a Commit that came again with what is known of the
// version now. The head of the feed stands for its event.
func (s *Store) committedBefore(ctx context.Context, v metadata.Version) (metadata.Version, error) {
	head, err := s.Head(ctx)
	if err != nil {
		return v, err
	}
	ref := metadata.Ref{Bucket: v.Bucket, Key: v.Key, VersionID: v.ID}
	found, err := s.Lookup(ctx, ref)
	if errors.Is(err, metadata.ErrNoSuchVersion) {
		found, err = s.LookupDropped(ctx, ref)
		if errors.Is(err, metadata.ErrNoSuchVersion) { // freed since
			found, err = v, nil
		}
	}
	found.Seq = head
	return found, err
}

func checkCond(c metadata.Cond) error {
	for _, list := range [][]string{c.IfMatch, c.IfNoneMatch, {c.IfVersion}} {
		for _, text := range list {
			if !isText(text) {
				return metadata.Invalidf("condition holds %q, which is not text", text)
			}
		}
	}
	return nil
}

// etags makes a condition that is not there null.
func etags(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}

// statusError is the error that a function of the schema means by its r_status.
func statusError(status string) error {
	switch status {
	case "done":
		return nil
	case "no bucket":
		return metadata.ErrNoSuchBucket
	case "no key":
		return metadata.ErrNoSuchKey
	case "no version":
		return metadata.ErrNoSuchVersion
	case "no upload":
		return metadata.ErrNoSuchUpload
	case "precondition":
		return metadata.ErrPrecondition
	}
	return fmt.Errorf("the schema answers %q, which is unknown", status)
}

// Delete implements metadata.Objects.
func (s *Store) Delete(ctx context.Context, r metadata.Ref, c metadata.Cond) (metadata.Version, error) {
	v, err := s.remove(ctx, r, c)
	if err != nil {
		return metadata.Version{}, fmt.Errorf("delete %s/%s: %w", r.Bucket, r.Key, err)
	}
	s.ring()
	return v, nil
}

func (s *Store) remove(ctx context.Context, r metadata.Ref, c metadata.Cond) (metadata.Version, error) {
	if err := checkRef(r); err != nil {
		return metadata.Version{}, err
	}
	if err := checkCond(c); err != nil {
		return metadata.Version{}, err
	}
	marker, err := newULID()
	if err != nil {
		return metadata.Version{}, err
	}
	cause, err := json.Marshal(causeOf(c, metadata.ByDelete))
	if err != nil {
		return metadata.Version{}, err
	}
	var status string
	var at place
	var scan versionScan
	err = s.write(ctx, false, &write{
		bucket: r.Bucket,
		sql: `
			SELECT d.r_status, d.r_xid, d.r_seq, ` + columnsOfBoth + `, v.marker, v.marker AS latest, v.parts
			  FROM delete_version($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) d, LATERAL (SELECT (d.r_version).*) v`,
		args: []any{
			r.Bucket, r.Key, r.VersionID, etags(c.IfMatch), etags(c.IfNoneMatch), c.IfVersion,
			marker, time.Now(), s.region, cause, c.BypassGovernance,
		},
		targets: append(append([]any{&status, &at.xid, &at.id}, scan.targets()...), &scan.parts),
		status:  &status,
	})
	err = refusedRemoval(err)
	if err == nil {
		err = statusError(status)
	}
	if err != nil {
		return metadata.Version{}, err
	}
	v, err := scan.version(r.Bucket)
	v.Seq = at.seq()
	v.Latest = r.VersionID == "" && v.DeleteMarker
	return v, err
}

// checkRef refuses what no version can be named.
func checkRef(r metadata.Ref) error {
	if !isText(r.Bucket) {
		return metadata.ErrNoSuchBucket
	}
	if err := metadata.CheckKey(r.Key); err != nil {
		return err
	}
	if !isText(r.VersionID) {
		return metadata.ErrNoSuchVersion
	}
	return nil
}

// Lookup implements metadata.Objects. A current version takes one index probe;
// only where there is none the catalogue is asked why.
func (s *Store) Lookup(ctx context.Context, r metadata.Ref) (metadata.Version, error) {
	v, err := lookup(ctx, s.pool, r)
	if err != nil {
		return v, fmt.Errorf("lookup %s/%s: %w", r.Bucket, r.Key, err)
	}
	return v, nil
}

const (
	currentSQL = `
		SELECT ` + objectColumns + `, v.parts FROM object v
		 WHERE v.bucket_id = (SELECT id FROM bucket WHERE name = $1) AND v.key = $2`
	// markerSQL looks once more for a current version: one may have come to
	// light since currentSQL looked.
	markerSQL = `(` + currentSQL + `) UNION ALL (
		SELECT ` + historyColumns + `, v.parts FROM object_history v
		 WHERE v.bucket_id = (SELECT id FROM bucket WHERE name = $1) AND v.key = $2
		 ORDER BY v.seq DESC LIMIT 1) LIMIT 1`
	byIDSQL = `
		SELECT ` + objectColumns + `, v.parts FROM object v
		 WHERE v.bucket_id = (SELECT id FROM bucket WHERE name = $1) AND v.key = $2 AND v.version_id = $3
		UNION ALL
		SELECT ` + historyColumns + `, v.parts FROM object_history v
		 WHERE v.bucket_id = (SELECT id FROM bucket WHERE name = $1) AND v.key = $2 AND v.version_id = $3`
	nullSQL = `
		SELECT ` + objectColumns + `, v.parts FROM object v
		 WHERE v.bucket_id = (SELECT id FROM bucket WHERE name = $1) AND v.key = $2 AND v.is_null
		UNION ALL
		SELECT ` + historyColumns + `, v.parts FROM object_history v
		 WHERE v.bucket_id = (SELECT id FROM bucket WHERE name = $1) AND v.key = $2 AND v.is_null`
)

func lookup(ctx context.Context, db querier, r metadata.Ref) (metadata.Version, error) {
	if err := checkRef(r); err != nil {
		return metadata.Version{}, err
	}
	find := func(sql string, args ...any) (metadata.Version, error) {
		return scanVersion(db.QueryRow(ctx, sql, append([]any{r.Bucket, r.Key}, args...)...), r.Bucket)
	}
	var v metadata.Version
	var err error
	missing := metadata.ErrNoSuchVersion
	switch r.VersionID {
	case "":
		missing = metadata.ErrNoSuchKey
		if v, err = find(currentSQL); !errors.Is(err, pgx.ErrNoRows) {
			return v, err
		}
		if v, err = find(markerSQL); err == nil && v.DeleteMarker {
			return v, missing
		}
	case "null":
		v, err = find(nullSQL)
	default:
		v, err = find(byIDSQL, r.VersionID)
	}
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		if _, err := oneBucket(ctx, db, `SELECT `+bucketColumns+` FROM bucket WHERE name = $1`, r.Bucket); err != nil {
			return metadata.Version{}, err
		}
		return metadata.Version{}, missing
	case err == nil && v.DeleteMarker:
		return v, metadata.ErrDeleteMarker
	}
	return v, err
}

// LookupDropped implements metadata.Objects. The regions of its answer are those
// that have not freed the blob yet.
func (s *Store) LookupDropped(ctx context.Context, r metadata.Ref) (metadata.Version, error) {
	err := checkRef(r)
	var v metadata.Version
	if err == nil {
		v, err = scanVersion(s.pool.QueryRow(ctx, `
			SELECT v.seq, v.key, v.version_id, v.is_null, v.size, v.crc64, v.modified, v.etag, v.owner,
			       v.content_type, v.blob, ARRAY (SELECT d.region FROM dropped_blob d
			        WHERE d.blob = v.blob AND d.region = ANY (v.regions)), v.attrs, false, false, v.parts
			  FROM dropped_version v
			 WHERE v.version_id = $3 AND v.bucket = $1 AND v.key = $2`, r.Bucket, r.Key, r.VersionID), r.Bucket)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		err = metadata.ErrNoSuchVersion
	}
	if err != nil {
		return metadata.Version{}, fmt.Errorf("lookup removed version %s of %s/%s: %w", r.VersionID, r.Bucket, r.Key, err)
	}
	return v, nil
}
