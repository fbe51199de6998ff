package api

import (
	"net/http"

	"meridian/metadata"
)

// route is an endpoint: who may use it, what it takes and answers. The access
// check, the check of parameters and /openapi.json all go by it.
type route struct {
	method, path string // path as gin writes it, "/v1/media/:id"
	access       callers
	maxBody      int64 // of the request; maxBody where it is zero
	stream       bool  // has no deadline

	tag, summary string
	description  string // what the summary has no room for; often empty
	query        []param
	headers      []param
	body         any    // zero value of what the request's body decodes into
	bodyType     string // application/json where it is empty
	status       int    // of success
	answer       any    // zero value of what is answered; nil where there is nothing
	answerType   string // application/json where it is empty
	errors       []int  // beside those that the rest implies

	do func(*call) error
}

// param is a parameter of a query, or a header.
type param struct {
	name, description string
	schema            schema
}

func (r route) queryNames() []string {
	list := make([]string, len(r.query))
	for i, p := range r.query {
		list[i] = p.name
	}
	return list
}

const (
	tagMedia    = "media"
	tagUploads  = "uploads"
	tagBuckets  = "buckets"
	tagObjects  = "objects"
	tagKeys     = "access keys"
	tagWebhooks = "webhooks"
	tagCluster  = "cluster"
	tagCache    = "cache"
	tagSession  = "session"
	tagOps      = "operation"
)

// maxPush bounds what a node tells at once: some 50,000 counters.
const maxPush = 64 << 20

// routes are all endpoints, HEAD of each GET apart.
func (a *API) routes() []route {
	var all []route
	all = append(all, mediaRoutes()...)
	all = append(all, uploadRoutes()...)
	all = append(all, adminRoutes()...)
	all = append(all, objectRoutes()...)
	all = append(all, webhookRoutes()...)
	all = append(all, cacheRoutes()...)
	if a.opts.Tus != nil {
		all = append(all, tusRoutes()...)
	}
	all = append(all, a.opsRoutes()...)
	return all
}

func mediaRoutes() []route {
	return []route{
		{
			method: http.MethodGet, path: "/v1/media", access: readers, tag: tagMedia, summary: "List and search records, newest first",
			query: []param{
				{"kind", "photo or video", oneOf(metadata.KindPhoto, metadata.KindVideo)},
				{"q", `full text over title, description, tags and key: words, "phrases", or, -not`, text()},
				{"tag", "records with this tag", text()},
				{"bucket", "records of this bucket", text()},
				{"state", "records in this state", oneOf(metadata.MediaPending, metadata.MediaProcessing, metadata.MediaReady, metadata.MediaFailed)},
				{"cursor", "next of the page before", text()},
				{"limit", "records in a page", between(1, maxPage, defaultPage)},
			},
			status: http.StatusOK, answer: mediaPage{}, do: (*call).listMedia,
		},
		{
			method: http.MethodPost, path: "/v1/media", access: writers, tag: tagMedia,
			summary: "Announce a photo or video, or enrich the record of one that is there (200)",
			body:    newMedia{}, status: http.StatusCreated, answer: metadata.Media{},
			errors: []int{http.StatusNotFound, http.StatusUnprocessableEntity}, do: (*call).createMedia,
		},
		{
			method: http.MethodGet, path: "/v1/media/:id", access: readers, tag: tagMedia, summary: "A record",
			status: http.StatusOK, answer: metadata.Media{}, do: (*call).getMedia,
		},
		{
			method: http.MethodPatch, path: "/v1/media/:id", access: writers, tag: tagMedia,
			summary: "Change title, description or tags; null empties them (RFC 7396)",
			body:    mediaPatch{}, bodyType: "application/merge-patch+json", status: http.StatusOK, answer: metadata.Media{}, do: (*call).patchMedia,
		},
		{
			method: http.MethodDelete, path: "/v1/media/:id", access: writers, tag: tagMedia,
			summary: "Delete the object and its record; 412 where the object was overwritten since",
			status:  http.StatusNoContent, errors: []int{http.StatusPreconditionFailed}, do: (*call).deleteMedia,
		},
		{
			method: http.MethodGet, path: "/v1/media/:id/playback", access: readers, tag: tagMedia,
			summary: "URLs on the live edges, the client's region first, to be tried in order; signed where the bucket is private",
			query: []param{
				{"region", "where the client is; an unknown region is refused", text()},
				{"download", "true names the original only, to be saved under its name", oneOf("true", "false")},
				{"expires", "how long signed URLs are good for, 1s to 168h; 1h if not given", schema{"type": "string", "examples": []string{"1h"}}},
			},
			headers: []param{{clientRegion, "where the client is, if the parameter does not say; ignored if unknown", text()}},
			status:  http.StatusOK, answer: playback{}, errors: []int{http.StatusConflict}, do: (*call).getPlayback,
		},
	}
}

