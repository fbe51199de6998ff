package api

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"meridian/internal/signedurl"
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
	// Region is where the client was taken to be.
	Region string `json:"region"`
	// Expires is when the URLs do, if any of them is signed.
	Expires *time.Time `json:"expires,omitempty"`
	// Sources are to be tried in order.
	Sources []playbackSource `json:"sources"`
}

// kindOriginal is the kind of a source that is the object itself; others are
// those of renditions.
const kindOriginal = "original"

type playbackSource struct {
	Region      string `json:"region"`
	Node        string `json:"node"`
	Kind        string `json:"kind"` // original or faststart
	ContentType string `json:"content_type"`
	Size        int64  `json:"size"`
	URL         string `json:"url"`
}

// getPlayback lists the live edges: those of the client's region first, then
// one after the other of the other regions, so that the first fall-back is not
// the next node of a region that is down. Where there is a rendition, all of them
// are named with it before they are with the original. Who wants to download
// wants the original only.
func (c *call) getPlayback() error {
	life, err := c.duration("expires", defaultPlayback, time.Second, maxPlayback)
	if err != nil {
		return err
	}
	download, err := c.boolean("download")
	if err != nil {
		return err
	}
	region, err := c.whereClientIs("region", c.query("region"))
	if err != nil {
		return err
	}
	m, err := c.store.Media(c.ctx(), c.param("id"))
	if err != nil {
		return err
	}
	if m.VersionID == "" {
		return tell(errNoObject, "%s/%s is announced, and nothing was uploaded yet", m.Bucket, m.Key)
	}
	bucket, err := c.store.Bucket(c.ctx(), m.Bucket)
	if err != nil {
		return err
	}
	nodes, err := c.store.ListNodes(c.ctx())
	if err != nil {
		return err
	}
	original, err := c.originalLink(m, bucket, download)
	if err != nil {
		return err
	}
	p := playback{ID: m.ID, Kind: m.Kind, State: m.State, ContentType: m.ContentType, Region: region, Sources: []playbackSource{}}
	expires := c.now().Add(life).Truncate(time.Second).UTC()
	edges := nearestFirst(edgesFor(nodes, m.Bucket, m.Key), p.Region, c.opts.Distances)
	for _, l := range append(renditionLinks(m, download), original) {
		if l.signed {
			p.Expires = &expires
		}
		for _, n := range edges {
			link, err := l.at(n, c.signer, expires)
			if err != nil {
				return err
			}
			p.Sources = append(p.Sources, playbackSource{
				Region: n.Region, Node: n.ID, Kind: l.kind, ContentType: l.contentType, Size: l.size, URL: link,
			})
		}
	}
	return c.json(http.StatusOK, p)
}

// link is an object to be read at an edge.
type link struct {
	kind, bucket, key string
	contentType       string
	size              int64
	signed            bool
	query             url.Values // covered by the signature
}

// originalLink is a link to the object of a record. What was stored under a type
// that says nothing is answered as what it was found to be; that, and the name
// of a download, only a signed URL can ask for.
func (c *call) originalLink(m metadata.Media, b metadata.Bucket, download bool) (link, error) {
	l := link{
		kind: kindOriginal, bucket: m.Bucket, key: m.Key, contentType: m.ContentType, size: m.Size,
		signed: b.Visibility != metadata.PublicRead, query: url.Values{},
	}
	v, err := c.store.Lookup(c.ctx(), metadata.Ref{Bucket: m.Bucket, Key: m.Key})
	if err != nil && !isGone(err) {
		return l, err
	}
	if err == nil && m.ContentType != "" && metadata.MediaType(v.ContentType, "") == "" {
		l.query.Set("response-content-type", m.ContentType)
	}
	if download {
		l.query.Set("response-content-disposition", attachment(path.Base(m.Key)))
	}
	l.signed = l.signed || len(l.query) > 0
	return l, nil
}

// renditionLinks are links to what was made of a record's object: always signed,
// since their bucket is the system's own.
func renditionLinks(m metadata.Media, download bool) []link {
	var links []link
	for _, r := range m.Renditions {
		if r.State == metadata.RenditionReady && !download {
			links = append(links, link{
				kind: r.Kind, bucket: metadata.RenditionBucket, key: r.Key, contentType: r.ContentType, size: r.Size, signed: true,
			})
		}
	}
	return links
}

