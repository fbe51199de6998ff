package s3api

import (
	"slices"

	"meridian/metadata"
)

// Values of x-amz-replication-status.
const (
	replicationPending   = "PENDING"
	replicationCompleted = "COMPLETED"
	replicationReplica   = "REPLICA"
	replicationFailed    = "FAILED"
)

// failedTries is how often a copy is tried in vain before its version is told to
// have failed. It is tried again nevertheless.
const failedTries = 5

// writeReplication tells how far the copies are that the bucket's placement
// wants, as S3 does of a bucket that is replicated: a region that has a copy of
// what another one took says REPLICA, all others how far the copying has come.
// Nothing is told where a bucket keeps what it takes where it was taken, and
// nothing to caches, which would keep it.
func (c *call) writeReplication(v *metadata.Version) {
	if c.who.node {
		return
	}
	if status := c.replication(v); status != "" {
		c.w.Header().Set("X-Amz-Replication-Status", status)
	}
}

func (c *call) replication(v *metadata.Version) string {
	ctx := c.r.Context()
	b, err := c.buckets.get(ctx, c.bucket)
	if err != nil || b.Placement.Mode() == metadata.PlacedHome || len(v.Regions) == 0 {
		return ""
	}
	if slices.Contains(v.Regions[1:], c.opts.Region) {
		return replicationReplica
	}
	all, err := c.everywhere.get(ctx, "")
	if err != nil {
		return ""
	}
	wanted := b.Wanted(v.Regions, all)
	if len(wanted) == 1 && wanted[0] == v.Regions[0] {
		return "" // it asks for no copies
	}
	for _, region := range wanted {
		if slices.Contains(v.Regions, region) {
			continue
		}
		if tries, err := c.opts.Catalog.CopyTries(ctx, v.Blob); err == nil && tries >= failedTries {
			return replicationFailed
		}
		return replicationPending
	}
	return replicationCompleted
}