func uploadRoutes() []route {
	regionHeader := []param{{clientRegion, "where the client is, if the body does not say; ignored if unknown", text()}}
	return []route{
		{
			method: http.MethodPost, path: "/v1/uploads", access: writers, tag: tagUploads,
			summary: "Begin an upload straight to the nearest origin: presigned requests for the whole object or its parts",
			description: "A single PUT (method put) makes or replaces the object that was there when the upload began: its If-None-Match or If-Match, " +
				"which is signed and must be sent with the other headers, has it refused with 412 where that has changed, also because the PUT has " +
				"succeeded already. Title, description and tags (4000 bytes at most) go into the media record when the upload is complete.",
			body: newUpload{}, headers: regionHeader, status: http.StatusCreated, answer: uploadInfo{},
			errors: []int{http.StatusNotFound, http.StatusForbidden, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusServiceUnavailable},
			do:     (*call).createUpload,
		},
		{
			method: http.MethodGet, path: "/v1/uploads/:id", access: writers, tag: tagUploads,
			summary: "What of an upload has arrived, and requests for what has not",
			query:   []param{{"after", "requests for parts behind this one", between(0, maxParts, 0)}},
			status:  http.StatusOK, answer: uploadInfo{}, errors: []int{http.StatusServiceUnavailable}, do: (*call).getUpload,
		},
		{
			method: http.MethodPost, path: "/v1/uploads/:id/complete", access: writers, tag: tagUploads,
			summary: "Complete an upload: verified against what was announced; may be repeated. The body may be left out",
			body:    uploadDone{}, status: http.StatusOK, answer: uploadInfo{},
			errors: []int{http.StatusNotFound, http.StatusForbidden, http.StatusConflict, http.StatusUnprocessableEntity, http.StatusServiceUnavailable},
			do:     (*call).completeUpload,
		},
		{
			method: http.MethodDelete, path: "/v1/uploads/:id", access: writers, tag: tagUploads, summary: "Give an upload up; 409 where its object has arrived",
			description: "Frees the parts of a multipart upload, whose requests are refused from then on. Of a single PUT nothing is kept that could " +
				"be given up: its URL can still be used once until it expires, unless the key changes before or the access key is revoked.",
			status: http.StatusNoContent, errors: []int{http.StatusConflict, http.StatusServiceUnavailable}, do: (*call).abortUpload,
		},
	}
}

