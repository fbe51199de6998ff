package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"strings"

	"github.com/minio/crc64nvme"

	"meridian/origin/blob"
)

// Open reads a range of a blob; see blob.Store. A body that is cut off goes on
// with another request where it ended: a blob never changes.
func (s *Store) Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if off < 0 {
		return nil, fmt.Errorf("open blob %s at %d: %w", key, off, fs.ErrInvalid)
	}
	if err := blob.CheckKey(key); err != nil {
		return nil, err
	}
	if n == 0 {
		_, err := s.Stat(ctx, key)
		return io.NopCloser(strings.NewReader("")), err
	}
	b := &body{store: s, ctx: ctx, key: key, off: off, left: n}
	if err := b.open(); err != nil {
		return nil, fmt.Errorf("open blob %s: %w", key, known(err))
	}
	return b, nil
}

// body reads a range. ctx is that of Open: the reader ends with it.
type body struct {
	store  *Store
	ctx    context.Context //nolint:containedctx // a reader has no other way to be cancelled
	key    string
	off    int64           // of the next byte
	left   int64           // -1: to the end
	tries  int             // since the last byte came
	own    context.Context //nolint:containedctx // of the request that runs
	cancel context.CancelCauseFunc
	patron *patience
	r      io.ReadCloser // nil at the end
}

// open sends the request for what is left.
func (b *body) open() error {
	for {
		b.own, b.cancel = context.WithCancelCause(b.ctx)
		b.patron = newPatience(quick, b.cancel)
		r, err := b.store.client.Get(b.own, b.key, b.byteRange())
		b.patron.rest()
		if err == nil {
			b.store.succeeded()
			b.patron.limit, b.r = stall, r
			return nil
		}
		err = stalled(b.ctx, b.own, err)
		b.cancel(nil)
		if e := (*Error)(nil); errors.As(err, &e) && e.Status == http.StatusRequestedRangeNotSatisfiable {
			b.left = 0 // behind the end
			return nil
		}
		if err := b.again(err); err != nil {
			return err
		}
	}
}

// again is nil, after a while, if it is worth to try once more after err.
func (b *body) again(err error) error {
	if b.ctx.Err() != nil || !retryable(err) || b.tries+1 >= maxTries || !b.store.budget.spend() {
		return b.store.failed(b.ctx, err)
	}
	b.tries++
	return pause(b.ctx, b.tries-1)
}

func (b *body) byteRange() string {
	switch {
	case b.left >= 0:
		return fmt.Sprintf("bytes=%d-%d", b.off, b.off+b.left-1)
	case b.off > 0:
		return fmt.Sprintf("bytes=%d-", b.off)
	}
	return ""
}

func (b *body) Read(p []byte) (int, error) {
	for {
		if b.r == nil || b.left == 0 {
			return 0, io.EOF
		}
		if b.left > 0 && int64(len(p)) > b.left {
			p = p[:b.left]
		}
		b.patron.begin()
		n, err := b.r.Read(p)
		b.patron.rest()
		if n > 0 {
			b.off += int64(n)
			b.tries = 0
			if b.left > 0 {
				b.left -= int64(n)
			}
			return n, nil // an error comes again
		}
		if err == nil {
			return 0, nil
		}
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, io.EOF
		}
		err = stalled(b.ctx, b.own, err)
		b.shut()
		if err := b.again(err); err != nil {
			return 0, fmt.Errorf("read blob %s at %d: %w", b.key, b.off, err)
		}
		if err := b.open(); err != nil {
			return 0, fmt.Errorf("read blob %s at %d: %w", b.key, b.off, known(err))
		}
	}
}

func (b *body) shut() {
	b.cancel(nil)
	_ = b.r.Close() // nothing was written through it
	b.r = nil
}

// Close ends the request, also in the middle of its body.
func (b *body) Close() error {
	if b.r != nil {
		b.shut()
	}
	return nil
}

// Stat tells size, checksum and metadata of a blob. Missing: fs.ErrNotExist.
func (s *Store) Stat(ctx context.Context, key string) (blob.Info, error) {
	if err := blob.CheckKey(key); err != nil {
		return blob.Info{}, err
	}
	o, err := s.head(ctx, key)
	if err != nil {
		return blob.Info{}, fmt.Errorf("stat blob %s: %w", key, err)
	}
	info := blob.Info{Key: key, Size: o.Size, CRC64: o.crc64(), Modified: o.Modified}
	for name, value := range o.Meta {
		if name == metaCRC {
			continue
		}
		if info.Meta == nil {
			info.Meta = blob.Meta{}
		}
		info.Meta[name] = value
	}
	return info, nil
}

func (s *Store) head(ctx context.Context, key string) (o Object, err error) {
	err = s.retry(ctx, func(ctx context.Context) error {
		o, err = s.client.Head(ctx, key)
		return err
	})
	return o, known(err)
}

// Verify reads a blob and compares it with the checksum kept with it:
// blob.ErrCorrupt if they differ. A blob without one (of many parts, on a server
// that keeps no CRC-64/NVME) passes; the catalogue still knows its checksum.
func (s *Store) Verify(ctx context.Context, key string) error {
	info, err := s.Stat(ctx, key)
	if err != nil || info.CRC64 == 0 {
		return err
	}
	r, err := s.Open(ctx, key, 0, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	h := crc64nvme.New()
	n, err := io.Copy(h, r)
	if err != nil {
		return fmt.Errorf("verify blob %s: %w", key, err)
	}
	if n != info.Size || h.Sum64() != info.CRC64 {
		return fmt.Errorf("%w: %s has %d bytes with checksum %016x, not %d with %016x",
			blob.ErrCorrupt, key, n, h.Sum64(), info.Size, info.CRC64)
	}
	return nil
}

// Delete removes blobs; missing ones are no error.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	var errs []error
	var batch []string
	flush := func() {
		if len(batch) == 0 {
			return
		}
		err := s.retryWithin(ctx, slow, func(ctx context.Context, _ int) error { return s.client.Delete(ctx, batch) })
		if err = known(err); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("delete %d blobs from %s: %w", len(batch), batch[0], err))
		}
		batch = batch[:0]
	}
	for _, key := range keys {
		if err := blob.CheckKey(key); err != nil {
			errs = append(errs, err)
			continue
		}
		if batch = append(batch, key); len(batch) == deleteBatch {
			flush()
		}
	}
	flush()
	return errors.Join(errs...)
}

// List yields the blobs after a key, in byte order as S3 lists them. What is not
// named like a blob is passed over.
func (s *Store) List(ctx context.Context, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for try := 0; ; try++ {
			var failed error
			for o, err := range s.client.Objects(ctx, after) {
				if failed = err; err != nil {
					break
				}
				after, try = o.Key, 0
				if blob.CheckKey(o.Key) != nil {
					continue
				}
				if !yield(blob.Info{Key: o.Key, Size: o.Size, Modified: o.Modified}, nil) {
					return
				}
			}
			if failed == nil {
				return
			}
			if ctx.Err() != nil || !retryable(failed) || try+1 == maxTries || !s.budget.spend() || pause(ctx, try) != nil {
				yield(blob.Info{}, fmt.Errorf("list blobs: %w", known(s.failed(ctx, failed))))
				return
			}
		}
	}
}
