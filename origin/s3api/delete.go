package s3api

import (
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"

	"meridian/metadata"
	"meridian/metadata/access"
)

// remove deletes one version, if it is like l. That there was none is no error to
// S3, unless the client said by an ETag what there should be.
func (c *call) remove(ref metadata.Ref, l likeness, cond metadata.Cond) (metadata.Version, error) {
	if l.isSet() {
		if found, err := c.mayRemove(&ref, l, &cond); err != nil || !found && len(cond.IfMatch) == 0 {
			return metadata.Version{}, err
		}
	}
	v, err := c.opts.Objects.Delete(c.r.Context(), ref, cond)
	missing := errors.Is(err, metadata.ErrNoSuchKey) || errors.Is(err, metadata.ErrNoSuchVersion)
	if missing && len(cond.IfMatch) == 0 {
		return metadata.Version{}, nil
	}
	return v, err
}

// deleteRequest is the body of DeleteObjects.
type deleteRequest struct {
	Quiet   bool           `xml:"Quiet"`
	Objects []deleteTarget `xml:"Object"`
}

type deleteTarget struct {
	Key              string  `xml:"Key"`
	VersionID        string  `xml:"VersionId"`
	ETag             *string `xml:"ETag"`
	LastModifiedTime string  `xml:"LastModifiedTime"`
	Size             string  `xml:"Size"`
}

// deleteParallel is how many of the keys of one DeleteObjects are removed at
// once: each is a transaction that waits for its log record.
const deleteParallel = 8

type deleteResult struct {
	version metadata.Version
	err     error
}

// deleteObjects removes up to a thousand keys, each by itself: one that fails
// does not keep the others.
func (c *call) deleteObjects() error {
	var req deleteRequest
	if err := c.readXML(greatXML, digestRequired, "Delete", &req); err != nil {
		return err
	}
	if len(req.Objects) == 0 || len(req.Objects) > maxDelete {
		return errMalformedXML
	}
	b, err := c.accessTo(c.bucket)
	if err != nil {
		return err
	}
	results := c.deleteAll(b, req.Objects)
	if err := c.r.Context().Err(); err != nil {
		return err
	}
	d := newDocument("DeleteResult")
	for i := range results {
		c.writeDeleted(d, &req.Objects[i], &results[i], req.Quiet)
	}
	return c.w.sendXML(d)
}

// deleteAll removes the targets. Entries for the same key keep their order.
func (c *call) deleteAll(b *access.Bucket, targets []deleteTarget) []deleteResult {
	results := make([]deleteResult, len(targets))
	byKey := map[string][]int{}
	var order []string
	for i, t := range targets {
		if _, seen := byKey[t.Key]; !seen {
			order = append(order, t.Key)
		}
		byKey[t.Key] = append(byKey[t.Key], i)
	}
	var group errgroup.Group
	group.SetLimit(deleteParallel)
	var mu sync.Mutex // of the greatest Seq
	var last metadata.Version
	for _, key := range order {
		group.Go(func() error {
			for _, i := range byKey[key] {
				results[i] = c.deleteOne(b, &targets[i])
				mu.Lock()
				if results[i].err == nil && results[i].version.Seq.Compare(last.Seq) > 0 {
					last = results[i].version
				}
				mu.Unlock()
			}
			return nil
		})
	}
	_ = group.Wait() // the functions return nil: errors belong to their key
	c.writeWritten(&last)
	return results
}

func (c *call) deleteOne(b *access.Bucket, t *deleteTarget) deleteResult {
	if err := checkKey(t.Key); err != nil {
		return deleteResult{err: err}
	}
	if t.VersionID != "" && !isVersionID(t.VersionID) {
		return deleteResult{err: errNoSuchVersion} // a version that there cannot be, on S3, too
	}
	like, err := readLikeness(t.Size, t.LastModifiedTime, [2]string{"Size", "LastModifiedTime"})
	if err != nil {
		return deleteResult{err: err}
	}
	r := c.request(actionOf("DeleteObject", t.VersionID != ""), t.Key, t.VersionID)
	r.Conditions = c.conditionsAnd("s3:VersionId", t.VersionID)
	if err := c.permit(b, r); err != nil {
		return deleteResult{err: err}
	}
	bypass, err := c.mayBypassGovernance(t.Key)
	if err != nil {
		return deleteResult{err: err}
	}
	cond := metadata.Cond{By: c.cause(""), BypassGovernance: bypass}
	if t.ETag != nil {
		cond.IfMatch = splitETags(*t.ETag)
		if len(cond.IfMatch) == 0 {
			return deleteResult{err: errPreconditionFailed}
		}
	}
	if err := c.permitCompare(b, t.Key, t.VersionID, t.ETag != nil && *t.ETag != "*", like.isSet()); err != nil {
		return deleteResult{err: err}
	}
	v, err := c.remove(metadata.Ref{Bucket: c.bucket, Key: t.Key, VersionID: t.VersionID}, like, cond)
	return deleteResult{v, err}
}

func (c *call) writeDeleted(d *document, t *deleteTarget, r *deleteResult, quiet bool) {
	if r.err != nil {
		f := failureOf(r.err)
		if f.code == errInternalError {
			c.opts.Log.Error("S3 request failed", "request_id", c.requestID, "op", c.opName(),
				"bucket", c.bucket, "key", t.Key, "code", string(f.code), "err", r.err)
		}
		_, text := f.code.about()
		if f.message != "" {
			text = f.message
		}
		d.start("Error")
		d.elem("Key", t.Key)
		d.optional("VersionId", t.VersionID)
		d.elem("Code", string(f.code))
		d.elem("Message", text)
		d.end("Error")
		return
	}
	if quiet {
		return
	}
	d.start("Deleted")
	d.elem("Key", t.Key)
	d.optional("VersionId", t.VersionID)
	if r.version.DeleteMarker {
		d.boolean("DeleteMarker", true)
		d.elem("DeleteMarkerVersionId", r.version.VersionID())
	}
	d.end("Deleted")
}
