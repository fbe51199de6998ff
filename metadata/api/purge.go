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
	if err := c.underBuckets(p.URLs, p.Prefixes); err != nil {
		return err
	}
	if err := p.Check(); err != nil {
		return err
	}
	if p.Bucket != "" { // a slip of the pen, of which no count of entries would tell
		if _, err := c.store.Bucket(c.ctx(), p.Bucket); err != nil {
			return err
		}
	}
	status, seq, err := c.store.AskPurge(c.ctx(), p)
	if err != nil {
		return err
	}
	c.setHeader(hop.Seq, seq.String())
	c.setHeader("Location", "/v1/purge/"+url.PathEscape(status.ID))
	return c.json(http.StatusAccepted, listed(status))
}

// underBuckets replaces the URLs in lists that name a pull zone by one of its
// hosts by /bucket/path, which is how caches know it.
func (c *call) underBuckets(lists ...[]string) error {
	var hosts map[string]string // found out when first needed
	for _, list := range lists {
		for i, raw := range list {
			if !strings.Contains(raw, "://") {
				continue
			}
			if hosts == nil {
				var err error
				if hosts, err = c.zoneHosts(); err != nil {
					return err
				}
			}
			if path, ok := underBucket(raw, hosts); ok {
				list[i] = path
			}
		}
	}
	return nil
}

// zoneHosts are the buckets that are pull zones, by the hosts they are served
// under. Of two that claim a host the first by name has it, as at the edges.
func (c *call) zoneHosts() (map[string]string, error) {
	hosts := map[string]string{}
	for b, err := range c.store.Buckets(c.ctx(), "") {
		if err != nil {
			return nil, err
		}
		for _, h := range b.Pull.Hosts {
			if hosts[h] == "" || b.Name < hosts[h] {
				hosts[h] = b.Name
			}
		}
	}
	return hosts, nil
}

// underBucket is an absolute URL of a pull zone as /bucket/path, escaped as it
// was; ok is false for all others.
func underBucket(raw string, hosts map[string]string) (path string, ok bool) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return "", false
	}
	bucket := hosts[strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))]
	if bucket == "" {
		return "", false
	}
	path = "/" + bucket + "/" + strings.TrimPrefix(u.EscapedPath(), "/")
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	return path, true
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
