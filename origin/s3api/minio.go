package s3api

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"meridian/metadata"
)

// What clients of MinIO ask for beside S3. A path of MinIO's own lies in a bucket
// called "minio", which there may be: it is told of only where there is none.

// healthPaths are asked by `mc ready` and by the health checks of deployments that
// MinIO leaves. That the catalogue knows no bucket "minio" is what being ready is.
var healthPaths = []string{"health/live", "health/ready", "health/cluster", "health/cluster/read"}

// asMinIO looks at how a request ended as a client of MinIO does: nil where it is
// content with that.
func (c *call) asMinIO(err error) error {
	if err == nil {
		return nil
	}
	if c.bucket != "minio" || c.key == "" {
		return err
	}
	if failureOf(err).code == errNoSuchBucket && c.readsHealth() {
		c.w.WriteHeader(http.StatusOK)
		return nil
	}
	if area, _, _ := strings.Cut(c.key, "/"); area != "admin" && area != "kms" {
		return err
	}
	// It may have failed before anybody looked for the bucket.
	if _, lookup := c.opts.Catalog.Bucket(c.r.Context(), c.bucket); !errors.Is(lookup, metadata.ErrNoSuchBucket) {
		return err
	}
	return refuse(errNotImplemented, "MinIO's API of administration is not here (mc admin, quota, replicate, tier): use the metadata API, or the commands of meridian (key, bucket, region, webhook, report).")
}

// refuseListening refuses ListenBucketNotification of MinIO, which is no listing.
func (c *call) refuseListening() error {
	if c.r.Method == http.MethodGet && c.key == "" && strings.HasPrefix(c.query.Get("events"), "s3:") {
		return refuse(errNotImplemented, "Nobody can listen to a bucket (mc watch): webhooks are told of events (meridian webhook create, mc event add).")
	}
	return nil
}

func (c *call) readsHealth() bool {
	return (c.r.Method == http.MethodGet || c.r.Method == http.MethodHead) && slices.Contains(healthPaths, c.key)
}
