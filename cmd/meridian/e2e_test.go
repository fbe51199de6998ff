package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/minio-go/v7"

	"meridian/metadata"
)

// TestPhotoAndVideoTravelThroughEveryTier is the whole main job on real parts.
func TestPhotoAndVideoTravelThroughEveryTier(t *testing.T) {
	t.Parallel()
	c := startDev(t)
	ctx := t.Context()
	c.cli("bucket", "create", "album", "--region", "us-west", "--visibility", "public-read")

	picture, video := photo(t, 1, 900, 600), clip(t, 12)
	if len(video) < 6<<20 {
		t.Fatalf("the clip has %d bytes; it should fill several slices and two parts", len(video))
	}
	_, err := c.aws(c.s3(0)).PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String("album"), Key: aws.String("2026/beach 1.jpg"), Body: bytes.NewReader(picture),
		ContentType: aws.String("image/jpeg"), Metadata: map[string]string{"camera": "test"},
	})
	if err != nil {
		t.Fatal(err)
	}
	// In another region, in parts of 5 MiB.
	_, err = c.minio(c.s3(1)).PutObject(ctx, "album", "clips/wave.mp4", bytes.NewReader(video), int64(len(video)),
		minio.PutObjectOptions{ContentType: "video/mp4", PartSize: 5 << 20})
	if err != nil {
		t.Fatal(err)
	}

	for region := range devRegions {
		for path, want := range map[string][]byte{"/album/2026/beach%201.jpg": picture, "/album/clips/wave.mp4": video} {
			a := get(t, c.edge(region)+path)
			if a.status != http.StatusOK || !bytes.Equal(a.body, want) {
				t.Fatalf("%s from the edge of %s: status %d, %d bytes, want %d equal ones", path, devRegions[region], a.status, len(a.body), len(want))
			}
			for _, r := range []struct{ header, first, last int }{
				{0, 0, 0}, {1, 1, 99}, {2, len(want) / 2, len(want) - 1}, {3, len(want) - 7, len(want) - 1},
			} {
				a := get(t, c.edge(region)+path, "Range", fmt.Sprintf("bytes=%d-%d", r.first, r.last))
				if a.status != http.StatusPartialContent || !bytes.Equal(a.body, want[r.first:r.last+1]) {
					t.Errorf("%s bytes %d-%d: status %d, %d bytes", path, r.first, r.last, a.status, len(a.body))
				}
				if got, want := a.header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/%d", r.first, r.last, len(want)); got != want {
					t.Errorf("Content-Range %q, want %q", got, want)
				}
				if s := a.header.Get("Cache-Status"); !strings.Contains(s, "meridian-edge-"+devRegions[region]+"; hit") {
					t.Errorf("a range of what was read whole is no hit: %s", s)
				}
			}
			a = get(t, c.edge(region)+path, "Range", "bytes=-5")
			if a.status != http.StatusPartialContent || !bytes.Equal(a.body, want[len(want)-5:]) {
				t.Errorf("%s suffix range: status %d, %q", path, a.status, a.body)
			}
			a = get(t, c.edge(region)+path, "Range", fmt.Sprintf("bytes=%d-", len(want)))
			if a.status != http.StatusRequestedRangeNotSatisfiable {
				t.Errorf("%s range behind the end: status %d", path, a.status)
			}
			a = get(t, c.edge(region)+path, "If-None-Match", get(t, c.edge(region)+path).header.Get("ETag"))
			if a.status != http.StatusNotModified || len(a.body) > 0 {
				t.Errorf("%s with its own ETag: status %d", path, a.status)
			}
		}
	}

	// Through S3 in the third region, which holds neither.
	out, err := c.minio(c.s3(2)).StatObject(ctx, "album", "2026/beach 1.jpg", minio.StatObjectOptions{})
	if err != nil || out.Size != int64(len(picture)) || out.UserMetadata["Camera"] != "test" {
		t.Errorf("stat in another region: %+v, %v", out, err)
	}

	c.checkRecords(picture, video)

	// An overwrite in one region reaches every edge.
	newer := photo(t, 2, 640, 480)
	if _, err := c.minio(c.s3(2)).PutObject(ctx, "album", "2026/beach 1.jpg", bytes.NewReader(newer), int64(len(newer)), minio.PutObjectOptions{ContentType: "image/jpeg"}); err != nil {
		t.Fatal(err)
	}
	c.followed("/album/2026/beach%201.jpg", func(a answer) bool { return a.status == http.StatusOK && bytes.Equal(a.body, newer) })
	// And so does a delete.
	if err := c.minio(c.s3(0)).RemoveObject(ctx, "album", "2026/beach 1.jpg", minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	c.followed("/album/2026/beach%201.jpg", func(a answer) bool { return a.status == http.StatusNotFound })
	eventually(t, time.Minute, "the record of the deleted photo goes", func() bool {
		return len(c.media("?kind=photo")) == 0
	})
}

