package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"meridian/internal/checksum"
	"meridian/internal/sse"
	"meridian/metadata"
	"meridian/metadata/admit"
	"meridian/origin/blob"
	"meridian/origin/crypt"
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
	// with the sums by algorithm ("etag" in hex, the others in base64). An error
	// of it ends the put and leaves nothing behind. Optional.
	Verify func(sums map[string]string) error
	Cond   metadata.Cond
	// Bucket is the bucket as the caller has just read it; Put reads it where
	// it is nil.
	Bucket *metadata.Bucket

	crc64 *uint64 // of the whole body, in plain, where it is known beforehand
}

// Put stores the body and makes it the current version of its key, if the rules
// of the bucket let it in, encrypted as the template or the bucket says: metadata.ErrTooLarge, ErrTypeRefused and ErrQuota are
// told as soon as they are known, most before the body is read. After a nil error both are durable; after an error nothing is visible, except that the
// outcome of a commit whose connection broke is not known.
func (o *Objects) Put(ctx context.Context, in PutInput) (metadata.Version, error) {
	v := in.Template
	if err := metadata.CheckKey(v.Key); err != nil {
		return metadata.Version{}, err
	}
	if in.Bucket == nil {
		b, err := o.Catalog.Bucket(ctx, v.Bucket)
		if err != nil {
			return metadata.Version{}, err
		}
		in.Bucket = &b
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
	if err := o.Crypt.Lock(in.Bucket, &v); err != nil {
		return metadata.Version{}, fmt.Errorf("put %s/%s: %w", v.Bucket, v.Key, err)
	}

	sniffer := &admit.Sniffer{Reader: admitted}
	algs := append([]checksum.Algorithm{checksum.ETag}, in.Algorithms...)
	if in.crc64 != nil && v.Encryption != nil {
		algs = append(algs, checksum.CRC64NVME) // that of the blob is another
	}
	body := checksum.NewReader(sniffer, in.Verify, algs...)
	info, err := o.store(ctx, &v, in.Size, body)
	if err != nil {
		return metadata.Version{}, fmt.Errorf("put %s/%s: %w", v.Bucket, v.Key, admit.Blame(admitted, err))
	}
	sums, err := body.Finish()
	if err == nil && in.crc64 != nil {
		got := checksum.EncodeCRC64(info.CRC64)
		if v.Encryption != nil {
			got = sums[string(checksum.CRC64NVME)]
		}
		if want := checksum.EncodeCRC64(*in.crc64); got != want {
			err = fmt.Errorf("put %s/%s: %w: checksum %s, not %s", v.Bucket, v.Key, blob.ErrCorrupt, got, want)
		}
	}
	if err != nil {
		o.discard(ctx, v.Blob)
		return metadata.Version{}, err
	}
	v.CRC64 = info.CRC64
	if v.Sniffed = ""; metadata.MediaType(v.ContentType, v.Key) == "" {
		v.Sniffed = sniffer.Type()
	}
	v.ETag = crypt.ETag(v.Encryption, sums[string(checksum.ETag)])
	maps.DeleteFunc(sums, func(alg, _ string) bool {
		return alg == string(checksum.ETag) || !slices.Contains(in.Algorithms, checksum.Algorithm(alg))
	})
	v.Checksums = sums
	if len(sums) > 0 {
		v.ChecksumType = FullObject
	}
	v.Modified = o.Now().UTC().Truncate(time.Millisecond)
	return o.commit(ctx, v, in.Cond)
}

// admit is the body, held to the rules of its bucket.
func (o *Objects) admit(ctx context.Context, in PutInput) (io.Reader, error) {
	if err := admit.Early(ctx, o.Catalog, in.Bucket, &in.Template, in.Size); err != nil {
		return nil, err
	}
	return admit.Body(in.Bucket, in.Template.ContentType, in.Body)
}

// store puts the blob of v, encrypted where v is, and sets its sizes.
func (o *Objects) store(ctx context.Context, v *metadata.Version, size int64, body io.Reader) (blob.Info, error) {
	e := v.Encryption
	if e == nil {
		info, err := o.Store.Put(ctx, v.Blob, size, body, record.Meta(*v))
		v.Size = info.Size
		return info, err
	}
	sealer, err := sse.NewSealer(*e.Data, nil, body)
	if err != nil {
		return blob.Info{}, err
	}
	info, err := o.Store.Put(ctx, v.Blob, crypt.StoredSize(e, size), sealer, record.Meta(*v))
	v.Size, e.Stored = sealer.Size(), info.Size
	return info, err
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
	in.Body, in.Size = body, src.Size
	if src.Encryption == nil { // else each slice proves what it is
		in.crc64 = &src.CRC64
	}
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
			if try == 0 && !errors.Is(err, metadata.ErrInDoubt) { // else an attempt before may be under way still
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
// nothing was committed, but by an attempt before it.
func refused(err error) bool {
	for _, certain := range []error{
		metadata.ErrPrecondition, metadata.ErrNoSuchBucket, metadata.ErrNoSuchKey, metadata.ErrInvalid, metadata.ErrNoSuchVersion,
		metadata.ErrQuota,
		metadata.ErrLocked,
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
