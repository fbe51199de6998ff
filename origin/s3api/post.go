package s3api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"meridian/internal/checksum"
	"meridian/internal/sigv4"
	"meridian/metadata"
	"meridian/origin"
)

// postObject takes an upload by an HTML form: its fields are what elsewhere are
// headers, and a signed policy among them says what they may be. Nothing is kept
// of the file before all of that has been checked.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
func (c *call) postObject() error {
	switch {
	case c.auth != nil:
		return refuse(errInvalidRequest, "A form upload is signed by its policy, not by a header or the query.")
	case c.r.ContentLength < 0:
		return errMissingContentLength
	case c.r.ContentLength > c.opts.MaxObjectSize+maxFormRaw:
		return refuse(errEntityTooLarge, "").with("ProposedSize", strconv.FormatInt(c.r.ContentLength, 10)).
			with("MaxSizeAllowed", strconv.FormatInt(c.opts.MaxObjectSize, 10))
	}
	sent := &body{Reader: &stallReader{ReadCloser: c.r.Body, ctl: c.w.ctl, stall: c.opts.Stall, metrics: c.w.metrics}, size: -1}
	f, err := readForm(c.r.Header.Get("Content-Type"), sent)
	if err != nil {
		return sent.blame(err)
	}
	policy, err := c.admitForm(f)
	if err != nil {
		return err
	}
	v, err := c.storeForm(f, policy, sent)
	if err != nil {
		return err
	}
	// What follows the file does not count; a client that is still sending it
	// would not read the answer.
	_, _ = io.CopyN(io.Discard, sent, maxFormRaw)
	return c.answerForm(f, v)
}

// admitForm finds out who signed the form's policy, and holds the form to it.
func (c *call) admitForm(f *form) (*postPolicy, error) {
	if err := c.identifyForm(f); err != nil {
		return nil, err
	}
	if c.key = f.fields["key"]; c.key == "" {
		return nil, missingField("key")
	}
	if err := checkKey(c.key); err != nil {
		return nil, err
	}
	c.useForm(f)
	c.op = &operation{c.op.name, write, c.op.run}
	if err := c.authorise(); err != nil {
		return nil, err
	}
	if c.who.anonymous() {
		return &postPolicy{most: -1}, nil
	}
	policy, err := parsePolicy(f.fields["policy"])
	if err != nil {
		return nil, err
	}
	named, ok := f.fields["bucket"]
	f.fields["bucket"] = c.bucket
	if err := policy.check(f.fields, c.opts.Now()); err != nil {
		return nil, err
	}
	if ok && named != c.bucket {
		return nil, badArgument("bucket", asUTF8(named), "The bucket of the form is not that of the URL.")
	}
	return policy, nil
}

// identifyForm verifies the policy's signature and sets c.who. A form without
// either is anonymous.
func (c *call) identifyForm(f *form) error {
	if f.fields["awsaccesskeyid"] != "" || f.fields["signature"] != "" {
		return c.identifyFormV2(f)
	}
	needed := []string{"policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"}
	found := 0
	for _, name := range needed {
		if _, ok := f.fields[name]; ok {
			found++
		}
	}
	if found == 0 {
		return nil
	}
	for _, name := range needed {
		if value, ok := f.fields[name]; !ok || value == "" && name != "policy" {
			return missingField(name)
		}
	}
	if alg := f.fields["x-amz-algorithm"]; alg != "AWS4-HMAC-SHA256" {
		return badArgument("X-Amz-Algorithm", asUTF8(alg), "Only AWS4-HMAC-SHA256 is supported")
	}
	var who identity
	v := sigv4.Verifier{
		Regions: c.opts.Regions(), Now: c.opts.Now,
		Keys: func(ctx context.Context, s sigv4.Scope) (key []byte, err error) {
			s.Token = f.fields["x-amz-security-token"]
			who, key, err = c.signingKey(ctx, s)
			return key, err
		},
	}
	_, err := v.VerifyPolicy(c.r.Context(), f.fields["x-amz-credential"], f.fields["x-amz-date"], f.fields["policy"], f.fields["x-amz-signature"])
	if err != nil {
		return fmt.Errorf("verify policy: %w", err)
	}
	c.who = who
	return nil
}