// followed waits until every edge answers ok, by the feed (what they hold is fresh
// for a day), and fails unless it goes on answering so.
func (c *devCluster) followed(path string, ok func(answer) bool) {
	c.t.Helper()
	for region, name := range devRegions {
		eventually(c.t, time.Minute, "the edge of "+name+" serves the new "+path, func() bool { return ok(get(c.t, c.edge(region)+path)) })
	}
	for region := range devRegions {
		if !ok(get(c.t, c.edge(region)+path)) {
			c.t.Errorf("the edge of %s went back to the old %s", devRegions[region], path)
		}
	}
}

func (c *devCluster) media(query string) []metadata.Media {
	c.t.Helper()
	var page struct{ Media []metadata.Media }
	if err := json.Unmarshal(c.call(http.MethodGet, "/v1/media"+query, "", http.StatusOK), &page); err != nil {
		c.t.Fatal(err)
	}
	return page.Media
}

// checkRecords waits for the records of both objects and checks what they tell.
func (c *devCluster) checkRecords(picture, video []byte) {
	c.t.Helper()
	var all []metadata.Media
	eventually(c.t, time.Minute, "both media records are ready", func() bool {
		all = c.media("")
		return len(all) == 2 && all[0].State == metadata.MediaReady && all[1].State == metadata.MediaReady
	})
	byKind := map[string]metadata.Media{all[0].Kind: all[0], all[1].Kind: all[1]}
	p, v := byKind[metadata.KindPhoto], byKind[metadata.KindVideo]
	if p.Width != 900 || p.Height != 600 || p.Size != int64(len(picture)) || p.ContentType != "image/jpeg" {
		c.t.Errorf("record of the photo: %+v", p)
	}
	if v.Width != 640 || v.Height != 360 || v.Duration < 11.9 || v.Duration > 12.1 || v.Size != int64(len(video)) || len(v.Codecs) != 1 || !strings.HasPrefix(v.Codecs[0], "avc1.") {
		c.t.Errorf("record of the video: %+v", v)
	}
	if url := p.BlobURLs["us-west"]; !strings.HasPrefix(url, "s3://meridian-us-west/album/") || !strings.HasSuffix(url, ".jpg") {
		c.t.Errorf("blob URLs of the photo: %v", p.BlobURLs)
	}
	if url := v.BlobURLs["europe"]; !strings.HasPrefix(url, "s3://meridian-europe/album/") {
		c.t.Errorf("blob URLs of the video: %v", v.BlobURLs)
	}
	for region, name := range devRegions {
		if want := c.edge(region) + "/album/2026/beach%201.jpg"; p.EdgeURLs[name] != want {
			c.t.Errorf("edge URL in %s: %q, want %q", name, p.EdgeURLs[name], want)
		}
	}
	c.call(http.MethodPatch, "/v1/media/"+p.ID, `{"title":"Evening at the sea","tags":["holiday"]}`, http.StatusOK)
	if found := c.media("?q=evening+sea"); len(found) != 1 || found[0].ID != p.ID {
		c.t.Errorf("full-text search finds %d records", len(found))
	}
	if found := c.media("?tag=holiday&kind=video"); len(found) != 0 {
		c.t.Errorf("a tag of the photo finds %d videos", len(found))
	}
}

