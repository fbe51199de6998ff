// Package origin keeps the objects of one region: their bytes in the region's
// blob store, their versions in the catalogue. The order is always blob first,
// catalogue second, so that a crash leaves at most a blob that nothing names and
// never a version without bytes.
package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"time"

	"meridian/metadata"
	"meridian/metadata/admit"
	"meridian/origin/blob"
)

// ErrUnavailable says that no region that holds a blob could be read.
var ErrUnavailable = errors.New("no region that holds the object can be reached")

// Peers reads blobs of other regions.
type Peers interface {
	// Open reads n bytes from offset off of v's blob, to the end where n is -1,
	// out of the store of region. Missing there: fs.ErrNotExist.
	Open(ctx context.Context, region string, v metadata.Version, off, n int64) (io.ReadCloser, error)
}

// Catalog is what objects read and change of the catalogue.
type Catalog interface {
	metadata.Objects
	admit.Catalog
}

// Options describe the objects of a region.
type Options struct {
	Region  string
	Store   blob.Store
	Catalog Catalog
	Peers   Peers // nil: there are no other regions
	Log     *slog.Logger
	Now     func() time.Time // nil: time.Now
}

// Objects puts, opens, copies and deletes whole objects. Its methods may run at
// once.
type Objects struct {
	Options
}

// New returns the objects of a region.
func New(o Options) *Objects {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Objects{o}
}

// Stat finds the version that r names; errors are those of
// metadata.Objects.Lookup.
func (o *Objects) Stat(ctx context.Context, r metadata.Ref) (metadata.Version, error) {
	return o.Catalog.Lookup(ctx, r)
}

// Delete removes a version, or puts a delete marker; errors are those of
// metadata.Objects.Delete. The bytes are the sweeper's to free.
func (o *Objects) Delete(ctx context.Context, r metadata.Ref, c metadata.Cond) (metadata.Version, error) {
	return o.Catalog.Delete(ctx, r, c)
}

// Open reads n bytes from offset off of v, to the end where n is -1: from the
// own store, else from the regions that hold the blob, in order. local tells
// which it was. A body from the local disk store is an *os.File or wraps one, so
// that io.Copy to a socket can use sendfile.
func (o *Objects) Open(ctx context.Context, v metadata.Version, off, n int64) (body io.ReadCloser, local bool, err error) {
	if v.Size == 0 {
		return io.NopCloser(strings.NewReader("")), true, nil
	}
	var errs []error
	if slices.Contains(v.Regions, o.Region) {
		body, err := o.Store.Open(ctx, v.Blob, off, n)
		if err == nil {
			return body, true, nil
		}
		errs = append(errs, fmt.Errorf("own store: %w", err))
		if ctx.Err() == nil {
			o.Log.Error("blob cannot be read", "blob", v.Blob, "err", err)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	if o.Peers == nil {
		return nil, false, unavailable(v, errs)
	}
	for _, region := range v.Regions {
		if region == o.Region {
			continue
		}
		body, err := o.Peers.Open(ctx, region, v, off, n)
		if err == nil {
			return body, false, nil
		}
		errs = append(errs, fmt.Errorf("region %s: %w", region, err))
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
	}
	return nil, false, unavailable(v, errs)
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
