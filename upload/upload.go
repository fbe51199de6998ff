// Package upload is S3's multipart upload: parts arrive in any order, each
// durable on its own, and become one object when the upload is completed. The
// bytes are the blob store's affair, which joins them without copying; the
// catalogue remembers which part is which.
package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"meridian/internal/checksum"
	"meridian/internal/sse"
	"meridian/metadata"
	"meridian/metadata/admit"
	"meridian/origin/blob"
	"meridian/origin/crypt"
	"meridian/origin/record"
)

// The errors of uploads, beside metadata.ErrNoSuchUpload and ErrInvalidPart.
var (
	ErrWrongRegion  = errors.New("the parts of this upload live in another region")
	ErrPartOrder    = errors.New("parts are not in ascending order")
	ErrPartTooSmall = errors.New("a part other than the last is smaller than the least size")
	ErrTooLarge     = errors.New("the object is larger than the greatest size")
	ErrWrongSize    = errors.New("the parts do not add up to the size that was announced")
	ErrChecksum     = errors.New("the checksum of the object is not the one that was announced")
)

// Limits of S3.
const (
	MaxParts      = 10_000
	MinPartSize   = 5 << 20
	MaxObjectSize = 50 << 40
)

// Catalog is what uploads read and change of the catalogue.
type Catalog interface {
	metadata.Uploads
	admit.Catalog
}

// Options describe the uploads of a region.
type Options struct {
	Region  string
	Store   blob.Store
	Catalog Catalog
	Log     *slog.Logger
	Now     func() time.Time // nil: time.Now
	// MinPart is the least size of a part that is not the last; MinPartSize
	// where it is zero.
	MinPart int64
	Crypt   *crypt.Keys // nil: no master key
}

// Manager keeps the uploads of one region. Its methods may run at once.
type Manager struct {
	Options
}

// New returns the uploads of a region.
func New(o Options) *Manager {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MinPart == 0 {
		o.MinPart = MinPartSize
	}
	return &Manager{o}
}

// cleanTimeout bounds work after the client's context ended.
const cleanTimeout = 10 * time.Second

// Begin makes an upload whose object will be like template. alg and kind are the
// checksum the client chose for it; both may be empty. template.Size is the size
// that the client announced, if it did: it serves to refuse at once what the
// rules of the bucket (package admit) would refuse in the end. The ID of the upload is
// that of the version to be, so that a Complete which comes again after it
// succeeded can be answered.
func (m *Manager) Begin(ctx context.Context, template metadata.Version, alg checksum.Algorithm, kind string) (metadata.Upload, error) {
	return m.BeginBy(ctx, template.Owner, template, alg, kind)
}

// BeginBy is Begin for an initiator whose the object need not be.
func (m *Manager) BeginBy(ctx context.Context, initiator string, template metadata.Version, alg checksum.Algorithm, kind string) (metadata.Upload, error) {
	if err := metadata.CheckKey(template.Key); err != nil {
		return metadata.Upload{}, err
	}
	b, err := m.Catalog.Bucket(ctx, template.Bucket)
	if err != nil {
		return metadata.Upload{}, err
	}
	if err := admit.Early(ctx, m.Catalog, &b, &template, template.Size); err != nil {
		return metadata.Upload{}, err
	}
	id, err := metadata.NewVersionID(m.Now())
	if err != nil {
		return metadata.Upload{}, err
	}
	template.Size = 0
	template.ID, template.Blob, template.Regions = id, blob.KeyFor(template.Bucket, id, template.Key), []string{m.Region}
	if err := m.Crypt.Lock(&b, &template); err != nil {
		return metadata.Upload{}, fmt.Errorf("begin upload of %s/%s: %w", template.Bucket, template.Key, err)
	}
	u := metadata.Upload{
		ID: id, Template: template, Initiator: initiator, Region: m.Region, ChecksumAlgorithm: string(alg), ChecksumType: kind,
		Created: m.Now().UTC().Truncate(time.Millisecond),
	}
	if u.StoreUpload, err = m.Store.Begin(ctx, template.Blob, record.Meta(template)); err != nil {
		return metadata.Upload{}, fmt.Errorf("begin upload of %s/%s: %w", template.Bucket, template.Key, err)
	}
	if err := m.Catalog.CreateUpload(ctx, u); err != nil {
		// If it was recorded after all, its parts will find no upload in the
		// store, and it expires.
		m.clean(ctx, "abort", func(ctx context.Context) error { return m.Store.Abort(ctx, u.StoreUpload) })
		return metadata.Upload{}, err
	}
	return u, nil
}