// TestReportAgreesWithTheRequestsSent counts by itself and compares.
func TestReportAgreesWithTheRequestsSent(t *testing.T) {
	t.Parallel()
	c := startDev(t)
	c.cli("bucket", "create", "counted", "--visibility", "public-read")
	s3c := c.minio(c.s3(0))
	big := bytes.Repeat([]byte("0123456789abcdef"), 5<<20/32) // 2.5 slices
	objects := map[string]struct {
		body  []byte
		class string
		mime  string
	}{
		"a.jpg": {photo(t, 3, 64, 64), metadata.ClassPhoto, "image/jpeg"},
		"b.bin": {big, metadata.ClassOther, "application/octet-stream"},
	}
	for key, o := range objects {
		if _, err := s3c.PutObject(t.Context(), "counted", key, bytes.NewReader(o.body), int64(len(o.body)), minio.PutObjectOptions{ContentType: o.mime}); err != nil {
			t.Fatal(err)
		}
	}
	var requests, misses, bytesSent int64
	for i := range 20 {
		for key, o := range objects {
			for region := range 2 { // nothing goes through asia
				a := get(t, c.edge(region)+"/counted/"+key)
				if !bytes.Equal(a.body, o.body) {
					t.Fatalf("%s: %d bytes", key, len(a.body))
				}
				requests++
				bytesSent += int64(len(o.body))
				if i == 0 {
					misses++
				}
			}
		}
	}
	const fetched = 2 * (1 + 3) // one slice of the photo, three of the other, in each of two regions
	var r metadata.Report
	eventually(t, time.Minute, "all requests are in the report", func() bool {
		r = metadata.Report{}
		if err := json.Unmarshal(c.call(http.MethodGet, "/v1/cache/report?window=5m", "", http.StatusOK), &r); err != nil {
			t.Fatal(err)
		}
		return r.Tiers[0].Requests >= requests && r.Tiers[1].Requests >= fetched && r.Tiers[2].Requests >= fetched
	})
	edge, regional, origin := r.Tiers[0], r.Tiers[1], r.Tiers[2]
	if edge.Tier != metadata.TierEdge || regional.Tier != metadata.TierRegional || origin.Tier != metadata.TierOrigin {
		t.Fatalf("tiers are %s, %s, %s", edge.Tier, regional.Tier, origin.Tier)
	}
	if edge.Requests != requests || edge.Misses != misses || edge.Hits != requests-misses || edge.Bytes != bytesSent {
		t.Errorf("edge: %+v, want %d requests, %d misses, the rest hits, %d bytes", edge, requests, misses, bytesSent)
	}
	if regional.Requests != fetched || regional.Misses != fetched || origin.Requests != fetched {
		t.Errorf("regional: %+v, origin: %+v, want %d requests at each, all of them misses at the first", regional, origin, fetched)
	}
	// Europe has no copy: its origin fetches from us-west.
	if origin.Hits != 4 || origin.Misses != 4 {
		t.Errorf("origin: %+v, want 4 from the own region and 4 from the other", origin)
	}
	wantShare := float64(requests-misses) / float64(requests)
	if edge.Share != wantShare || edge.Share+regional.Share+origin.Share < 0.999999999 || edge.Share+regional.Share+origin.Share > 1.000000001 {
		t.Errorf("shares %v, %v, %v: want the edge's %v and a sum of 1", edge.Share, regional.Share, origin.Share, wantShare)
	}
	classes := map[string]int64{}
	for _, row := range r.Classes {
		if row.Tier == metadata.TierEdge {
			classes[row.Class] = row.Requests
		}
	}
	if classes[metadata.ClassPhoto] != requests/2 || classes[metadata.ClassOther] != requests/2 || classes[metadata.ClassVideo] != 0 {
		t.Errorf("edge requests by class: %v", classes)
	}
	if table := c.cli("report"); !strings.Contains(table, "counted") || !strings.Contains(table, "95.0%") {
		t.Errorf("meridian report prints\n%s", table)
	}
	// Two edges hold the object, and were cold; nobody asked the third.
	table := c.cli("explain", c.edge(1)+"/counted/b.bin")
	if !strings.Contains(table, "2.5 MiB") || strings.Count(table, "3 of 3") != 4 || strings.Count(table, "cold") < 4 || strings.Contains(table, "no answer") {
		t.Errorf("meridian explain prints\n%s", table)
	}
	metrics := string(get(t, c.edge(0)+"/metrics").body)
	if !strings.Contains(metrics, `meridian_cache_requests_total`) || !strings.Contains(metrics, `bucket="counted"`) {
		t.Error("/metrics of an edge does not tell its requests by bucket")
	}
}

