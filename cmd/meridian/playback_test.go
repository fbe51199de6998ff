package main

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"os"

	"github.com/minio/minio-go/v7"

	"meridian/metadata"
)

// played is what GET /v1/media/{id}/playback answers, as far as it matters here.
type played struct {
	Expires *time.Time
	Sources []struct{ Region, Kind, URL string }
}

func (c *devCluster) playback(id, query string) played {
	c.t.Helper()
	var p played
	if err := json.Unmarshal(c.call(http.MethodGet, "/v1/media/"+id+"/playback"+query, "", http.StatusOK), &p); err != nil {
		c.t.Fatal(err)
	}
	return p
}

// frames are the checksums of all that ffmpeg decodes of a file or URL.
func frames(t *testing.T, from string) string {
	t.Helper()
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		missing(t, "ffmpeg is not installed: apt-get install ffmpeg")
	}
	out, err := exec.CommandContext(t.Context(), ffmpeg, "-v", "error", "-xerror", "-nostdin", "-i", from, "-map", "0", "-f", "framemd5", "-").CombinedOutput()
	if err != nil {
		t.Fatalf("ffmpeg: %v: %s", err, out)
	}
	return string(out)
}

// TestVideoPlaysFromItsFirstByte puts a video with its index at the end, as S3
// tools do that know of no types, into a private bucket, and plays it.
func TestVideoPlaysFromItsFirstByte(t *testing.T) {
	t.Parallel()
	c := startDev(t)
	c.cli("bucket", "create", "cinema", "--region", "europe")
	film := clip(t, 4)
	if bytes.Index(film, []byte("moov")) < bytes.Index(film, []byte("mdat")) {
		t.Fatal("the clip has its index in front already")
	}
	path := filepath.Join(t.TempDir(), "film.mp4")
	if err := os.WriteFile(path, film, 0o600); err != nil {
		t.Fatal(err)
	}
	s3c := c.minio(c.s3(1))
	put := func(body []byte) {
		t.Helper()
		if _, err := s3c.PutObject(t.Context(), "cinema", "film 1.mp4", bytes.NewReader(body), int64(len(body)), minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	put(film)
	var m metadata.Media
	ready := func() bool {
		list := c.media("?bucket=cinema")
		if len(list) == 1 {
			m = list[0]
		}
		return len(m.Renditions) == 1 && m.Renditions[0].State == metadata.RenditionReady
	}
	eventually(t, time.Minute, "the video has a rendition", ready)

	p := c.playback(m.ID, "?region=asia")
	if len(p.Sources) != 2*len(devRegions) || p.Expires == nil {
		t.Fatalf("playback %+v", p)
	}
	for i, want := range []string{"asia faststart", "us-west faststart", "europe faststart", "asia original", "us-west original", "europe original"} {
		if got := p.Sources[i].Region + " " + p.Sources[i].Kind; got != want {
			t.Errorf("source %d is %s, want %s", i, got, want)
		}
	}
	fast, slow := p.Sources[0].URL, p.Sources[len(p.Sources)-1].URL
	if !strings.HasPrefix(fast, c.edge(2)+"/"+metadata.RenditionBucket+"/cinema/") {
		t.Errorf("rendition at %s", fast)
	}
	a := get(t, fast, "Range", "bytes=0-65535")
	if a.status != http.StatusPartialContent || len(a.body) != 1<<16 || a.header.Get("Content-Type") != "video/mp4" {
		t.Fatalf("first bytes: %d, %d bytes, %v", a.status, len(a.body), a.header)
	}
	if moov := bytes.Index(a.body, []byte("moov")); moov < 0 || moov > bytes.Index(a.body, []byte("mdat")) {
		t.Error("the index is not in front of the samples")
	}
	whole := get(t, fast)
	if part := get(t, fast, "Range", "bytes=1500000-"); !bytes.Equal(part.body, whole.body[1500000:]) {
		t.Errorf("the rest: %d, %d bytes of %d", part.status, len(part.body), len(whole.body))
	}
	if want := frames(t, path); frames(t, fast) != want || frames(t, slow) != want {
		t.Error("what is played is not what was put")
	}

	// The object is what it was, and said to be what it is where it is played.
	sum := md5.Sum(film)
	info, err := s3c.StatObject(t.Context(), "cinema", "film 1.mp4", minio.StatObjectOptions{})
	if err != nil || info.ETag != hex.EncodeToString(sum[:]) || info.ContentType == "video/mp4" {
		t.Errorf("the object is %+v, %v", info, err)
	}
	if a := get(t, slow); !bytes.Equal(a.body, film) || a.header.Get("Content-Type") != "video/mp4" {
		t.Errorf("the original: %d, %d bytes, %v", a.status, len(a.body), a.header)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, fast, nil)
	if err != nil {
		t.Fatal(err)
	}
	head, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = head.Body.Close()
	if head.StatusCode != http.StatusOK || head.ContentLength != int64(len(whole.body)) || head.Header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("HEAD: %d %v", head.StatusCode, head.Header)
	}
	download := c.playback(m.ID, "?download=true").Sources[0].URL
	if a := get(t, download); !bytes.Equal(a.body, film) || a.header.Get("Content-Disposition") != `attachment; filename="film 1.mp4"` {
		t.Errorf("download: %d %v", a.status, a.header)
	}
	for what, url := range map[string]string{
		"unsigned": strings.SplitN(fast, "?", 2)[0], "of another": strings.Replace(fast, "faststart.mp4", "other.mp4", 1), "altered": strings.Replace(download, "attachment", "inline", 1),
	} {
		if a := get(t, url); a.status != http.StatusForbidden {
			t.Errorf("%s URL: %d", what, a.status)
		}
	}
	eventually(t, time.Minute, "the views are counted", func() bool { return ready() && m.Views >= 5 })

	// Overwritten by what needs no rendition.
	put(whole.body)
	eventually(t, time.Minute, "the old rendition is gone", func() bool { return get(t, fast).status == http.StatusNotFound })
	if p := c.playback(m.ID, ""); p.Sources[0].Kind != "original" || !bytes.Equal(get(t, p.Sources[0].URL).body, whole.body) {
		t.Errorf("playback after the overwrite: %+v", p)
	}
	if list := c.cli("bucket", "list"); strings.Contains(list, metadata.RenditionBucket) {
		t.Errorf("meridian bucket list prints the system's own:\n%s", list)
	}
}
