package s3api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"meridian/internal/hop"
	"meridian/internal/sigv4"
	"meridian/metadata"
)

// call is one request in progress.
type call struct {
	*Server
	w     *response
	r     *http.Request
	query url.Values
	target
	op        *operation
	who       identity
	auth      *sigv4.Auth // nil where the request is anonymous
	version2  bool        // of the signature
	asked     asked       // by the body
	unsigned  *sigv4.Auth // of the body of an anonymous request, once it was asked for
	requestID string
	sample    ReadSample // of a node's read
}

// serve finds the operation, the caller and whether the one may do the other,
// all before a byte of the body is read: a client that waits for "100 Continue"
// is refused without sending it.
func (c *call) serve() error {
	c.target = targetOf(c.r, c.opts.Domains)
	if c.r.Method == http.MethodOptions {
		return c.preflight()
	}
	c.allowOrigin()
	if err := c.checkHeaderSize(); err != nil {
		return err
	}
	var err error
	if c.query, err = url.ParseQuery(c.r.URL.RawQuery); err != nil {
		return because(errInvalidURI, err)
	}
	if source := c.r.Header.Get("X-Amz-Copy-Source"); source != "" && (c.r.Method != http.MethodPut && c.r.Method != http.MethodPost || c.r.Method == http.MethodPost && c.query.Has("uploadId")) {
		return badArgument("x-amz-copy-source", asUTF8(source), "You can only specify a copy source header for copy requests.")
	}
	if err := c.refuseListening(); err != nil {
		return err
	}
	if c.op, err = c.routes.find(c.r.Method, c.target, c.query); err != nil {
		return err
	}
	if c.bucket != "" || c.key != "" {
		if err := metadata.CheckBucketName(c.bucket); err != nil {
			return because(errInvalidBucketName, err).with("BucketName", c.bucket)
		}
	}
	if c.key != "" {
		if err := checkKey(c.key); err != nil {
			return err
		}
	}
	if c.op.access == forTokens && c.r.Header.Get("Content-Type") == "" && !sigv4.Present(c.r) {
		c.op = nil // nothing of the other service's: a POST that S3 does not have
		return unroutable(routeKey{service, c.r.Method, ""})
	}
	if c.op.access == forTokens {
		return c.op.run(c)
	}
	if err := c.identify(); err != nil {
		return err
	}
	if err := c.authorise(); err != nil {
		return err
	}
	if d, ok := hop.ParseTimeout(c.r.Header.Get(hop.RequestTimeout)); ok && c.who.node {
		r := c.r
		ctx, cancel := context.WithTimeout(r.Context(), d)
		defer func() { cancel(); c.r = r }()
		c.r = r.WithContext(ctx)
	}
	return c.op.run(c)
}

// checkHeaderSize refuses a write with more header than MaxWriteHeader.
func (c *call) checkHeaderSize() error {
	if c.r.Method != http.MethodPut && c.r.Method != http.MethodPost {
		return nil
	}
	size := 0
	for name, values := range c.r.Header {
		for _, v := range values {
			size += len(name) + len(v) + len(": \r\n")
		}
	}
	if size > MaxWriteHeader {
		return refuse(errRequestHeadersTooLarge, "").with("MaxSizeAllowed", strconv.Itoa(MaxWriteHeader))
	}
	return nil
}

// answer sends what err asks for, if anything, and says how the request ended:
// "" is success.
func (c *call) answer(err error) code {
	if err == nil {
		return ""
	}
	f := failureOf(err)
	if c.r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		f = because(errClientGone, err)
	}
	if c.hides(f.code) && !c.mayList() {
		f = because(errAccessDenied, f)
		for _, name := range []string{"X-Amz-Delete-Marker", "X-Amz-Version-Id", "Allow", "Last-Modified"} {
			c.w.Header().Del(name)
		}
	}
	status, _ := f.code.about()
	if f.code == errClientGone {
		status = http.StatusBadRequest // nobody will read it, if it can be sent at all
	}
	if status >= http.StatusInternalServerError && f.code != errNotImplemented {
		c.opts.Log.Error("S3 request failed", "request_id", c.requestID, "op", c.opName(),
			"bucket", c.bucket, "key", c.key, "code", string(f.code), "err", err)
	} else {
		c.opts.Log.Debug("S3 request refused", "request_id", c.requestID, "op", c.opName(),
			"bucket", c.bucket, "key", c.key, "code", string(f.code), "err", err)
	}
	if c.w.status != 0 { // too late to say so in words
		panic(http.ErrAbortHandler)
	}
	if c.op != nil && c.op.access == forTokens {
		c.w.failSTS(status, f, c.requestID)
	} else {
		c.w.fail(c.r, status, c.locate(f), c.requestID)
	}
	return f.code
}

// hides says whether not everybody may learn of k: without the permission to list
// a bucket, S3 tells nobody which keys it has.
func (c *call) hides(k code) bool {
	return k == errNoSuchKey || k == errNoSuchVersion || k == errMethodNotAllowed && c.op != nil
}

// locate adds the elements by which AWS names what an error is about.
func (c *call) locate(f *failure) *failure {
	switch f.code {
	case errNoSuchBucket, errBucketAlreadyExists, errBucketAlreadyOwnedByYou, errBucketNotEmpty, errNoSuchBucketPolicy,
		errNoSuchCORS, errNoSuchLifecycle, errNoSuchTagSet, errNoSuchWebsite, errObjectLockNotFound,
		errServerSideEncryptionNotFound, errReplicationNotFound, errNoSuchPublicAccessBlock, errOwnershipControlsNotFound:
		return f.with("BucketName", c.bucket)
	case errNoSuchKey:
		return f.with("Key", c.key)
	case errNoSuchVersion:
		return f.with("Key", c.key).with("VersionId", c.query.Get("versionId"))
	case errNoSuchUpload:
		return f.with("UploadId", c.query.Get("uploadId"))
	case errMethodNotAllowed:
		if len(f.fields) == 0 {
			return f.with("Method", c.r.Method).with("ResourceType", "DeleteMarker")
		}
	default:
	}
	return f
}

// cause is what the event of a write tells of this request. operation may be
// empty: the catalogue knows the usual ones.
func (c *call) cause(operation string) metadata.Cause {
	address, _, err := net.SplitHostPort(c.r.RemoteAddr)
	if err != nil {
		address = c.r.RemoteAddr
	}
	return metadata.Cause{Operation: operation, User: c.who.User, Address: address, Request: c.requestID}
}

func (c *call) opName() string {
	if c.op == nil {
		return "Unknown"
	}
	return c.op.name
}

// header is a request header. In a presigned URL signers put some of the
// x-amz-* headers into the query, where they are signed as well.
func (c *call) header(name string) string {
	if v := c.r.Header.Get(name); v != "" {
		return v
	}
	if c.auth == nil || !c.auth.Presigned {
		return ""
	}
	// Of one that stands there twice, in another case, always the same counts:
	// what is allowed must be what is done.
	found := ""
	for k := range c.query {
		if strings.EqualFold(k, name) && (found == "" || k < found) {
			found = k
		}
	}
	return c.query.Get(found)
}
