package main

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"meridian/metadata"
)

// TestAnUploadSurvivesAKill sends a file by tus through the API, kills the whole
// cluster in the middle, and goes on through an origin of another region than
// the one that holds the parts.
func TestAnUploadSurvivesAKill(t *testing.T) {
	t.Parallel()
	binary, dir := buildMeridian(t), devDir(t)
	c, process := startProcess(t, binary, dir)
	c.cli("bucket", "create", "films", "--visibility", "public-read")
	video := append(clip(t, 2), make([]byte, 40<<20)...) // what follows an MP4 is ignored

	tus := func(method, url string, body io.Reader, headers ...string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(t.Context(), method, url, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+c.cred.accessKey+":"+c.cred.secretKey)
		req.Header.Set("Tus-Resumable", "1.0.0")
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		return resp, err
	}
	text := base64.StdEncoding.EncodeToString
	resp, err := tus(http.MethodPost, c.api()+"/v1/tus/", nil, "Upload-Length", strconv.Itoa(len(video)), "X-Meridian-Client-Region", "asia",
		"Upload-Metadata", "bucket "+text([]byte("films"))+",filename "+text([]byte("wave.mp4"))+",filetype "+text([]byte("video/mp4")))
	if err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("POST: %v, %v", resp, err)
	}
	upload := resp.Header.Get("Location")
	id := upload[len(c.api()):]

	const acknowledged, cut = 11 << 20, 30 << 20
	const octets = "application/offset+octet-stream"
	resp, err = tus(http.MethodPatch, upload, bytes.NewReader(video[:acknowledged]), "Upload-Offset", "0", "Content-Type", octets)
	if err != nil || resp.StatusCode != http.StatusNoContent {
		t.Fatalf("PATCH: %v, %v", resp, err)
	}
	sent, pipe := io.Pipe()
	go func() {
		_, _ = pipe.Write(video[acknowledged:cut])
		if err := process.Process.Kill(); err != nil {
			t.Error(err)
		}
		pipe.CloseWithError(io.ErrUnexpectedEOF)
	}()
	_, _ = tus(http.MethodPatch, upload, sent, "Upload-Offset", strconv.Itoa(acknowledged), "Content-Type", octets)
	_ = process.Wait() // it was killed

	c, _ = startProcess(t, binary, dir)
	resp, err = tus(http.MethodHead, c.s3(0)+id, nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("HEAD after the kill: %v, %v", resp, err)
	}
	off, err := strconv.Atoi(resp.Header.Get("Upload-Offset"))
	if err != nil || off < acknowledged || off > cut {
		t.Fatalf("offset %q, where %d bytes were acknowledged and %d sent", resp.Header.Get("Upload-Offset"), acknowledged, cut)
	}
	resp, err = tus(http.MethodPatch, c.s3(0)+id, bytes.NewReader(video[off:]), "Upload-Offset", strconv.Itoa(off), "Content-Type", octets)
	if err != nil || resp.StatusCode != http.StatusNoContent || resp.Header.Get("X-Meridian-Region") != "asia" {
		t.Fatalf("PATCH after the kill: %v, %v", resp, err)
	}
	if a := get(t, c.edge(1)+resp.Header.Get("X-Meridian-Object")); a.status != http.StatusOK || !bytes.Equal(a.body, video) {
		t.Errorf("from an edge: %d, %d bytes", a.status, len(a.body))
	}
	eventually(t, time.Minute, "the record of the video", func() bool {
		all := c.media("?bucket=films")
		return len(all) == 1 && all[0].Key == "wave.mp4" && all[0].State == metadata.MediaReady && all[0].Width > 0
	})
}
