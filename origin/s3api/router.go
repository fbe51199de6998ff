package s3api

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// need is what an operation needs to be allowed.
type need int

const (
	readObject need = iota // of its bytes or headers: what caches ask for
	read
	write
	signedForm // found out from the body
	perKey     // by each key that the body names
	perBody    // by what the body asks for
	forTokens  // of the Security Token Service, which is signed for apart
)

// operation is one operation of the S3 API.
type operation struct {
	name   string // as AWS names it
	access need
	run    func(*call) error
}

// target is what a request is about: the service, a bucket or an object.
type target struct{ bucket, key string }

// targetOf finds bucket and key by hand: http.ServeMux would redirect keys with
// empty, "." and ".." segments to other keys.
func targetOf(r *http.Request, domains []string) target {
	path := strings.TrimPrefix(r.URL.Path, "/")
	if bucket, ok := virtualBucket(r.Host, domains); ok {
		return target{bucket, path}
	}
	bucket, key, _ := strings.Cut(path, "/")
	return target{bucket, key}
}

// IsVirtualHost says whether a Host names a bucket under one of the domains.
func IsVirtualHost(host string, domains []string) bool {
	_, ok := virtualBucket(host, domains)
	return ok
}

// virtualBucket is the bucket that a virtual-host style request names in its
// Host. Where one domain lies within another, the longer one counts.
func virtualBucket(host string, domains []string) (bucket string, ok bool) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, d := range domains {
		d = strings.ToLower(d)
		if host == d {
			return "", false
		}
		if b, found := strings.CutSuffix(host, "."+d); found && b != "" && (!ok || len(b) < len(bucket)) {
			bucket, ok = b, true
		}
	}
	return bucket, ok
}

// selectors are the query parameters that name a subresource or otherwise make
// a request into another operation. A request that carries one never falls
// through to the plain operation on its bucket or object.
var selectors = []string{
	"abac", "accelerate", "acl", "analytics", "attributes", "cors", "delete", "encryption",
	"intelligent-tiering", "inventory", "legal-hold", "lifecycle", "list-type",
	"location", "logging", "metadataConfiguration", "metadataInventoryTable",
	"metadataJournalTable", "metadataTable", "metrics", "notification", "object-lock",
	"ownershipControls", "partNumber", "policy", "policyStatus", "publicAccessBlock",
	"renameObject", "replication", "requestPayment", "restore", "retention", "select",
	"session", "tagging", "torrent", "uploadId", "uploads", "versioning",
	"versions", "website",
}

// scope is the kind of a target.
type scope int

const (
	service scope = iota
	bucket
	object
)

type routeKey struct {
	scope    scope
	method   string
	selector string // sorted, joined by "&"
}

// find is the operation of a request.
func (rs routes) find(method string, t target, q url.Values) (*operation, error) {
	k := routeKey{method: method}
	switch {
	case t.key != "":
		k.scope = object
	case t.bucket != "":
		k.scope = bucket
	}
	var found []string
	for name := range q {
		if slices.Contains(selectors, name) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	k.selector = strings.Join(found, "&")
	if op, ok := rs[k]; ok {
		return op, nil
	}
	return nil, unroutable(k)
}

// unroutable says why a request has no operation.
func unroutable(k routeKey) error {
	switch k.method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodDelete:
	default:
		return refuse(errMethodNotAllowed, "").with("Method", k.method).with("ResourceType", resourceTypes[k.scope])
	}
	switch k {
	case routeKey{object, http.MethodPut, "partNumber"}:
		return badArgument("partNumber", "partNumber", "This operation does not accept partNumber without uploadId")
	case routeKey{object, http.MethodPut, "uploadId"}:
		return refuse(errMethodNotAllowed, "").with("Method", k.method).with("ResourceType", "UPLOAD")
	case routeKey{object, http.MethodGet, "uploads"}:
		return refuse(errInvalidRequest, "Key is not expected for the GET method ?uploads subresource")
	case routeKey{object, http.MethodGet, "versions"}:
		return refuse(errInvalidRequest, "There is no such thing as the ?versions sub-resource for a key")
	}
	switch {
	case strings.Contains(k.selector, "&"):
		return badArgument("ResourceType", k.selector, "Conflicting query string parameters: %s", strings.ReplaceAll(k.selector, "&", ", "))
	case k.selector != "":
		return refuse(errNotImplemented, "%s", instead[k.selector]).with("Header", k.selector)
	}
	return refuse(errMethodNotAllowed, "").with("Method", k.method).with("ResourceType", resourceTypes[k.scope])
}

// instead says what to do in place of what there is not, by its selector.
var instead = map[string]string{
	"select":       "Objects are not searched here: read the object, or ranges of it, and filter it yourself.",
	"restore":      "No object has to be restored: there is one storage class, and all of it can be read at once.",
	"replication":  "Copies are made in other regions by the placement of the bucket: meridian bucket set NAME -placement all, or PATCH /v1/buckets/NAME.",
	"renameObject": "Objects are not renamed: copy the object, and delete the old one.",
	"torrent":      "There are no torrents: share a signed URL of an edge, which caches what many read.",
	"metrics":      "Every process tells its metrics at /metrics, and meridian report what a bucket was asked for.",
	"inventory":    "No inventories are put into buckets: list the versions, or follow /v1/feed.",
}

var resourceTypes = map[scope]string{service: "SERVICE", bucket: "BUCKET", object: "OBJECT"}
