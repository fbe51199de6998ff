package api

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"unicode/utf8"

	"meridian/internal/hop"
	"meridian/metadata"
	"meridian/metadata/media/probe"
)

const (
	defaultPage = 50
	maxPage     = 200
)

// mediaPage is a page of records, newest first. Next is the cursor of the page
// after it.
type mediaPage struct {
	Media []metadata.Media `json:"media"`
	Next  string           `json:"next,omitempty"`
}

// newMedia is the body of POST /v1/media. Kind is needed only where the key
// does not tell it.
type newMedia struct {
	Bucket      string    `json:"bucket"`
	Key         string    `json:"key"`
	Kind        string    `json:"kind"`
	Title       *string   `json:"title"`
	Description *string   `json:"description"`
	Tags        *[]string `json:"tags"`
}

// mediaPatch is what may be changed of a record.
type mediaPatch struct {
	Title       patch[string]   `json:"title"`
	Description patch[string]   `json:"description"`
	Tags        patch[[]string] `json:"tags"`
}

func (c *call) listMedia() error {
	limit, err := c.number("limit", defaultPage, 1, maxPage)
	if err != nil {
		return err
	}
	page, err := c.store.ListMedia(c.ctx(), metadata.MediaQuery{
		Kind: c.query("kind"), Q: c.query("q"), Tag: c.query("tag"), Bucket: c.query("bucket"), State: c.query("state"),
		Cursor: c.query("cursor"), Limit: limit,
	})
	if err != nil {
		return err
	}
	if err := c.addURLs(page.Media); err != nil {
		return err
	}
	if page.Next != "" {
		next := c.r.URL.Query()
		next.Set("cursor", page.Next)
		c.setHeader("Link", "</v1/media?"+next.Encode()+`>; rel="next"`)
	}
	if page.Media == nil {
		page.Media = []metadata.Media{}
	}
	return c.json(http.StatusOK, mediaPage(page))
}

// oneMedia answers a record with its URLs.
func (c *call) oneMedia(status int, m metadata.Media) error {
	list := []metadata.Media{m}
	if err := c.addURLs(list); err != nil {
		return err
	}
	return c.json(status, list[0])
}

func (c *call) getMedia() error {
	m, err := c.store.Media(c.ctx(), c.param("id"))
	if err != nil {
		return err
	}
	return c.oneMedia(http.StatusOK, m)
}

// createMedia announces a photo or video that is still to come, or enriches the
// record of one that is there.
func (c *call) createMedia() error {
	var in newMedia
	if err := c.decode(&in); err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return err
	}
	contentType := ""
	v, err := c.store.Lookup(c.ctx(), metadata.Ref{Bucket: in.Bucket, Key: in.Key})
	switch {
	case err == nil:
		contentType = v.ContentType
	case !isGone(err):
		return err
	}
	there := err == nil
	made := false
	m, err := c.store.UpsertMedia(c.ctx(), in.Bucket, in.Key, func(m *metadata.Media) error {
		if made = m.ID == ""; made {
			// What follows the feed completes it from the object.
			kind := probe.KindOf(cmp.Or(metadata.MediaType(contentType, in.Key), v.Sniffed))
			if kind == "" && !there {
				kind = in.Kind
			}
			if kind == "" {
				return in.noKind(there, contentType)
			}
			m.Kind, m.State = kind, metadata.MediaPending
		}
		in.apply(m)
		return nil
	})
	if err != nil {
		return err
	}
	if made {
		c.setHeader("Location", "/v1/media/"+url.PathEscape(m.ID))
		return c.oneMedia(http.StatusCreated, m)
	}
	return c.oneMedia(http.StatusOK, m)
}

func (in *newMedia) check() error {
	var wrong fieldErrors
	if in.Bucket == "" {
		wrong = append(wrong, FieldError{"bucket", "is missing"})
	} else if metadata.IsSystemBucket(in.Bucket) {
		wrong = append(wrong, FieldError{"bucket", errSystemBucket.Error()})
	}
	if in.Key == "" {
		wrong = append(wrong, FieldError{"key", "is missing"})
	} else if err := metadata.CheckKey(in.Key); err != nil {
		wrong = append(wrong, FieldError{"key", reason(err)})
	}
	switch in.Kind {
	case "", metadata.KindPhoto, metadata.KindVideo:
	default:
		wrong = append(wrong, FieldError{"kind", fmt.Sprintf("%.40q is neither photo nor video", in.Kind)})
	}
	var m metadata.Media
	in.apply(&m)
	wrong = append(wrong, checkTexts(m)...)
	if len(wrong) > 0 {
		return wrong
	}
	return nil
}