// at is the URL of the object at an edge.
func (l link) at(n metadata.Node, signer *signedurl.Signer, expires time.Time) (string, error) {
	text := objectURL(n.PublicURL, l.bucket, l.key)
	if !l.signed {
		return text, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", fmt.Errorf("public URL of node %s: %w", n.ID, err)
	}
	// The edge sees the path behind what its public URL begins with.
	object := &url.URL{Path: "/" + l.bucket + "/" + l.key, RawQuery: l.query.Encode()}
	u.RawQuery = signer.Sign(object, expires).RawQuery
	return u.String(), nil
}

// attachment is a Content-Disposition that makes a browser save a file under a
// name (RFC 6266).
func attachment(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' || r == '%' {
			return '_'
		}
		return r
	}, name)
	text := `attachment; filename="` + plain + `"`
	if plain != name {
		text += "; filename*=UTF-8''" + escapeKey(name)
	}
	return text
}

// whereClientIs is the region of the client: said, which the client wrote into
// the given field, as what stands before it says, or by its address. Where nobody
// knows it is taken to be here. There being no such region is an error in what
// the client wrote itself; a header that names one is ignored.
func (c *call) whereClientIs(field, said string) (string, error) {
	known, err := c.clientRegions()
	if err != nil {
		return "", err
	}
	if said != "" && !slices.Contains(known, said) {
		return "", fieldErrors{unknownRegion(field, said, known)}
	}
	return cmp.Or(said, c.toldRegion(known), c.opts.Region), nil
}

// toldRegion is where the client is by the header or its address, as far as that
// is one of the known regions; else empty.
func (c *call) toldRegion(known []string) string {
	for _, region := range []string{c.r.Header.Get(clientRegion), c.networkRegion()} {
		if slices.Contains(known, region) {
			return region
		}
	}
	return ""
}

// clientRegions are the regions in which clients can be: those of nodes, running
// or not, and those that the configuration names.
func (c *call) clientRegions() ([]string, error) {
	nodes, err := c.store.ListNodes(c.ctx())
	if err != nil {
		return nil, err
	}
	known, err := c.store.KnownRegions(c.ctx())
	if err != nil {
		return nil, err
	}
	known = slices.Concat(known, c.opts.Regions, slices.Collect(maps.Values(c.opts.ClientRegions)), []string{c.opts.Region})
	for pair := range c.opts.Distances {
		known = append(known, pair[:]...)
	}
	for _, n := range nodes {
		known = append(known, n.Region)
	}
	slices.Sort(known)
	return slices.DeleteFunc(slices.Compact(known), func(r string) bool { return r == "" }), nil
}

func (c *call) networkRegion() string {
	addr, err := netip.ParseAddr(c.gin.ClientIP())
	if err != nil {
		return ""
	}
	region, bits := "", -1
	for network, r := range c.opts.ClientRegions {
		if network.Contains(addr.Unmap()) && network.Bits() > bits {
			region, bits = r, network.Bits()
		}
	}
	return region
}

// nearestFirst orders edges, which are sorted by region: all of the given
// region, then the first of every other, the nearest region first, then the
// second, and so on. Impaired ones come behind all sound ones.
func nearestFirst(edges []metadata.Node, region string, far metadata.Distances) []metadata.Node {
	rank := map[string]int{} // by node
	seen := map[string]int{} // by region
	for _, n := range edges {
		if n.Region != region {
			rank[n.ID] = seen[n.Region] + 1
		}
		seen[n.Region]++
	}
	slices.SortStableFunc(edges, func(a, b metadata.Node) int {
		return cmp.Or(cmp.Compare(a.State, b.State), cmp.Compare(rank[a.ID], rank[b.ID]), far.Compare(region, a.Region, b.Region))
	})
	return edges
}

// boolean is a parameter that is true or false; false where it is missing.
func (c *call) boolean(name string) (bool, error) {
	switch text := c.query(name); text {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, badField(name, "%.40q is neither true nor false", text)
	}
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
