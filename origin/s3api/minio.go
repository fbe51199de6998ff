package s3api

import (
	"net/http"
	"slices"
	"strings"
)

// What clients of MinIO ask for beside S3. A path of MinIO's own lies in a bucket
// called "minio", which there may be: it is told of only where the request fails
// as one for a bucket would.

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
	area, _, _ := strings.Cut(c.key, "/")
	switch k := failureOf(err).code; {
	case k == errNoSuchBucket && c.readsHealth():
		c.w.WriteHeader(http.StatusOK)
		return nil
	case slices.Contains([]code{errNoSuchKey, errAccessDenied, errInternalError}, k):
		return err
	case area == "admin" || area == "kms":
		return refuse(errNotImplemented, "MinIO's API of administration is not here (mc admin, quota, replicate, tier): use the metadata API, or the commands of meridian (key, bucket, region, webhook, report).")
	}
	return err
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
