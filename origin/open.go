package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"meridian/metadata"
	"meridian/origin/crypt"
)

// ErrUnavailable says that no region that holds a blob could be read.
var ErrUnavailable = errors.New("no region that holds the object can be reached")

// Open reads n bytes from offset off of v, to the end where n is -1. Of an object
// that is encrypted it gives what OpenStored does, decrypted: errors are also
// those of crypt.Keys.Unlock, unless v is unlocked, and sse.ErrDamaged.
func (o *Objects) Open(ctx context.Context, v metadata.Version, off, n int64) (r io.ReadCloser, region string, err error) {
	if v.Encryption == nil {
		return o.OpenStored(ctx, v, off, n)
	}
	if err := o.Crypt.Unlock(&v); err != nil {
		return nil, "", err
	}
	if rest := max(v.Size-off, 0); n < 0 || n > rest {
		n = rest
	}
	if n == 0 {
		return io.NopCloser(strings.NewReader("")), o.Region, nil
	}
	r, err = crypt.Open(&v, off, n, func(off, n int64) (stored io.ReadCloser, err error) {
		stored, region, err = o.OpenStored(ctx, v, off, n)
		return stored, err
	})
	return r, region, err
}

// OpenStored reads n bytes from offset off of v's blob, to the end where n is -1:
// from the own store, else from the nearest other region that holds the blob. A region
// that failed of late comes last. region tells where the bytes come from. Where
// they break off another region goes on; only a body of the local disk store is
// handed out as it is, bytes in memory or a wrapper of an *os.File, so that io.Copy
// to a socket can use sendfile.
func (o *Objects) OpenStored(ctx context.Context, v metadata.Version, off, n int64) (r io.ReadCloser, region string, err error) {
	size := v.StoredSize()
	if size == 0 {
		return io.NopCloser(strings.NewReader("")), o.Region, nil
	}
	if rest := max(size-off, 0); n < 0 || n > rest {
		n = rest
	}
	b := &body{objects: o, ctx: ctx, version: v, off: off, left: n, sources: o.sources(v)}
	if err := b.next(); err != nil { //nolint:contextcheck // b has the context
		return nil, "", err
	}
	if _, direct := b.current.(io.WriterTo); direct && b.region == o.Region {
		return b.current, b.region, nil
	}
	return b, b.region, nil
}

// sources are the regions to read v from, best first.
func (o *Objects) sources(v metadata.Version) []string {
	others := slices.DeleteFunc(slices.Clone(v.Regions), func(r string) bool { return r == o.Region })
	if o.Peers == nil {
		others = nil
	} else if o.Nearest != nil {
		others = o.Nearest(others)
	}
	if slices.Contains(v.Regions, o.Region) {
		others = append([]string{o.Region}, others...)
	}
	if len(others) < 2 {
		return others
	}
	var well, sick []string
	for _, r := range others {
		if o.health.well(r, len(well) == 0) {
			well = append(well, r)
		} else {
			sick = append(sick, r)
		}
	}
	return append(well, sick...)
}

// body reads a range of a blob from one source after the other.
type body struct {
	objects *Objects
	ctx     context.Context //nolint:containedctx // a reader's context is that of its Open
	version metadata.Version
	off     int64 // of the next byte
	left    int64
	sources []string // not asked yet
	errs    []error  // of those that were

	current io.ReadCloser
	region  string // of current
}

// next opens the rest at the next source that has it.
func (b *body) next() error {
	o := b.objects
	for len(b.sources) > 0 {
		if err := b.ctx.Err(); err != nil {
			return err
		}
		b.region, b.sources = b.sources[0], b.sources[1:]
		var err error
		if b.region == o.Region {
			b.current, err = o.Store.Open(b.ctx, b.version.Blob, b.off, b.left)
		} else {
			b.current, err = o.Peers.Open(b.ctx, b.region, b.version, b.off, b.left)
		}
		if err == nil {
			o.health.report(b.region, nil)
			return nil
		}
		b.failed(err)
	}
	b.current = nil
	if err := b.ctx.Err(); err != nil {
		return err
	}
	return unavailable(b.version, b.errs)
}

// failed notes that the current source gave no more.
func (b *body) failed(err error) {
	b.errs = append(b.errs, fmt.Errorf("region %s: %w", b.region, err))
	if b.ctx.Err() != nil {
		return
	}
	b.objects.health.report(b.region, err)
	b.objects.Log.Warn("blob cannot be read", "from", b.region, "blob", b.version.Blob, "offset", b.off, "err", err)
}

// Read reads on, from the next source where one breaks off.
func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	for {
		if b.current == nil {
			if err := b.next(); err != nil {
				return 0, err
			}
		}
		n, err := b.current.Read(p)
		b.off, b.left = b.off+int64(n), b.left-int64(n)
		if err != nil && b.left > 0 {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			_ = b.current.Close()
			b.current = nil
			b.failed(err)
		}
		if n > 0 || b.current != nil && (err == nil || b.left == 0) {
			return n, nil
		}
	}
}

// Close ends the reading.
func (b *body) Close() error {
	if b.current == nil {
		return nil
	}
	return b.current.Close()
}

// unavailable is fs.ErrNotExist only where every region said so; anything else
// may pass.
func unavailable(v metadata.Version, errs []error) error {
	missing := len(errs) > 0
	for _, err := range errs {
		missing = missing && errors.Is(err, fs.ErrNotExist)
	}
	cause := errors.Join(errs...)
	if missing {
		return fmt.Errorf("open blob %s: %w", v.Blob, cause)
	}
	// Without the errors themselves: one of them may be fs.ErrNotExist.
	return fmt.Errorf("open blob %s of %v: %w: %v", v.Blob, v.Regions, ErrUnavailable, cause) //nolint:errorlint // see above
}