// useForm makes the request one whose headers are the form's fields, and what was
// said of the client.
func (c *call) useForm(f *form) {
	h := f.header()
	for _, name := range []string{"User-Agent", "Referer", "X-Amz-Expected-Bucket-Owner"} {
		if v := c.r.Header.Values(name); len(v) > 0 && h[name] == nil {
			h[name] = v
		}
	}
	r := *c.r
	r.Header = h
	c.r = &r
	c.asked.tags, _ = f.tags() // storeForm says what is wrong with them
}

// storeForm puts the file as a PUT with the form's fields as headers would.
func (c *call) storeForm(f *form, policy *postPolicy, sent *body) (metadata.Version, error) {
	v, err := c.template()
	if err != nil {
		return v, err
	}
	if tags, err := f.tags(); err != nil {
		return v, err
	} else if tags != nil {
		v.Tags = tags
	}
	d, err := c.readDigest()
	if err != nil {
		return v, err
	}
	bucket, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket)
	if err != nil {
		return v, err
	}
	if err := cmp.Or(c.setACL(&bucket, &v), c.mayLock(&bucket, v.Lock)); err != nil {
		return v, err
	}
	file := &postFile{Reader: f.file, policy: policy, most: c.opts.MaxObjectSize}
	v.ChecksumType = fullObject
	put, err := c.opts.Objects.Put(c.r.Context(), origin.PutInput{
		Template: v, Body: file, Size: -1, Bucket: &bucket, Cond: metadata.Cond{By: c.cause(metadata.ByPost)}, Algorithms: d.algorithms(checksum.CRC64NVME),
		Verify: func(sums map[string]string) error {
			if err := policy.allowSize(file.n, true); err != nil {
				return err
			}
			return d.verify(sums)
		},
	})
	switch {
	case err == nil:
		c.writeNewVersion(&put)
	case file.err != nil:
		err = file.err
	default:
		err = sent.blame(err)
	}
	return put, err
}

// postFile is the file of a form, which ends with an error beyond what the
// policy allows. The error is kept, since stores do not all pass it on.
type postFile struct {
	io.Reader
	policy *postPolicy
	most   int64
	n      int64
	err    error
}

func (p *postFile) Read(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.Reader.Read(b)
	p.n += int64(n)
	if p.err = p.policy.allowSize(p.n, false); p.err == nil && p.n > p.most {
		p.err = refuse(errEntityTooLarge, "").with("MaxSizeAllowed", strconv.FormatInt(p.most, 10))
	}
	if p.err != nil {
		return 0, p.err
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = because(errIncompleteBody, err)
	}
	return n, err
}

// answerForm tells of the object in the way that the form asks for.
func (c *call) answerForm(f *form, v metadata.Version) error {
	h := c.w.Header()
	h["ETag"] = []string{quote(v.ETag)}
	writeChecksums(h, v.Checksums, v.ChecksumType)
	h.Set("Location", c.objectLocation())
	to := f.fields["success_action_redirect"]
	if to == "" {
		to = f.fields["redirect"]
	}
	if u, err := url.Parse(to); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		h.Set("Location", c.successURL(u, v.ETag))
		c.w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	switch f.fields["success_action_status"] {
	case "200":
		h.Set("Content-Length", "0")
		c.w.WriteHeader(http.StatusOK)
	case "201":
		d := newPlainDocument("PostResponse")
		d.elem("Location", c.objectLocation())
		d.elem("Bucket", c.bucket)
		d.elem("Key", c.key)
		d.etag(v.ETag)
		return c.w.send(http.StatusCreated, d.bytes())
	default:
		c.w.WriteHeader(http.StatusNoContent)
	}
	return nil
}

// successURL is where a form sends the browser: to, which is told of the object
// behind what it is told already, in the order that S3 documents.
func (c *call) successURL(to *url.URL, etag string) string {
	told := to.Query()
	for _, name := range []string{"bucket", "key", "etag"} {
		told.Del(name)
	}
	query := "bucket=" + url.QueryEscape(c.bucket) + "&key=" + url.QueryEscape(c.key) + "&etag=" + url.QueryEscape(quote(etag))
	if len(told) > 0 {
		query = told.Encode() + "&" + query
	}
	to.RawQuery = query
	return to.String()
}

// objectLocation is the URL of the object at this endpoint; the request's own is
// that of the bucket.
func (c *call) objectLocation() string {
	u := url.URL{Scheme: "http", Host: c.r.Host, Path: "/" + c.bucket + "/" + c.key}
	if c.r.TLS != nil {
		u.Scheme = "https"
	}
	if _, virtual := virtualBucket(c.r.Host, c.opts.Domains); virtual {
		u.Path = "/" + c.key
	}
	return u.String()
}
