package api

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"time"

	"meridian/metadata"
)

// newLink is the body of POST /v1/links; Bucket and Key must be given.
type newLink struct {
	Bucket    string            `json:"bucket"`
	Key       string            `json:"key"`
	VersionID string            `json:"version_id"` // the current version, now and later, if empty
	Expires   metadata.Duration `json:"expires"`    // 1h if not given
	Region    string            `json:"region"`     // where the reader is
	Download  bool              `json:"download"`   // a browser is to save it
}

// links say from where an object can be read.
type links struct {
	Bucket    string `json:"bucket"`
	Key       string `json:"key"`
	VersionID string `json:"version_id,omitempty"`
	// Expires is when the URLs do, if they are signed.
	Expires *time.Time `json:"expires,omitempty"`
	// Sources are to be tried in order.
	Sources []playbackSource `json:"sources"`
}

// createLink names the live edges, those of the reader's region first. URLs are
// signed unless the bucket is public, the current version asked for, and it is
// not to be saved: which version and what headers only a signature decides.
func (c *call) createLink() error {
	var in newLink
	if err := c.decode(&in); err != nil {
		return err
	}
	life, err := in.check()
	if err != nil {
		return err
	}
	region, err := c.whereClientIs("region", in.Region)
	if err != nil {
		return err
	}
	if err := c.mayRead(in.Bucket); err != nil {
		return err
	}
	bucket, err := c.store.Bucket(c.ctx(), in.Bucket)
	if err != nil {
		return err
	}
	var v metadata.Version // what a pull zone has of that key its origin knows
	if bucket.Pull.IsZero() {
		v, err = c.store.Lookup(c.ctx(), metadata.Ref{Bucket: in.Bucket, Key: in.Key, VersionID: in.VersionID})
	} else {
		err = in.checkZone()
	}
	if err != nil {
		return err
	}
	nodes, err := c.store.ListNodes(c.ctx())
	if err != nil {
		return err
	}
	answer := links{Bucket: in.Bucket, Key: in.Key, Sources: []playbackSource{}}
	l := link{bucket: in.Bucket, key: in.Key, query: url.Values{}}
	if in.VersionID != "" {
		answer.VersionID = v.VersionID()
		l.query.Set("versionId", answer.VersionID)
	}
	if in.Download {
		l.query.Set("response-content-disposition", attachment(path.Base(in.Key)))
	}
	expires := c.now().Add(life).Truncate(time.Second).UTC()
	if l.signed = bucket.Visibility != metadata.PublicRead || len(l.query) > 0; l.signed {
		answer.Expires = &expires
	}
	for _, n := range nearestFirst(edgesFor(nodes, in.Bucket, in.Key), region, c.opts.Distances) {
		text, err := l.at(n, c.signer, expires)
		if err != nil {
			return err
		}
		answer.Sources = append(answer.Sources, playbackSource{
			Region: n.Region, Node: n.ID, Kind: kindOriginal, ContentType: v.ContentType, Size: v.Size, URL: text,
		})
	}
	return c.json(http.StatusOK, answer)
}

// checkZone refuses what no link into a pull zone can ask for.
func (in *newLink) checkZone() error {
	switch {
	case in.VersionID != "":
		return badField("version_id", "is for objects: what a pull zone answers has no versions")
	case in.Download:
		return badField("download", "is for objects: what a pull zone answers has the header that its origin gives it")
	}
	return nil
}

func (in *newLink) check() (time.Duration, error) {
	var wrong fieldErrors
	if in.Bucket == "" {
		wrong = append(wrong, FieldError{"bucket", "is missing"})
	}
	wrong = append(wrong, checkRef(metadata.Ref{Key: in.Key, VersionID: in.VersionID})...)
	life := cmp.Or(time.Duration(in.Expires), defaultPlayback)
	if life < time.Second || life > maxPlayback {
		wrong = append(wrong, FieldError{"expires", fmt.Sprintf("%s is not between %s and %s", life, time.Second, maxPlayback)})
	}
	if len(wrong) > 0 {
		return 0, wrong
	}
	return life, nil
}
