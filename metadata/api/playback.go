package api

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"meridian/metadata"
)

// Signed URLs of a private bucket live for defaultPlayback unless asked
// otherwise.
const (
	defaultPlayback = time.Hour
	maxPlayback     = 7 * 24 * time.Hour
	// clientRegion may say by a header where the client is, as a load balancer
	// in front of an app knows it.
	clientRegion = "X-Meridian-Client-Region"
)

// playback says from where a photo or video is best read.
type playback struct {
	ID          string `json:"id"`
	Kind        string `json:"kind"`
	State       string `json:"state"`
	ContentType string `json:"content_type"`
	// Expires is when the URLs do; those of public buckets do not.
	Expires *time.Time `json:"expires,omitempty"`
	// Sources are to be tried in order.
	Sources []playbackSource `json:"sources"`
}

type playbackSource struct {
	Region string `json:"region"`
	Node   string `json:"node"`
	URL    string `json:"url"`
}

// getPlayback lists the live edges: those of the client's region first, then
// one after the other of the other regions, so that the first fall-back is not
// the next node of a region that is down.
func (c *call) getPlayback() error {
	m, err := c.store.Media(c.ctx(), c.param("id"))
	if err != nil {
		return err
	}
	if m.VersionID == "" {
		return tell(errNoObject, "%s/%s is announced, and nothing was uploaded yet", m.Bucket, m.Key)
	}
	life, err := c.duration("expires", defaultPlayback, time.Second, maxPlayback)
	if err != nil {
		return err
	}
	bucket, err := c.store.Bucket(c.ctx(), m.Bucket)
	if err != nil {
		return err
	}
	nodes, err := c.store.ListNodes(c.ctx())
	if err != nil {
		return err
	}
	p := playback{ID: m.ID, Kind: m.Kind, State: m.State, ContentType: m.ContentType, Sources: []playbackSource{}}
	if bucket.Visibility != metadata.PublicRead {
		at := c.now().Add(life).Truncate(time.Second).UTC()
		p.Expires = &at
	}
	region := cmp.Or(c.query("region"), c.r.Header.Get(clientRegion), c.opts.Region)
	for _, n := range nearestFirst(edgesFor(nodes, m.Bucket, m.Key), region) {
		link, err := c.playbackURL(n, m, p.Expires)
		if err != nil {
			return err
		}
		p.Sources = append(p.Sources, playbackSource{Region: n.Region, Node: n.ID, URL: link})
	}
	return c.json(http.StatusOK, p)
}

func (c *call) playbackURL(n metadata.Node, m metadata.Media, expires *time.Time) (string, error) {
	text := objectURL(n.PublicURL, m.Bucket, m.Key)
	if expires == nil {
		return text, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", fmt.Errorf("public URL of node %s: %w", n.ID, err)
	}
	// The edge sees the path behind what its public URL begins with.
	object := &url.URL{Path: "/" + m.Bucket + "/" + m.Key}
	u.RawQuery = c.signer.Sign(object, *expires).RawQuery
	return u.String(), nil
}

// nearestFirst orders edges, which are sorted by region: all of the given
// region, then the first of every other, then the second, and so on.
func nearestFirst(edges []metadata.Node, region string) []metadata.Node {
	rank := map[string]int{} // by node
	seen := map[string]int{} // by region
	for _, n := range edges {
		rank[n.ID] = seen[n.Region]
		seen[n.Region]++
	}
	slices.SortStableFunc(edges, func(a, b metadata.Node) int {
		near := func(n metadata.Node) int {
			if n.Region == region {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(near(a), near(b)), cmp.Compare(rank[a.ID], rank[b.ID]), strings.Compare(a.Region, b.Region))
	})
	return edges
}

// duration is a parameter between least and most.
func (c *call) duration(name string, fallback, least, most time.Duration) (time.Duration, error) {
	text := c.query(name)
	if text == "" {
		return fallback, nil
	}
	return parseDuration(name, text, least, most)
}

func parseDuration(name, text string, least, most time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, badField(name, "%.40q is not a duration such as 5m or 24h", text)
	}
	if d < least || d > most {
		return 0, badField(name, "%.40q is not between %s and %s", text, least, most)
	}
	return d, nil
}