// PutPart stores part n of size bytes (-1: unknown). verify is called with the
// sums of algs and MD5 before the part is recorded, and refuses it by an error;
// it may be nil. A part that the rules of the bucket forbid is mostly refused
// already here: one larger than the object may be, or a first one of the wrong
// type. Complete has the last word. Where the object is encrypted with a key of its
// owner's, u.Template is unlocked.
func (m *Manager) PutPart(ctx context.Context, u metadata.Upload, n int, size int64, body io.Reader, algs []checksum.Algorithm, verify func(sums map[string]string) error) (metadata.Part, error) {
	p, err := m.StorePart(ctx, u, n, size, body, algs, verify)
	if err != nil {
		return metadata.Part{}, err
	}
	replaced, err := m.Catalog.PutPart(ctx, u.ID, p)
	if err != nil {
		if errors.Is(err, metadata.ErrNoSuchUpload) {
			m.DropPart(ctx, u, p)
		}
		return metadata.Part{}, fmt.Errorf("record part %d: %w", n, err)
	}
	if replaced != nil && replaced.StorePart != p.StorePart {
		m.DropPart(ctx, u, *replaced)
	}
	return p, nil
}

// StorePart is PutPart for a caller who records the part by itself, or drops it.
func (m *Manager) StorePart(ctx context.Context, u metadata.Upload, n int, size int64, body io.Reader, algs []checksum.Algorithm, verify func(sums map[string]string) error) (metadata.Part, error) {
	if err := m.here(u); err != nil {
		return metadata.Part{}, err
	}
	if n < 1 || n > MaxParts {
		return metadata.Part{}, metadata.Invalidf("part number %d is not in 1 to %d", n, MaxParts)
	}
	admitted, err := m.admitPart(ctx, u, n, size, body)
	if err != nil {
		return metadata.Part{}, err
	}
	algs = append([]checksum.Algorithm{checksum.ETag}, algs...)
	if u.Template.Encryption != nil && u.ChecksumAlgorithm == "" {
		// That of the whole cannot come from those of the blob.
		algs = append(algs, checksum.CRC64NVME)
	}
	read := checksum.NewReader(admitted, verify, algs...)
	p, err := m.store(ctx, &u, n, size, read)
	if err != nil {
		return metadata.Part{}, m.known(admit.Blame(admitted, err))
	}
	sums, err := read.Finish()
	if err != nil {
		m.DropPart(ctx, u, p)
		return metadata.Part{}, err
	}
	p.ETag = crypt.ETag(u.Template.Encryption, sums[string(checksum.ETag)])
	delete(sums, string(checksum.ETag))
	p.Checksums = sums
	return p, nil
}

// store puts the bytes of a part, encrypted where the object is to be.
func (m *Manager) store(ctx context.Context, u *metadata.Upload, n int, size int64, body io.Reader) (metadata.Part, error) {
	p := metadata.Part{Number: n, Modified: m.Now().UTC().Truncate(time.Millisecond)}
	e := u.Template.Encryption
	var sealer *sse.Sealer
	if e != nil {
		if err := m.Crypt.Unlock(&u.Template); err != nil {
			return p, fmt.Errorf("put part %d of upload %s: %w", n, u.ID, err)
		}
		p.Salt = sse.NewSalt()
		var err error
		if sealer, err = sse.NewSealer(*u.Template.Encryption.Data, p.Salt, body); err != nil {
			return p, err
		}
		body = sealer
	}
	stored, err := m.Store.PutPart(ctx, u.StoreUpload, n, crypt.StoredSize(e, size), body)
	if p.Size = stored.Size; sealer != nil {
		p.Size = sealer.Size()
	}
	p.CRC64, p.StorePart = stored.CRC64, stored.ID
	return p, err
}