func adminRoutes() []route {
	return []route{
		{
			method: http.MethodGet, path: "/v1/buckets", access: readers, tag: tagBuckets, summary: "All buckets, by name",
			query:  []param{{"system", "true adds the system's own buckets; for administrators", oneOf("true", "false")}},
			status: http.StatusOK, answer: bucketList{}, do: (*call).listBuckets,
		},
		{
			method: http.MethodPost, path: "/v1/buckets", access: admin, tag: tagBuckets, summary: "Create a bucket",
			body: newBucket{}, status: http.StatusCreated, answer: metadata.Bucket{}, errors: []int{http.StatusConflict}, do: (*call).createBucket,
		},
		{
			method: http.MethodGet, path: "/v1/buckets/:name", access: readers, tag: tagBuckets, summary: "A bucket, and what it holds",
			status: http.StatusOK, answer: bucketInfo{}, do: (*call).getBucket,
		},
		{
			method: http.MethodPatch, path: "/v1/buckets/:name", access: admin, tag: tagBuckets,
			summary: "Change owner, visibility, placement, residency, versioning, cache or upload rules; null is the default (RFC 7396)",
			body:    bucketPatch{}, bodyType: "application/merge-patch+json", status: http.StatusOK, answer: metadata.Bucket{}, do: (*call).patchBucket,
		},
		{
			method: http.MethodDelete, path: "/v1/buckets/:name", access: admin, tag: tagBuckets, summary: "Delete an empty bucket",
			status: http.StatusNoContent, errors: []int{http.StatusConflict}, do: (*call).deleteBucket,
		},
		{
			method: http.MethodGet, path: "/v1/buckets/:name/lifecycle/runs", access: readers, tag: tagBuckets,
			summary: "What lifecycle rules have done in a bucket, walk by walk, newest first; kept for a month",
			query:   []param{{"cursor", "next of the page before", text()}, {"limit", "walks in a page", between(1, maxRuns, defaultRuns)}},
			status:  http.StatusOK, answer: lifecyclePage{}, do: (*call).listLifecycleRuns,
		},
		{
			method: http.MethodPost, path: "/v1/buckets/:name/lifecycle/runs", access: admin, tag: tagBuckets,
			summary: "Apply the lifecycle rules of a bucket now; answers before that is done, with the walk that is under way or about to begin",
			status:  http.StatusAccepted, answer: metadata.LifecycleRun{}, errors: []int{http.StatusConflict}, do: (*call).runLifecycle,
		},
		{
			method: http.MethodGet, path: "/v1/keys", access: admin, tag: tagKeys, summary: "All access keys, without their secrets",
			status: http.StatusOK, answer: keyList{}, do: (*call).listKeys,
		},
		{
			method: http.MethodPost, path: "/v1/keys", access: admin, tag: tagKeys, summary: "Make an access key; its secret is told this once",
			body: newKey{}, status: http.StatusCreated, answer: metadata.AccessKey{}, do: (*call).createKey,
		},
		{
			method: http.MethodGet, path: "/v1/keys/:id", access: admin, tag: tagKeys, summary: "An access key, without its secret",
			status: http.StatusOK, answer: metadata.AccessKey{}, do: (*call).getKey,
		},
		{
			method: http.MethodPatch, path: "/v1/keys/:id", access: admin, tag: tagKeys,
			summary: "Give an access key a policy or another end, or with null take it off (RFC 7396)",
			body:    keyPatch{}, bodyType: "application/merge-patch+json", status: http.StatusOK, answer: metadata.AccessKey{}, do: (*call).patchKey,
		},
		{
			method: http.MethodDelete, path: "/v1/keys/:id", access: admin, tag: tagKeys, summary: "Revoke an access key",
			status: http.StatusNoContent, do: (*call).deleteKey,
		},
		{
			method: http.MethodGet, path: "/v1/regions", access: readers, tag: tagCluster, summary: "All regions, with their S3 endpoints, edges and what they have yet to copy",
			status: http.StatusOK, answer: regionList{}, do: (*call).listRegions,
		},
		{
			method: http.MethodGet, path: "/v1/regions/:name", access: readers, tag: tagCluster, summary: "A region",
			status: http.StatusOK, answer: region{}, do: (*call).getRegion,
		},
		{
			method: http.MethodGet, path: "/v1/nodes", access: readers, tag: tagCluster, summary: "All nodes, live and silent",
			status: http.StatusOK, answer: nodeList{}, do: (*call).listNodes,
		},
	}
}

