package edge_test

import (
	"bytes"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"meridian/metadata"
)

// TestCustomersKeysGoThrough: what is encrypted with a customer's key is read
// through the caches, and never from them.
func TestCustomersKeysGoThrough(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	edge, regional := w.pair()
	body := random(3*mib+17, 1)
	w.origin.put("media/film", body, "Cache-Control", "public, max-age=3600", "Cdn-Cache-Control", "max-age=9", "X-Amz-Server-Side-Encryption-Customer-Algorithm", "AES256").key = "mine"
	w.origin.put("media/plain", []byte("plain"))

	for range 2 {
		asked := w.origin.asked()
		a := edge.get("/media/film", customerKeyHeader, "mine")
		wantBody(t, "with the key", a, 200, "pass", body)
		if n := w.origin.asked() - asked; n != 4 {
			t.Errorf("the origin was asked %d times for four slices:\n%s", n, w.origin.log())
		}
		if cc := a.header.Get("Cache-Control"); cc != "private, no-store" || a.header.Get("Cdn-Cache-Control") != "" {
			t.Errorf("others may keep it: %q, %v", cc, a.header)
		}
		status := a.header.Get("Cache-Status")
		if strings.Count(status, "fwd=bypass") != 2 || strings.Contains(status, "stored") || strings.Contains(status, "hit") {
			t.Errorf("Cache-Status: %s", status)
		}
	}
	a := edge.get("/media/film", customerKeyHeader, "mine", "Range", "bytes=1048570-1048590")
	wantBody(t, "a range", a, 206, "pass", body[1048570:1048591])
	if a := edge.request(http.MethodHead, "/media/film", with(customerKeyHeader, "mine")); a.status != 200 || a.header.Get("Content-Length") != "3145745" {
		t.Errorf("HEAD: %d %v", a.status, a.header)
	}
	if a := edge.get("/media/film", customerKeyHeader, "mine", "Range", "bytes=9000000-"); a.status != 416 {
		t.Errorf("beyond the end: %d", a.status)
	}

	for name, n := range map[string]*node{"edge": edge, "regional": regional} {
		request := func(header ...string) answer {
			if n == regional {
				return n.request(http.MethodGet, "/media/film", asNode(header...))
			}
			return n.get("/media/film", header...)
		}
		for range 2 {
			if a := request(); a.status != 400 || !bytes.Contains(a.body, []byte("<Code>InvalidRequest</Code>")) || !bytes.Contains(a.body, []byte("correct parameters")) {
				t.Errorf("%s, without the key: %d %s", name, a.status, a.body)
			}
			if a := request(customerKeyHeader, "theirs"); a.status != 403 || bytes.Contains(a.body, body[:20]) {
				t.Errorf("%s, with another key: %d %s", name, a.status, a.body)
			}
		}
	}
	// A wrong key says nothing of the node that found it out.
	wantBody(t, "somebody else", edge.get("/media/plain"), 200, "miss", []byte("plain"))
	if a := edge.get("/media/plain", customerKeyHeader, "mine"); a.status != 400 {
		t.Errorf("a key for what has none: %d", a.status)
	}
	wantBody(t, "held", edge.get("/media/plain"), 200, "hit", []byte("plain"))
}

// TestNobodyJoinsARequestWithAKey: whoever asks at the same time, with another
// key or none, gets an answer of his own.
func TestNobodyJoinsARequestWithAKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	edge := w.edge(w.origin.url)
	body := random(2000, 1)
	w.origin.put("media/letter", body).key = "mine"
	var together sync.WaitGroup
	together.Add(3)
	w.origin.set(func() {
		w.origin.hold = func(*http.Request, *object) { together.Done(); together.Wait() }
	})
	var wait sync.WaitGroup
	for key, want := range map[string]int{"mine": 200, "theirs": 403, "": 400} {
		wait.Go(func() {
			a, err := edge.do(t.Context(), http.MethodGet, "/media/letter", func(r *http.Request) {
				if key != "" {
					r.Header.Set(customerKeyHeader, key)
				}
			})
			if err != nil || a.status != want || (want == 200) != bytes.Equal(a.body, body) {
				t.Errorf("key %q: %d, %d bytes, %v", key, a.status, len(a.body), err)
			}
		})
	}
	wait.Wait()
}

// TestEncryptedObjectsStayOffTheDisk: what the origin keeps encrypted is cached in
// memory only.
func TestEncryptedObjectsStayOffTheDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t, metadata.PublicRead)
	marker := []byte("nobody with this disk may read me ")
	large, small := bytes.Repeat(marker, 60_000), bytes.Repeat(marker, 20)
	w.origin.put("media/large", large, "X-Amz-Server-Side-Encryption", "AES256")
	w.origin.put("media/small", small, "X-Amz-Server-Side-Encryption", "AES256")
	w.origin.put("media/open", []byte("this one may lie there"))
	dir := t.TempDir()
	n, stop := w.startOnDisk(dir)
	for path, body := range map[string][]byte{"/media/large": large, "/media/small": small, "/media/open": []byte("this one may lie there")} {
		wantBody(t, "cold", n.get(path), 200, "miss", body)
		wantBody(t, "warm", n.get(path), 200, "hit", body)
	}
	stop()
	found := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, marker[:20]) {
			t.Errorf("%s holds an encrypted object in clear", path)
		}
		found = found || bytes.Contains(b, []byte("this one may lie there"))
		return err
	})
	if err != nil || !found {
		t.Errorf("what may lie on disk was not found there: %v", err)
	}
}
