package api

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"meridian/internal/hop"
	"meridian/metadata"
)

func (c *call) askWarm() error {
	var w metadata.Warm
	if err := c.decode(&w); err != nil {
		return err
	}
	if w.ID != "" {
		return badField("id", "is chosen by the server")
	}
	if err := w.Check(); err != nil {
		return err
	}
	regions, err := c.regions()
	if err != nil {
		return err
	}
	for _, name := range w.Regions {
		if !slices.ContainsFunc(regions, func(r region) bool { return r.Name == name }) {
			return badField("regions", "%.60q is none of our regions", name)
		}
	}
	objects, err := c.warmObjects(w)
	if err != nil {
		return err
	}
	status, seq, err := c.store.AskWarm(c.ctx(), w, objects)
	if err != nil {
		return err
	}
	c.setHeader(hop.Seq, seq.String())
	c.setHeader("Location", "/v1/warm/"+url.PathEscape(status.ID))
	return c.json(http.StatusAccepted, status)
}

func (c *call) getWarm() error {
	status, err := c.store.WarmStatus(c.ctx(), c.param("id"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, status)
}

// warmObjects are what a warm-up stands for, each once.
func (c *call) warmObjects(w metadata.Warm) ([]metadata.WarmObject, error) {
	nodes, err := c.store.ListNodes(c.ctx())
	if err != nil {
		return nil, err
	}
	l := warmList{call: c, checked: map[string]bool{}, seen: map[metadata.WarmObject]bool{}}
	for _, raw := range w.URLs {
		ref, err := warmRef("urls", raw, nodes)
		switch {
		case err != nil:
			return nil, err
		case ref.VersionID != "":
			return nil, badField("urls", "%.100q names a version: current ones are fetched", raw)
		}
		if err := l.check(ref.Bucket); err != nil {
			return nil, err
		}
		if err := l.add(ref.Bucket, ref.Key); err != nil {
			return nil, err
		}
	}
	for _, raw := range w.Prefixes {
		// With a key behind it, a prefix is the URL of an object.
		ref, err := warmRef("prefixes", raw+"x", nodes)
		if err != nil {
			return nil, err
		}
		if err := l.check(ref.Bucket); err != nil {
			return nil, err
		}
		if err := l.addBelow(ref.Bucket, ref.Key[:len(ref.Key)-1]); err != nil {
			return nil, err
		}
	}
	return l.objects, nil
}

// warmList collects objects to be fetched.
type warmList struct {
	*call
	checked map[string]bool // buckets
	seen    map[metadata.WarmObject]bool
	objects []metadata.WarmObject
}

// check refuses a bucket whose objects cannot be fetched ahead, or not for the
// caller.
func (l *warmList) check(bucket string) error {
	if l.checked[bucket] {
		return nil
	}
	if err := l.mayRead(bucket); err != nil {
		return err
	}
	b, err := l.store.Bucket(l.ctx(), bucket)
	switch {
	case err != nil:
		return err
	case !b.Pull.IsZero():
		return metadata.Invalidf("bucket %s is a pull zone: what it answers depends on what clients send", bucket)
	}
	l.checked[bucket] = true
	return nil
}

func (l *warmList) add(bucket, key string) error {
	o := metadata.WarmObject{Bucket: bucket, Key: key}
	switch {
	case l.seen[o]:
		return nil
	case len(l.objects) == metadata.MaxWarmObjects:
		return metadata.Invalidf("warm stands for more than %d objects: name fewer at a time", metadata.MaxWarmObjects)
	}
	l.seen[o] = true
	l.objects = append(l.objects, o)
	return nil
}

// addBelow adds the objects whose keys begin with prefix.
func (l *warmList) addBelow(bucket, prefix string) error {
	q := metadata.ListQuery{Bucket: bucket, Prefix: prefix, Limit: 1000}
	for {
		page, err := l.store.List(l.ctx(), q)
		if err != nil {
			return err
		}
		for _, v := range page.Versions {
			if err := l.add(bucket, v.Key); err != nil {
				return err
			}
		}
		if !page.Truncated {
			return nil
		}
		q.After = page.Next
	}
}

// warmRef is the object that a URL of a field of the request names.
func warmRef(field, raw string, nodes []metadata.Node) (ref metadata.Ref, err error) {
	u, err := explainedURL(raw, nodes)
	var wrong fieldErrors
	if errors.As(err, &wrong) {
		return ref, badField(field, "%s", wrong[0].Detail)
	}
	if err != nil {
		return ref, err
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	ref.Bucket, _ = url.PathUnescape(bucket) // url.Parse has seen that the escapes hold
	ref.Key, _ = url.PathUnescape(key)
	ref.VersionID = u.Query().Get("versionId")
	if metadata.CheckBucketName(ref.Bucket) != nil {
		return ref, badField(field, "%.100q is no bucket: the path of an object's URL is /bucket/key", ref.Bucket)
	}
	if wrong := checkRef(ref); len(wrong) > 0 {
		return ref, badField(field, "%s %s", wrong[0].Field, wrong[0].Detail)
	}
	return ref, nil
}
