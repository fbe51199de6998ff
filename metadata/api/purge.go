package api

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"meridian/internal/hop"
	"meridian/metadata"
)

func (c *call) askPurge() error {
	var p metadata.Purge
	if err := c.decode(&p); err != nil {
		return err
	}
	if p.ID != "" {
		return badField("id", "is chosen by the server")
	}
	status, seq, err := c.store.AskPurge(c.ctx(), p)
	if err != nil {
		return err
	}
	c.setHeader(hop.Seq, seq.String())
	c.setHeader("Location", "/v1/purge/"+url.PathEscape(status.ID))
	return c.json(http.StatusAccepted, listed(status))
}

func (c *call) getPurge() error {
	status, err := c.store.PurgeStatus(c.ctx(), c.param("id"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, listed(status))
}

// listed makes lists that are missing empty ones.
func listed(s metadata.PurgeStatus) metadata.PurgeStatus {
	if s.Acks == nil {
		s.Acks = []metadata.PurgeAck{}
	}
	if s.Waiting == nil {
		s.Waiting = []string{}
	}
	return s
}

// The window of a report.
const (
	defaultWindow = 5 * time.Minute
	minWindow     = time.Minute
	maxWindow     = 720 * time.Hour
)

func (c *call) report() error {
	window, err := c.duration("window", defaultWindow, minWindow, maxWindow)
	if err != nil {
		return err
	}
	by, err := parseGroups(c.query("by"))
	if err != nil {
		return err
	}
	r, err := c.store.Report(c.ctx(), metadata.ReportQuery{Window: window, By: by})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, r)
}

func reportGroups() []string {
	return []string{"tier", metadata.ByRegion, metadata.ByNode, metadata.ByBucket, metadata.ByClass}
}

// parseGroups reads a list of groups, parted by commas.
func parseGroups(text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	var by []string
	known := reportGroups()
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		found := false
		for _, k := range known {
			found = found || k == name
		}
		if !found {
			return nil, badField("by", "%.40q is no group%s", name, suggest(name, known))
		}
		by = append(by, name)
	}
	return by, nil
}
