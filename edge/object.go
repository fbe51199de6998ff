package edge

import (
	"net/http"

	"meridian/edge/httpcache"
	"meridian/edge/purge"
	"meridian/metadata"
)

// parseObject reads what a request asks for, /bucket/key, without a version.
func parseObject(r *http.Request) (purge.Object, error) {
	bucket, key, err := httpcache.ParsePath(r.URL.EscapedPath())
	switch {
	case err != nil:
		return purge.Object{}, errInvalid("A cache node serves objects: /bucket/key, with a key in UTF-8 of at most 1024 bytes.")
	case metadata.CheckBucketName(bucket) != nil:
		return purge.Object{}, errNoSuchBucket()
	}
	return purge.Object{Bucket: bucket, Key: key}, nil
}

// headName is the cache key of the head that a URL names. Nothing of its query
// is part of it but versionId.
func headName(o purge.Object, versionID string) string {
	return httpcache.Name{Bucket: o.Bucket, Key: o.Key, VersionID: versionID}.HeadKey()
}

// versionName is the cache key of the head of a version that a node asked for by
// its ULID: apart from what clients ask for by version ID, since a version whose
// deletion is a moment old is there for nodes only.
func versionName(o purge.Object, version string) string {
	return httpcache.Name{Bucket: o.Bucket, Key: o.Key, Variant: "version " + version}.HeadKey()
}