// Mask hides, where the object is to be encrypted, bytes of it from place at on
// that are kept in no part yet, and shows again what it has hidden.
func (m *Manager) Mask(u *metadata.Upload, at int64, b []byte) ([]byte, error) {
	if u.Template.Encryption == nil || len(b) == 0 {
		return b, nil
	}
	if err := m.Crypt.Unlock(&u.Template); err != nil {
		return nil, fmt.Errorf("bytes of upload %s: %w", u.ID, err)
	}
	return sse.Mask(*u.Template.Encryption.Data, at, b)
}

// DropPart frees the bytes of a part that is not recorded, or no longer.
func (m *Manager) DropPart(ctx context.Context, u metadata.Upload, p metadata.Part) {
	m.clean(ctx, "drop part", func(ctx context.Context) error { return m.Store.DropPart(ctx, u.StoreUpload, storePart(&u, p)) })
}

func (m *Manager) admitPart(ctx context.Context, u metadata.Upload, n int, size int64, body io.Reader) (io.Reader, error) {
	b, err := m.Catalog.Bucket(ctx, u.Template.Bucket)
	if err != nil {
		return nil, err
	}
	if err := admit.Early(ctx, m.Catalog, &b, &u.Template, size); err != nil {
		return nil, err
	}
	if n > 1 {
		b.UploadRules.Types = nil // the middle of a file says nothing
	}
	return admit.Part(&b, u.Template.ContentType, body)
}

// Abort forgets an upload and frees its parts. From another region than the
// upload's own, the parts are freed by the sweeper there.
func (m *Manager) Abort(ctx context.Context, u metadata.Upload) error {
	if _, err := m.Catalog.AbortUpload(ctx, u.ID); err != nil {
		return err
	}
	if u.Region != m.Region {
		return nil
	}
	m.clean(ctx, "abort", func(ctx context.Context) error {
		// A Complete whose commit was refused has left a blob that only the
		// upload named.
		return errors.Join(m.Store.Abort(ctx, u.StoreUpload), m.Store.Delete(ctx, u.Template.Blob))
	})
	return nil
}

// Expire aborts the uploads of the region that were begun longer ago than age.
func (m *Manager) Expire(ctx context.Context, age time.Duration) (int, error) {
	n := 0
	var errs []error
	for u, err := range m.Catalog.StaleUploads(ctx, m.Region, m.Now().Add(-age)) {
		if err != nil {
			errs = append(errs, fmt.Errorf("list stale uploads: %w", err))
			break
		}
		err := m.Abort(ctx, u)
		switch {
		case err == nil:
			n++
		case ctx.Err() != nil:
			return n, ctx.Err()
		case !errors.Is(err, metadata.ErrNoSuchUpload): // that one ended meanwhile
			errs = append(errs, fmt.Errorf("expire upload %s: %w", u.ID, err))
		}
	}
	return n, errors.Join(errs...)
}

// here refuses an upload of another region.
func (m *Manager) here(u metadata.Upload) error {
	if u.Region != m.Region {
		return fmt.Errorf("%w: %s", ErrWrongRegion, u.Region)
	}
	return nil
}

// known says in the catalogue's words what the store does not know.
func (m *Manager) known(err error) error {
	switch {
	case errors.Is(err, blob.ErrNoUpload):
		return errors.Join(metadata.ErrNoSuchUpload, err)
	case errors.Is(err, blob.ErrNoPart):
		return errors.Join(metadata.ErrInvalidPart, err)
	}
	return err
}

// clean frees what nothing needs; where it fails the sweeper does it.
func (m *Manager) clean(ctx context.Context, what string, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	if err := do(ctx); err != nil {
		m.Log.Warn("left something for the sweeper", "after", what, "err", err)
	}
}

func storePart(u *metadata.Upload, p metadata.Part) blob.Part {
	return blob.Part{Number: p.Number, ID: p.StorePart, Size: crypt.StoredSize(u.Template.Encryption, p.Size), CRC64: p.CRC64}
}
