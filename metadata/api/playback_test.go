package api

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/internal/signedurl"
	"meridian/metadata"
)

func (w *world) playback(m metadata.Media, query string, headers ...string) playback {
	w.Helper()
	return as[playback](w.T, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/media/"+m.ID+"/playback"+query, "", headers...))
}

// nodesOf are the nodes of the sources of a kind, in order.
func (p playback) nodesOf(kind string) string {
	var ids []string
	for _, s := range p.Sources {
		if s.Kind == kind {
			ids = append(ids, s.Node)
		}
	}
	return strings.Join(ids, " ")
}

// query is that of the first source, which must be a URL that an edge accepts
// until it expires.
func (p playback) query(t *testing.T) url.Values {
	t.Helper()
	u, err := url.Parse(p.Sources[0].URL)
	if err != nil || p.Expires == nil {
		t.Fatalf("%+v: %v", p, err)
	}
	if err := signedurl.New(clusterSecret).Verify(u.Path, u.Query(), p.Expires.Add(-time.Second)); err != nil {
		t.Errorf("%s: %v", u, err)
	}
	return u.Query()
}

// The edges are ordered by where the client is, how far regions are from there,
// and how the edges are.
func TestEdgesForPlayback(t *testing.T) {
	t.Parallel()
	dead := map[string]bool{}
	w := newWorld(t, func(o *Options) {
		o.Store = silent{o.Store, dead}
		o.Distances = metadata.Distances{{"europe", "asia"}: 220 * time.Millisecond, {"us-west", "europe"}: 140 * time.Millisecond, {"asia", "us-west"}: 110 * time.Millisecond}
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		o.ClientRegions = map[netip.Prefix]string{
			netip.MustParsePrefix("10.0.0.0/8"): "us-west", netip.MustParsePrefix("10.1.0.0/16"): "asia", netip.MustParsePrefix("2001:db8::/32"): "europe",
		}
	})
	draining, impaired := someNode("europe-2", metadata.TierEdge, "europe"), someNode("us-west-2", metadata.TierEdge, "us-west")
	draining.State, impaired.State = metadata.NodeDraining, metadata.NodeImpaired
	w.nodes(someNode("europe-1", metadata.TierEdge, "europe"), draining, someNode("asia-1", metadata.TierEdge, "asia"),
		someNode("us-west-1", metadata.TierEdge, "us-west"), impaired,
		someNode("regional-asia", metadata.TierRegional, "asia"), someNode("regional-europe", metadata.TierRegional, "europe"))
	w.bucket("open", metadata.PublicRead)
	m := w.record(w.object("open", "a.jpg", "image/jpeg"))
	for query, want := range map[string]string{
		"?region=europe":  "europe-1 us-west-1 asia-1 us-west-2",
		"?region=asia":    "asia-1 us-west-1 europe-1 us-west-2",
		"?region=us-west": "us-west-1 asia-1 europe-1 us-west-2",
		"":                "europe-1 us-west-1 asia-1 us-west-2",
	} {
		if got := w.playback(m, query).nodesOf(kindOriginal); got != want {
			t.Errorf("playback%s: %s, want %s", query, got, want)
		}
	}
	for addr, want := range map[string]string{
		"10.1.2.3": "asia", "10.2.2.3": "us-west", "192.168.0.1": "europe", "2001:db8::7": "europe", "10.1.2.3, 10.2.0.1": "us-west",
	} {
		p := w.playback(m, "", "X-Forwarded-For", addr)
		if p.Region != want || p.Sources[0].Region != want {
			t.Errorf("a client at %s is sent to %s, taken to be in %s", addr, p.Sources[0].Node, p.Region)
		}
	}
	if p := w.playback(m, "", "X-Forwarded-For", "10.1.2.3", clientRegion, "us-west"); p.Region != "us-west" {
		t.Errorf("the header counts for less than the address: %s", p.Region)
	}
	// Who says where it is must know the name; others are not asked.
	for _, header := range []string{"mars", ""} {
		if p := w.playback(m, "", "X-Forwarded-For", "10.1.2.3", clientRegion, header); p.Region != "asia" || p.Sources[0].Region != "asia" {
			t.Errorf("a client of asia behind what says %q is taken to be in %s", header, p.Region)
		}
		if p := w.playback(m, "", clientRegion, header); p.Region != "europe" {
			t.Errorf("a client behind what says %q is taken to be in %s", header, p.Region)
		}
	}
	for where, a := range map[string]answer{
		"playback": w.do(http.StatusBadRequest, metadata.RoleReadOnly, http.MethodGet, "/v1/media/"+m.ID+"/playback?region=mars", ""),
		"links":    w.do(http.StatusBadRequest, metadata.RoleReadOnly, http.MethodPost, "/v1/links", `{"bucket":"open","key":"a.jpg","region":"mars"}`),
	} {
		w.refused(a, "region")
		if !strings.Contains(string(a.body), "known are asia, europe, us-west") {
			t.Errorf("%s: %s", where, a.body)
		}
	}
	// The regional cache of asia dies, and its edge comes behind all sound ones.
	dead["regional-asia"] = true
	if got := w.playback(m, "?region=asia").nodesOf(kindOriginal); got != "us-west-1 europe-1 asia-1 us-west-2" {
		t.Errorf("edges for asia without its regional cache: %s", got)
	}
}

// Every edge is named with the rendition first, and the original is the last
// resort; downloads are of the original.
func TestRenditionsForPlayback(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.nodes(someNode("europe-1", metadata.TierEdge, "europe"), someNode("asia-1", metadata.TierEdge, "asia"))
	w.bucket("open", metadata.PublicRead)
	m := w.record(w.object("open", "clips/My Film é.mp4", "video/mp4"))
	key := metadata.RenditionKey("open", m.VersionID, metadata.RenditionFaststart, ".mp4")
	set := func(state string) {
		_, err := w.store.UpdateMedia(t.Context(), m.ID, func(m *metadata.Media) error {
			m.Renditions = []metadata.Rendition{{Kind: metadata.RenditionFaststart, State: state, Key: key, Size: 7, ContentType: "video/mp4"}}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	set(metadata.RenditionPending)
	if p := w.playback(m, ""); p.Expires != nil || p.nodesOf("") != "" || p.nodesOf(kindOriginal) != "europe-1 asia-1" || p.Sources[0].Size != 5 {
		t.Errorf("before the rendition is there: %+v", p)
	}
	set(metadata.RenditionReady)
	p := w.playback(m, "?expires=1m")
	if p.nodesOf(metadata.RenditionFaststart) != "europe-1 asia-1" || p.nodesOf(kindOriginal) != "europe-1 asia-1" || p.Sources[0].Kind != metadata.RenditionFaststart || p.Sources[0].Size != 7 {
		t.Errorf("with a rendition: %+v", p)
	}
	if u := p.Sources[0].URL; !strings.HasPrefix(u, "https://europe-1.example.com/"+metadata.RenditionBucket+"/"+key+"?") {
		t.Errorf("rendition at %s", u)
	}
	p.query(t)
	if u := p.Sources[2].URL; strings.Contains(u, "?") {
		t.Errorf("the original of a public bucket at %s", u)
	}
	p = w.playback(m, "?download=true")
	if q := p.query(t); p.nodesOf(kindOriginal) != "europe-1 asia-1" || len(p.Sources) != 2 ||
		q.Get("response-content-disposition") != `attachment; filename="My Film _.mp4"; filename*=UTF-8''My%20Film%20%C3%A9.mp4` {
		t.Errorf("download: %+v", p)
	}
	w.refused(w.do(http.StatusBadRequest, metadata.RoleReadOnly, http.MethodGet, "/v1/media/"+m.ID+"/playback?download=1", ""), "download")
	got := as[metadata.Media](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/media/"+m.ID, ""))
	if len(got.Renditions) != 1 || got.Renditions[0].State != metadata.RenditionReady {
		t.Errorf("record: %+v", got.Renditions)
	}
}

// What a tool stored without a type is played as what it was found to be.
func TestPlaybackOfUntypedFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.nodes(someNode("europe-1", metadata.TierEdge, "europe"))
	w.bucket("open", metadata.PublicRead)
	for _, stored := range []string{"", "binary/octet-stream", "video/mp4"} {
		m := w.record(w.object("open", "film.mp4", stored))
		if _, err := w.store.UpdateMedia(t.Context(), m.ID, func(m *metadata.Media) error { m.ContentType = "video/mp4"; return nil }); err != nil {
			t.Fatal(err)
		}
		p := w.playback(m, "")
		if stored == "video/mp4" {
			if p.Expires != nil || strings.Contains(p.Sources[0].URL, "?") {
				t.Errorf("stored as %s: %+v", stored, p)
			}
			continue
		}
		if got := p.query(t).Get("response-content-type"); got != "video/mp4" || p.Sources[0].ContentType != "video/mp4" {
			t.Errorf("stored as %q: played as %q", stored, got)
		}
	}
	if !slices.Equal(w.playback(w.record(w.object("open", "a.jpg", "image/jpeg")), "").Sources, []playbackSource{{
		Region: "europe", Node: "europe-1", Kind: kindOriginal, ContentType: "image/jpeg", Size: 5, URL: "https://europe-1.example.com/open/a.jpg",
	}}) {
		t.Error("a photo is not simply where it is")
	}
}
