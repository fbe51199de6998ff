// Package origin keeps the objects of one region: their bytes in the region's
// blob store, their versions in the catalogue. The order is always blob first,
// catalogue second, so that a crash leaves at most a blob that nothing names and
// never a version without bytes.
package origin

import (
	"context"
	"io"
	"log/slog"
	"time"

	"meridian/metadata"
	"meridian/metadata/admit"
	"meridian/origin/blob"
	"meridian/origin/crypt"
)

// Peers reads blobs of other regions.
type Peers interface {
	// Open reads n bytes from offset off of v's blob, as it is stored, to the end
	// where n is -1, out of the store of region. Missing there: fs.ErrNotExist.
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
	// Nearest sorts other regions, those first that are the soonest to answer;
	// nil leaves them as the catalogue has them.
	Nearest func(regions []string) []string
	Crypt   *crypt.Keys // nil: no master key
	Log     *slog.Logger
	Now     func() time.Time // nil: time.Now
}

// Objects puts, opens, copies and deletes whole objects. Its methods may run at
// once.
type Objects struct {
	Options
	health health
}

// New returns the objects of a region.
func New(o Options) *Objects {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Objects{Options: o, health: health{sick: map[string]sickness{}, clock: o.Now}}
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
