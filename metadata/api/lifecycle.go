package api

import (
	"net/http"
	"strconv"

	"meridian/metadata"
	"meridian/metadata/lifecycle"
)

// lifecyclePage is a page of runs, newest first.
type lifecyclePage struct {
	Runs []metadata.LifecycleRun `json:"runs"`
	Next string                  `json:"next,omitempty"` // cursor of the next page
}

const (
	maxRuns     = 200
	defaultRuns = 20
)

func (c *call) listLifecycleRuns() error {
	if err := c.mayRead(c.param("name")); err != nil {
		return err
	}
	limit, err := c.number("limit", defaultRuns, 1, maxRuns)
	if err != nil {
		return err
	}
	var below int64
	if cursor := c.query("cursor"); cursor != "" {
		if below, err = strconv.ParseInt(cursor, 10, 64); err != nil || below < 1 {
			return badField("cursor", "%.40q is not one of a page", cursor)
		}
	}
	runs, err := c.store.Lifecycles(c.ctx(), c.param("name"), below, limit+1)
	if err != nil {
		return err
	}
	page := lifecyclePage{Runs: runs}
	if len(runs) > limit {
		page.Runs = runs[:limit]
		page.Next = strconv.FormatInt(runs[limit-1].ID, 10)
	}
	if page.Runs == nil {
		page.Runs = []metadata.LifecycleRun{}
	}
	for i := range page.Runs {
		if page.Runs[i].Rules == nil {
			page.Runs[i].Rules = map[string]*metadata.LifecycleCounts{}
		}
	}
	return c.json(http.StatusOK, page)
}

// runLifecycle has the rules of a bucket applied as soon as may be, unless they
// are being applied.
func (c *call) runLifecycle() error {
	name := c.param("name")
	b, err := c.store.Bucket(c.ctx(), name)
	if err != nil {
		return err
	}
	if len(b.Config[lifecycle.ConfigName]) == 0 {
		return tell(errNoRules, "bucket %s has no lifecycle rules: PutBucketLifecycleConfiguration of the S3 endpoint sets them", name)
	}
	runs, err := c.store.Lifecycles(c.ctx(), name, 0, 1)
	if err != nil {
		return err
	}
	run := metadata.LifecycleRun{Bucket: name}
	if len(runs) > 0 && runs[0].Finished == nil {
		run = runs[0]
	} else if run, err = c.store.SaveLifecycle(c.ctx(), run, false); err != nil {
		return err
	}
	if run.Rules == nil {
		run.Rules = map[string]*metadata.LifecycleCounts{}
	}
	return c.json(http.StatusAccepted, run)
}
