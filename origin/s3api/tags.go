package s3api

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"meridian/metadata"
)

// Limits of tags: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
const (
	maxTags       = 10
	maxBucketTags = 50
	maxTagKey     = 128 // characters
	maxTagValue   = 256
)

// taggingConfig is the subresource of a bucket that holds its tags.
const taggingConfig = "tagging"

// tag is a tag as XML has it.
type tag struct {
	Key   *string `xml:"Key"`
	Value *string `xml:"Value"`
}

// tagging is the body of PutObjectTagging and PutBucketTagging, and the field
// tagging of a form.
type tagging struct {
	Set *struct {
		Tags []tag `xml:"Tag"`
	} `xml:"TagSet"`
}

// tags checks the set; an object takes up to maxTags, a bucket maxBucketTags.
func (t *tagging) tags(most int) (map[string]string, error) {
	if t.Set == nil {
		return nil, errMalformedXML
	}
	return checkTags(t.Set.Tags, most)
}

func checkTags(list []tag, most int) (map[string]string, error) {
	tags := make(map[string]string, len(list))
	if len(list) > most {
		if most == maxBucketTags {
			return nil, refuse(errBadRequest, "Bucket tag count cannot be greater than %d", most)
		}
		return nil, refuse(errBadRequest, "Object tags cannot be greater than %d", most)
	}
	for _, t := range list {
		if t.Key == nil || t.Value == nil {
			return nil, errMalformedXML
		}
		if err := checkTag(*t.Key, *t.Value); err != nil {
			return nil, err
		}
		if _, twice := tags[*t.Key]; twice {
			return nil, refuse(errInvalidTag, "Cannot provide multiple Tags with the same key").with("TagKey", *t.Key)
		}
		tags[*t.Key] = *t.Value
	}
	return tags, nil
}

func checkTag(key, value string) error {
	switch {
	case strings.HasPrefix(strings.ToLower(key), "aws:"):
		return refuse(errInvalidTag, "System tags cannot be added/updated by requester").with("TagKey", asUTF8(key))
	case key == "" || utf8.RuneCountInString(key) > maxTagKey || !isTagText(key):
		return refuse(errInvalidTag, "The TagKey you have provided is invalid").with("TagKey", asUTF8(key))
	case utf8.RuneCountInString(value) > maxTagValue || !isTagText(value):
		return refuse(errInvalidTag, "The TagValue you have provided is invalid").with("TagKey", asUTF8(key)).with("TagValue", asUTF8(value))
	}
	return nil
}

// parseTagging reads x-amz-tagging, which has the form of a query.
func parseTagging(s string) (map[string]string, error) {
	if s == "" {
		return nil, nil
	}
	q, err := url.ParseQuery(s)
	if err != nil {
		return nil, badTagging(s)
	}
	var list []tag
	for _, k := range slices.Sorted(maps.Keys(q)) {
		if k == "" || len(q[k]) != 1 {
			return nil, badTagging(s)
		}
		list = append(list, tag{&k, &q[k][0]})
	}
	return checkTags(list, maxTags)
}

func badTagging(s string) error {
	return badArgument("x-amz-tagging", asUTF8(s), "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.")
}

// isTagText says whether s is made of what AWS allows in tags: letters, numbers
// and spaces of any script, and + - = . _ : / @
func isTagText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		if r < utf8.RuneSelf {
			return !isAlnum(byte(r)) && !strings.ContainsRune(" +-=._:/@", r)
		}
		return !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.Z)
	})
}

func isAlnum(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
}

// sendTags answers with tags, by key.
func (c *call) sendTags(tags map[string]string) error {
	d := newDocument("Tagging")
	d.start("TagSet")
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		d.start("Tag")
		d.elem("Key", k)
		d.elem("Value", tags[k])
		d.end("Tag")
	}
	d.end("TagSet")
	return c.w.sendXML(d)
}

func (c *call) getObjectTagging() error {
	v, err := c.find()
	if err != nil {
		return err
	}
	setHeader(c.w.Header(), "X-Amz-Version-Id", c.tellVersion(&v))
	return c.sendTags(v.Tags)
}

func (c *call) putObjectTagging() error {
	var req tagging
	err := c.readXML(smallXML, digestRequired, "Tagging", &req)
	if err == nil {
		c.asked.tags, err = req.tags(maxTags)
	}
	if err := cmp.Or(c.permitOperation(), err); err != nil {
		return err
	}
	return c.setTags(c.asked.tags, http.StatusOK)
}

func (c *call) deleteObjectTagging() error { return c.setTags(nil, http.StatusNoContent) }

// setTags replaces the tags of the version that the request names. It stays the
// version that it is.
func (c *call) setTags(tags map[string]string, status int) error {
	id, err := c.versionID()
	if err != nil {
		return err
	}
	ref := metadata.Ref{Bucket: c.bucket, Key: c.key, VersionID: id}
	v, err := c.opts.Catalog.UpdateVersion(c.r.Context(), ref, c.cause(""), func(v *metadata.Version) error {
		v.Tags = tags
		return nil
	})
	if err != nil {
		c.tellMarker(&v, err)
		return err
	}
	c.writeWritten(&v)
	h := c.w.Header()
	setHeader(h, "X-Amz-Version-Id", c.tellVersion(&v))
	if status == http.StatusOK {
		h.Set("Content-Length", "0")
	}
	c.w.WriteHeader(status)
	return nil
}

func (c *call) getBucketTagging() error {
	b, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket)
	if err != nil {
		return err
	}
	document, ok := b.Config[taggingConfig]
	if !ok {
		return errNoSuchTagSet
	}
	var tags map[string]string
	if err := json.Unmarshal(document, &tags); err != nil {
		return err
	}
	return c.sendTags(tags)
}

func (c *call) putBucketTagging() error {
	if _, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket); err != nil {
		return err
	}
	var req tagging
	if err := c.readXML(smallXML, digestRequired, "Tagging", &req); err != nil {
		return err
	}
	tags, err := req.tags(maxBucketTags)
	if err != nil {
		return err
	}
	document, err := json.Marshal(tags)
	if err != nil {
		return err
	}
	return c.setBucketTags(document)
}

func (c *call) deleteBucketTagging() error { return c.setBucketTags(nil) }

func (c *call) setBucketTags(document json.RawMessage) error {
	_, err := c.opts.Catalog.UpdateBucket(c.r.Context(), c.bucket, func(b *metadata.Bucket) error {
		delete(b.Config, taggingConfig)
		if document != nil {
			b.Config[taggingConfig] = document
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