func objectRoutes() []route {
	// Keys may hold anything, also what routers and proxies read in a path: so
	// they are parameters.
	named := []param{
		{"key", "of the object; required", text()},
		{"version_id", "a version, by its ID or null; the current one if not given", text()},
	}
	return []route{
		{
			method: http.MethodGet, path: "/v1/buckets/:name/objects", access: readers, tag: tagObjects,
			summary: "List objects by key, or all versions and delete markers",
			query: []param{
				{"prefix", "keys that begin with it", text()},
				{"delimiter", "keys that go on behind it after the prefix are folded into prefixes", schema{"type": "string", "examples": []string{"/"}}},
				{"versions", "noncurrent versions and delete markers too", schema{"type": "boolean", "default": false}},
				{"cursor", "next of the page before", text()},
				{"limit", "objects and prefixes in a page", between(1, maxObjects, defaultObjects)},
			},
			status: http.StatusOK, answer: objectPage{}, do: (*call).listObjects,
		},
		{
			method: http.MethodGet, path: "/v1/buckets/:name/object", access: readers, tag: tagObjects,
			summary: "All that is known of an object: headers, metadata, checksums, and where its bytes are",
			query:   named, status: http.StatusOK, answer: object{}, do: (*call).getObject,
		},
		{
			method: http.MethodDelete, path: "/v1/buckets/:name/object", access: writers, tag: tagObjects,
			summary: "Delete an object; in a bucket with versions, put a delete marker over it, or remove the version named",
			query:   named, status: http.StatusNoContent, do: (*call).deleteObject,
		},
		{
			method: http.MethodPost, path: "/v1/links", access: readers, tag: tagObjects,
			summary: "URLs of an object on the live edges, the reader's region first; signed where the bucket is private, or a version or download is asked for",
			body:    newLink{}, headers: []param{{clientRegion, "where the reader is, if the body does not say; ignored if unknown", text()}},
			status: http.StatusOK, answer: links{}, errors: []int{http.StatusNotFound}, do: (*call).createLink,
		},
	}
}

func cacheRoutes() []route {
	return []route{
		{
			method: http.MethodPost, path: "/v1/purge", access: writers | node, tag: tagCache, summary: "Purge from every cache; answers before they have done it",
			body: metadata.Purge{}, status: http.StatusAccepted, answer: metadata.PurgeStatus{}, errors: []int{http.StatusNotFound}, do: (*call).askPurge,
		},
		{
			method: http.MethodGet, path: "/v1/purge/:id", access: readers, tag: tagCache, summary: "Which nodes have applied a purge, and when",
			status: http.StatusOK, answer: metadata.PurgeStatus{}, do: (*call).getPurge,
		},
		{
			method: http.MethodPost, path: "/v1/warm", access: writers, tag: tagCache,
			summary:     "Have caches fetch objects before anybody asks for them; answers before they have done it",
			description: "All cache nodes, or those of some regions and tiers (edge, regional). Of private buckets, too: whoever reads is asked for credentials as ever. At most 5000 objects.",
			body:        metadata.Warm{}, status: http.StatusAccepted, answer: metadata.WarmStatus{}, errors: []int{http.StatusNotFound}, do: (*call).askWarm,
		},
		{
			method: http.MethodGet, path: "/v1/warm/:id", access: readers, tag: tagCache, summary: "How far each node is with a warm-up, and what it could not fetch",
			status: http.StatusOK, answer: metadata.WarmStatus{}, do: (*call).getWarm,
		},
		{
			method: http.MethodGet, path: "/v1/cache/report", access: readers, tag: tagCache, summary: "The hit report",
			query: []param{
				{"window", "how far back, 1m to 720h; 5m if not given", schema{"type": "string", "examples": []string{"5m", "24h"}}},
				{"by", "groups, parted by commas: tier, region, node, bucket, class; all if not given", text()},
			},
			status: http.StatusOK, answer: metadata.Report{}, do: (*call).report,
		},
		{
			method: http.MethodGet, path: "/v1/cache/series", access: readers, tag: tagCache,
			summary: "The hit report over time: a point for every step of the window, also where there were no requests",
			query: []param{
				{"window", "how far back, 1m to 720h, within the time that counters are kept; 1h if not given", schema{"type": "string", "examples": []string{"1h", "168h"}}},
				{"step", "length of a point, whole minutes up to 24h, at most 1500 in the window; by default one that makes some hundred points", schema{"type": "string", "examples": []string{"1m", "1h"}}},
				{"tier", "only this tier", oneOf(metadata.TierEdge, metadata.TierRegional, metadata.TierOrigin)},
				{"region", "only what nodes of this region counted", text()},
				{"bucket", "only requests for this bucket", text()},
				{"class", "only requests for this class", oneOf(metadata.ClassPhoto, metadata.ClassVideo, metadata.ClassOther)},
			},
			status: http.StatusOK, answer: metadata.Series{}, do: (*call).series,
		},
		{
			method: http.MethodGet, path: "/v1/cache/explain", access: readers, tag: tagCache,
			summary: "Which nodes hold the head and slices of a URL, and why it was last a miss on each; asks all live nodes, for two seconds at most",
			query:   []param{{"url", "of an object: as an edge or S3 endpoint has it, or /bucket/key, escaped; versionId counts; of a pull zone: also by its own host, with the query; required", schema{"type": "string", "examples": []string{"/bucket/key"}}}},
			status:  http.StatusOK, answer: metadata.Explanation{}, errors: []int{http.StatusNotFound}, do: (*call).explain,
		},
		{
			method: http.MethodGet, path: "/v1/feed", access: readers | node, stream: true, tag: tagCluster,
			summary: "Events after a position, server-sent, from now on if none is given; a comment every second",
			query:   []param{{"after", "position to go on after; 0 is the beginning", text()}},
			headers: []param{{"Last-Event-ID", "the same, as a browser sends it that connects again", text()}},
			status:  http.StatusOK, answer: metadata.Event{}, answerType: "text/event-stream", errors: []int{http.StatusGone}, do: (*call).feed,
		},
		{
			method: http.MethodPost, path: "/v1/nodes/push", access: node, maxBody: maxPush, tag: tagCluster, summary: "What a node counted; for nodes",
			body: metadata.Push{}, status: http.StatusOK, answer: metadata.PushReply{}, errors: []int{http.StatusConflict}, do: (*call).push,
		},
		{
			method: http.MethodGet, path: "/v1/nodes/snapshot", access: node, tag: tagCluster, summary: "What a node must know to answer by itself; for nodes",
			status: http.StatusOK, answer: metadata.Snapshot{}, do: (*call).snapshot,
		},
	}
}