func (in *newMedia) apply(m *metadata.Media) {
	if in.Title != nil {
		m.Title = *in.Title
	}
	if in.Description != nil {
		m.Description = *in.Description
	}
	if in.Tags != nil {
		m.Tags = *in.Tags
	}
}

func (in *newMedia) noKind(there bool, contentType string) error {
	if there {
		return tell(errNotMedia, "the object %s/%s is of the type %q, neither photo nor video", in.Bucket, in.Key, contentType)
	}
	return tell(errNotMedia, "the key %q does not tell whether it is a photo or a video; say so by kind", in.Key)
}

// checkTexts says which of the fields that people write cannot be kept.
func checkTexts(m metadata.Media) (wrong fieldErrors) {
	text := func(field, s string, most int) {
		switch {
		case len(s) > most:
			wrong = append(wrong, FieldError{field, fmt.Sprintf("has %d bytes, more than %d", len(s), most)})
		case !isText(s):
			wrong = append(wrong, FieldError{field, "holds a NUL character"})
		}
	}
	text("title", m.Title, metadata.MaxTitle)
	text("description", m.Description, metadata.MaxDescription)
	if len(m.Tags) > metadata.MaxTags {
		wrong = append(wrong, FieldError{"tags", fmt.Sprintf("%d are more than %d", len(m.Tags), metadata.MaxTags)})
		return wrong
	}
	for i, t := range m.Tags {
		field := "tags[" + strconv.Itoa(i) + "]"
		if t == "" {
			wrong = append(wrong, FieldError{field, "is empty"})
		}
		text(field, t, metadata.MaxTag)
	}
	return wrong
}

func isText(s string) bool {
	for i := range len(s) {
		if s[i] == 0 {
			return false
		}
	}
	return utf8.ValidString(s)
}

func (c *call) patchMedia() error {
	var in mediaPatch
	if err := c.decode(&in, names(jsonFieldsOf[metadata.Media]())...); err != nil {
		return err
	}
	m, err := c.store.UpdateMedia(c.ctx(), c.param("id"), func(m *metadata.Media) error {
		in.Title.apply(&m.Title)
		in.Description.apply(&m.Description)
		in.Tags.apply(&m.Tags)
		if wrong := checkTexts(*m); len(wrong) > 0 {
			return wrong
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.oneMedia(http.StatusOK, m)
}

// deleteMedia removes the object that the record tells of, and the record. An
// object that was overwritten since is somebody else's: 412, and both stay.
func (c *call) deleteMedia() error {
	m, err := c.store.Media(c.ctx(), c.param("id"))
	if err != nil {
		return err
	}
	at := metadata.Ref{Bucket: m.Bucket, Key: m.Key}
	version := m.VersionID
	if version == "" { // announced; its object may have come a moment ago
		v, err := c.store.Lookup(c.ctx(), at)
		if err != nil && !isGone(err) {
			return err
		}
		if err == nil {
			version = v.ID
		}
	}
	if version != "" {
		gone, err := c.store.Delete(c.ctx(), at, metadata.Cond{IfVersion: version, By: c.cause()})
		if errors.Is(err, metadata.ErrPrecondition) {
			// Overwritten, unless it is gone, and its record about to go.
			if _, now := c.store.Lookup(c.ctx(), at); isGone(now) {
				err = now
			}
		}
		switch {
		case err == nil:
			c.setHeader(hop.Seq, gone.Seq.String())
			version = max(version, gone.ID)
		case !isGone(err):
			return err
		}
	}
	if m.VersionID == "" {
		if err := c.store.DeleteMedia(c.ctx(), m.ID); err != nil && !errors.Is(err, metadata.ErrNoSuchMedia) {
			return err
		}
		return c.noContent()
	}
	if err := c.store.DropMedia(c.ctx(), m.Bucket, m.Key, version); err != nil {
		return err
	}
	return c.noContent()
}

func isGone(err error) bool {
	return errors.Is(err, metadata.ErrNoSuchKey) || errors.Is(err, metadata.ErrDeleteMarker)
}