// TestAnotherEdgeOfARegionIsServedByTheRegionalCache starts one by hand, as an
// operator would.
func TestAnotherEdgeOfARegionIsServedByTheRegionalCache(t *testing.T) {
	t.Parallel()
	c := startDev(t)
	c.cli("bucket", "create", "shared", "--visibility", "public-read")
	body := bytes.Repeat([]byte("x"), 100_000)
	if _, err := c.minio(c.s3(0)).PutObject(t.Context(), "shared", "x", bytes.NewReader(body), int64(len(body)), minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	first := get(t, c.edge(2)+"/shared/x").header.Get("Cache-Status")
	if want := "meridian-regional-asia; fwd=uri-miss"; !strings.HasPrefix(first, want) || !strings.Contains(first, "meridian-edge-asia; fwd=uri-miss") {
		t.Errorf("first Cache-Status %q, want misses at both tiers, the regional one first", first)
	}
	if again := get(t, c.edge(2)+"/shared/x").header.Get("Cache-Status"); !strings.Contains(again, "meridian-edge-asia; hit") {
		t.Errorf("second Cache-Status %q, want a hit at the edge", again)
	}
	url := c.startEdge("asia")
	a := get(t, url+"/shared/x")
	if s := a.header.Get("Cache-Status"); !bytes.Equal(a.body, body) || !strings.HasPrefix(s, "meridian-regional-asia; hit") || !strings.Contains(s, "meridian-edge-asia; fwd=uri-miss") {
		t.Errorf("Cache-Status at another edge %q, want a hit at the regional cache", s)
	}
	if a.header.Get("Age") == "" || a.header.Get("Server-Timing") == "" || a.header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("headers of a hit: %v", a.header)
	}
}

// TestPrivateMeansPrivateAtEveryTier tries to read a private object without
// credentials, with wrong ones, and with a signature that the edge verifies.
func TestPrivateMeansPrivateAtEveryTier(t *testing.T) {
	t.Parallel()
	c := startDev(t)
	ctx := t.Context()
	c.cli("bucket", "create", "diary")
	c.cli("bucket", "create", "open-air", "--visibility", "public-read")
	secret := []byte("dear diary")
	if _, err := c.minio(c.s3(0)).PutObject(ctx, "diary", "me.txt", bytes.NewReader(secret), int64(len(secret)), minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	tiers := []string{c.s3(0), c.s3(2), c.regional(0), c.regional(2), c.edge(0), c.edge(2)}
	for _, tier := range tiers {
		presigner := s3.NewPresignClient(c.aws(tier))
		signed, err := presigner.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("diary"), Key: aws.String("me.txt")})
		if err != nil {
			t.Fatal(err)
		}
		if a := get(t, signed.URL); a.status != http.StatusOK || !bytes.Equal(a.body, secret) {
			t.Errorf("%s presigned: %d %q", tier, a.status, a.body)
		}
		// Now the object is in the caches on the way.
		for name, url := range map[string]string{
			"anonymous":         tier + "/diary/me.txt",
			"another signature": flipLast(signed.URL),
			"another key":       strings.Replace(signed.URL, "me.txt", "me2.txt", 1),
			"through a public":  tier + "/open-air/../diary/me.txt",
			"encoded traversal": tier + "/open-air/%2e%2e/diary/me.txt",
			"encoded slash":     tier + "/open-air/..%2fdiary/me.txt",
		} {
			if a := get(t, url); a.status != http.StatusForbidden && a.status != http.StatusNotFound || bytes.Contains(a.body, secret) {
				t.Errorf("%s, %s: %d %q", tier, name, a.status, a.body)
			}
		}
		spoofed := get(t, tier+"/diary/me.txt", "X-Meridian-Node", "edge-asia", "X-Meridian-Local", "1", "Authorization", "meridian-node")
		if spoofed.status < 400 || bytes.Contains(spoofed.body, secret) {
			t.Errorf("%s with the headers of a hop: %d", tier, spoofed.status)
		}
	}
	stranger := *c
	stranger.cred = newCredentials()
	_, err := stranger.aws(c.s3(0)).GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("diary"), Key: aws.String("me.txt")})
	if err == nil || !strings.Contains(err.Error(), "InvalidAccessKeyId") {
		t.Errorf("unknown access key: %v", err)
	}
}

// flipLast changes the last character of a URL: a hexadecimal digit of its
// signature.
func flipLast(url string) string {
	last := byte('0')
	if url[len(url)-1] == last {
		last = '1'
	}
	return url[:len(url)-1] + string(last)
}
