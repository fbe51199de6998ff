package replicate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"meridian/internal/checksum"
	"meridian/metadata"
	"meridian/origin/blob"
	"meridian/origin/record"
)

// maxParts keeps below what S3 allows in an upload.
const maxParts = 9000

// partSize is the size of the parts of a blob: more than usual for one that
// would have too many.
func (r *Replicator) partSize(size int64) int64 {
	return max(r.PartSize, (size+maxParts-1)/maxParts)
}

// fetchParts copies a large blob part by part. Those that are stored are
// recorded, so that another try, by whomever, begins behind them.
func (r *Replicator) fetchParts(ctx context.Context, c *metadata.Copy, v metadata.Version) (from string, err error) {
	parts, off, err := r.resume(ctx, c, v)
	if err != nil {
		return "", err
	}
	if off < v.StoredSize() {
		if from, err = r.storeParts(ctx, c, v, &parts, off); err != nil {
			return from, r.known(ctx, c, err)
		}
	}
	info, err := r.Store.Complete(ctx, c.Upload, parts)
	if err != nil {
		return from, r.known(ctx, c, err)
	}
	if info.Size != v.StoredSize() || info.CRC64 != v.CRC64 {
		err = corrupt(v, from, checksum.EncodeCRC64(info.CRC64))
		return from, errors.Join(err, r.discard(ctx, v), r.Catalog.CopyUpload(ctx, *c, ""))
	}
	return from, nil
}

// resume finds what is stored of the blob, or begins an upload.
func (r *Replicator) resume(ctx context.Context, c *metadata.Copy, v metadata.Version) (parts []blob.Part, off int64, err error) {
	if c.Upload != "" {
		stored, err := r.Catalog.CopyParts(ctx, *c)
		if err != nil {
			return nil, 0, err
		}
		for i, p := range stored {
			if p.Number != i+1 || off+p.Size > v.StoredSize() {
				break
			}
			parts = append(parts, blob.Part{Number: p.Number, ID: p.StorePart, Size: p.Size, CRC64: p.CRC64})
			off += p.Size
		}
		if off > 0 {
			r.Log.Info("copy goes on", "blob", v.Blob, "offset", off, "of", v.StoredSize())
		}
		return parts, off, nil
	}
	upload, err := r.Store.Begin(ctx, v.Blob, record.Meta(v))
	if err != nil {
		return nil, 0, err
	}
	if err := r.Catalog.CopyUpload(ctx, *c, upload); err != nil {
		return nil, 0, errors.Join(err, r.Store.Abort(context.WithoutCancel(ctx), upload))
	}
	c.Upload = upload
	return nil, 0, nil
}

// storeParts reads on from off, in one go, and stores it in parts.
func (r *Replicator) storeParts(ctx context.Context, c *metadata.Copy, v metadata.Version, parts *[]blob.Part, off int64) (from string, err error) {
	body, from, err := r.Source.OpenStored(ctx, v, off, -1)
	if err != nil {
		return "", err
	}
	defer body.Close()
	for off < v.StoredSize() {
		n := min(r.partSize(v.StoredSize()), v.StoredSize()-off)
		p, err := r.Store.PutPart(ctx, c.Upload, len(*parts)+1, n, io.LimitReader(body, n))
		if err != nil {
			return from, err
		}
		err = r.Catalog.AddCopyPart(ctx, *c, metadata.CopyPart{Number: p.Number, Size: p.Size, CRC64: p.CRC64, StorePart: p.ID})
		if err != nil {
			return from, err
		}
		*parts = append(*parts, p)
		off += n
	}
	return from, nil
}

// known makes the next try begin anew where the store has lost what it had.
func (r *Replicator) known(ctx context.Context, c *metadata.Copy, err error) error {
	if isAny(err, blob.ErrNoUpload, blob.ErrNoPart) {
		err = fmt.Errorf("the store lost what was copied: %w", err)
		return errors.Join(err, r.Catalog.CopyUpload(ctx, *c, ""))
	}
	return err
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func isAny(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}