func (a *API) opsRoutes() []route {
	ops := func(c *call) error {
		a.ops.ServeHTTP(c.gin.Writer, c.r)
		return nil
	}
	return []route{
		{
			method: http.MethodPost, path: "/v1/session", access: public, tag: tagSession, summary: "Sign in: sets a session cookie, good for 12 h",
			body: login{}, status: http.StatusOK, answer: sessionInfo{}, errors: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests}, do: (*call).signIn,
		},
		{
			method: http.MethodGet, path: "/v1/session", access: readers, tag: tagSession, summary: "Who is signed in",
			status: http.StatusOK, answer: sessionInfo{}, do: (*call).whoAmI,
		},
		{
			method: http.MethodDelete, path: "/v1/session", access: public, tag: tagSession, summary: "Sign out",
			status: http.StatusNoContent, errors: []int{http.StatusForbidden}, do: (*call).signOut,
		},
		{
			method: http.MethodGet, path: "/healthz", access: public, tag: tagOps, summary: "Whether the process runs",
			status: http.StatusOK, answer: health{}, do: ops,
		},
		{
			method: http.MethodGet, path: "/readyz", access: public, tag: tagOps, summary: "Whether it can do its work, else why not (503)",
			status: http.StatusOK, answer: health{}, do: ops,
		},
		{
			method: http.MethodGet, path: "/metrics", access: public, tag: tagOps, summary: "Metrics for Prometheus",
			status: http.StatusOK, answer: "", answerType: "text/plain", do: ops,
		},
		{
			method: http.MethodGet, path: "/openapi.json", access: public, tag: tagOps, summary: "This document",
			status: http.StatusOK, answer: map[string]any(nil), do: func(c *call) error {
				c.write(http.StatusOK, "application/json", a.openapi)
				return nil
			},
		},
		{
			method: http.MethodGet, path: "/", access: public, tag: tagOps, summary: "The console, for people",
			status: http.StatusOK, answer: "", answerType: "text/html", do: (*call).landing,
		},
	}
}

// health is what /healthz and /readyz answer.
type health struct {
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
}
