package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"meridian/internal/checksum"
	"meridian/metadata"
	"meridian/metadata/admit"
	"meridian/origin/blob"
	"meridian/origin/record"
)

// How long the catalogue may take to commit, whatever became of the client: the
// body is here already, and an answer that nobody waits for is still better
// known than not.
const (
	commitTimeout = 15 * time.Second
	commitTries   = 3
	cleanTimeout  = 10 * time.Second
)

// PutInput is an object to be put.
type PutInput struct {
	// Template holds bucket, key, headers, metadata, tags and owner.
	Template metadata.Version
	Body     io.Reader
	Size     int64 // -1 where it is not known
	// Algorithms are the checksums to compute; MD5 always is, for the ETag.
	Algorithms []checksum.Algorithm
	// Verify is called after the body was read and before anything is visible,
	// with the sums by algorithm ("md5" in hex, the others in base64). An error
	// of it ends the put and leaves nothing behind. Optional.
	Verify func(sums map[string]string) error
	Cond   metadata.Cond
	// Bucket is the bucket as the caller has just read it; Put reads it where
	// it is nil.
	Bucket *metadata.Bucket

	crc64 *uint64 // of the whole body, where it is known beforehand
}

// Put stores the body and makes it the current version of its key, if the rules
// of the bucket let it in: metadata.ErrTooLarge, ErrTypeRefused and ErrQuota are
// told as soon as they are known, most before the body is read. After a nil error both are durable; after an error nothing is visible, except that the
// outcome of a commit whose connection broke is not known.
func (o *Objects) Put(ctx context.Context, in PutInput) (metadata.Version, error) {
	v := in.Template
	if err := metadata.CheckKey(v.Key); err != nil {
		return metadata.Version{}, err
	}
	admitted, err := o.admit(ctx, in)
	if err != nil {
		return metadata.Version{}, err
	}
	id, err := metadata.NewVersionID(o.Now())
	if err != nil {
		return metadata.Version{}, err
	}
	v.ID = id
	v.Blob = blob.KeyFor(v.Bucket, id, v.Key)
	v.Regions = []string{o.Region}

	sniffer := &admit.Sniffer{Reader: admitted}
	body := checksum.NewReader(sniffer, in.Verify, append([]checksum.Algorithm{checksum.MD5}, in.Algorithms...)...)
	info, err := o.Store.Put(ctx, v.Blob, in.Size, body, record.Meta(v))
	if err != nil {
		return metadata.Version{}, fmt.Errorf("put %s/%s: %w", v.Bucket, v.Key, admit.Blame(admitted, err))
	}
	sums, err := body.Finish()
	if err == nil && in.crc64 != nil && *in.crc64 != info.CRC64 {
		err = fmt.Errorf("put %s/%s: %w: checksum %016x, not %016x", v.Bucket, v.Key, blob.ErrCorrupt, info.CRC64, *in.crc64)
	}
	if err != nil {
		o.discard(ctx, v.Blob)
		return metadata.Version{}, err
	}
	v.Size, v.CRC64 = info.Size, info.CRC64
	if v.Sniffed = ""; metadata.MediaType(v.ContentType, v.Key) == "" {
		v.Sniffed = sniffer.Type()
	}
	v.ETag = sums[string(checksum.MD5)]
	delete(sums, string(checksum.MD5))
	v.Checksums = sums
	if len(sums) > 0 {
		v.ChecksumType = FullObject
	}
	v.Modified = o.Now().UTC().Truncate(time.Millisecond)
	return o.commit(ctx, v, in.Cond)
}

// admit is the body, held to the rules of its bucket.
func (o *Objects) admit(ctx context.Context, in PutInput) (io.Reader, error) {
	b := in.Bucket
	if b == nil {
		found, err := o.Catalog.Bucket(ctx, in.Template.Bucket)
		if err != nil {
			return nil, err
		}
		b = &found
	}
	if err := admit.Early(ctx, o.Catalog, b, &in.Template, in.Size); err != nil {
		return nil, err
	}
	return admit.Body(b, in.Template.ContentType, in.Body)
}

// FullObject is the ChecksumType of sums over the whole body.
const FullObject = "FULL_OBJECT"

// Copy puts the bytes of src under the names and headers of in.Template, and
// fails with blob.ErrCorrupt if they are not those that src was made of.
func (o *Objects) Copy(ctx context.Context, src metadata.Version, in PutInput) (metadata.Version, error) {
	body, _, err := o.Open(ctx, src, 0, -1)
	if err != nil {
		return metadata.Version{}, err
	}
	defer body.Close()
	in.Body, in.Size, in.crc64 = body, src.Size, &src.CRC64
	return o.Put(ctx, in)
}

// commit makes v visible. Commit knows v by its ID, so it is repeated where
// nobody knows whether it was done.
func (o *Objects) commit(ctx context.Context, v metadata.Version, c metadata.Cond) (metadata.Version, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	var err error
	for try := range commitTries {
		if try > 0 {
			select {
			case <-time.After(time.Duration(try) * 100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
		var done metadata.Version
		if done, err = o.Catalog.Commit(ctx, v, c); err == nil {
			return done, nil
		}
		if refused(err) {
			if try == 0 { // else an attempt before may be under way still
				o.discard(ctx, v.Blob)
			}
			return metadata.Version{}, err
		}
	}
	// It may have been committed: the blob stays, and if nothing names it the
	// sweeper removes it.
	return metadata.Version{}, fmt.Errorf("commit %s/%s: %w", v.Bucket, v.Key, err)
}

// refused says whether err is the catalogue's own decision, which proves that
// nothing was committed.
func refused(err error) bool {
	for _, certain := range []error{
		metadata.ErrPrecondition, metadata.ErrNoSuchBucket, metadata.ErrNoSuchKey, metadata.ErrInvalid, metadata.ErrNoSuchVersion,
		metadata.ErrQuota,
		metadata.ErrResidency,
	} {
		if errors.Is(err, certain) {
			return true
		}
	}
	return false
}

// discard removes a blob that nothing will ever name. Where it fails the
// sweeper does it.
func (o *Objects) discard(ctx context.Context, key string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	if err := o.Store.Delete(ctx, key); err != nil {
		o.Log.Warn("left a blob for the sweeper", "blob", key, "err", err)
	}
}
