package tus_test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"meridian/metadata"
	"meridian/upload/tus"
)

func TestAnUploadInOnePiece(t *testing.T) {
	t.Parallel()
	n := newWorld(t).start("europe", "origin-europe")
	body := content(1, 5*partSize+17)
	url := n.create(len(body), "filename", "my film.mp4", "filetype", "video/mp4", "extra", "")
	if !strings.HasPrefix(url, n.url+"/v1/tus/") {
		t.Errorf("Location %q is not below %s/v1/tus/", url, n.url)
	}
	a := n.ask("ada", http.MethodHead, url, nil, nil)
	if a.Header.Get("Upload-Length") != strconv.Itoa(len(body)) || a.Header.Get("Upload-Offset") != "0" || a.Header.Get("Upload-Expires") == "" {
		t.Errorf("HEAD: %v", a.Header)
	}
	for _, pair := range strings.Split(meta("bucket", "films", "filename", "my film.mp4", "filetype", "video/mp4", "extra", ""), ",") {
		if !strings.Contains(a.Header.Get("Upload-Metadata"), strings.TrimSpace(pair)) {
			t.Errorf("Upload-Metadata %q lacks %q", a.Header.Get("Upload-Metadata"), pair)
		}
	}
	a = n.patch(url, 0, body)
	if a.StatusCode != http.StatusNoContent || a.Header.Get("Upload-Offset") != strconv.Itoa(len(body)) {
		t.Fatalf("PATCH: %s %s", a.Status, a.body)
	}
	v := n.object("my film.mp4", body)
	if v.ContentType != "video/mp4" || v.Owner != "ada" || len(v.Parts) != 6 {
		t.Errorf("version %+v", v)
	}
	h := a.Header
	if h.Get("X-Meridian-Object") != "/films/my%20film.mp4" || h.Get("X-Meridian-Version") != v.ID || h.Get("ETag") != `"`+v.ETag+`"` || h.Get("X-Meridian-Seq") == "" {
		t.Errorf("the last answer tells of the object: %v", h)
	}
	// The answer got lost: the upload is still known to be done.
	if got := n.offset(url); got != int64(len(body)) {
		t.Errorf("offset after the end: %d", got)
	}
	if a = n.patch(url, int64(len(body)), nil); a.StatusCode != http.StatusNoContent || a.Header.Get("X-Meridian-Version") != v.ID {
		t.Errorf("PATCH after the end: %s %v", a.Status, a.Header)
	}
	if a = n.ask("ada", http.MethodDelete, url, nil, nil); a.StatusCode != http.StatusNoContent {
		t.Errorf("DELETE after the end: %s", a.Status)
	}
	n.object("my film.mp4", body)
	if n.storeUploads("europe") != 0 {
		t.Error("an upload is left in the store")
	}
}

func TestSmallPiecesAndOddSizes(t *testing.T) {
	t.Parallel()
	n := newWorld(t).start("europe", "origin-europe")
	for i, size := range []int{0, 1, minPart - 1, minPart, partSize, partSize + 1, 3*partSize - 1} {
		key := "size/" + strconv.Itoa(size)
		body := content(byte(i), size)
		url := n.create(size, "key", key, "filename", "ignored")
		for off := 0; off < size; {
			piece := min(1+off*7%1500, size-off)
			a := n.patch(url, int64(off), body[off:off+piece])
			if a.StatusCode != http.StatusNoContent {
				t.Fatalf("PATCH at %d of %d: %s %s", off, size, a.Status, a.body)
			}
			off += piece
		}
		if v := n.object(key, body); len(v.Parts) == 0 {
			t.Errorf("%s has no parts", key)
		}
	}
	if n.storeUploads("europe") != 0 {
		t.Error("an upload is left in the store")
	}
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	n := newWorld(t).start("europe", "origin-europe")
	png := append([]byte("\x89PNG\r\n\x1a\n"), content(1, 100)...)
	for key, want := range map[string]string{"photo": "image/png", "page.html": "text/html; charset=utf-8"} {
		url := n.create(len(png), "key", key)
		n.patch(url, 0, png[:3])
		n.patch(url, 3, png[3:])
		if v := n.object(key, png); v.ContentType != want {
			t.Errorf("%s is %q, want %q", key, v.ContentType, want)
		}
	}
}

func TestCreationWithUpload(t *testing.T) {
	t.Parallel()
	n := newWorld(t).start("europe", "origin-europe")
	body := content(1, partSize+5)
	a := n.ask("ada", http.MethodPost, n.url+"/v1/tus/", bytes.NewReader(body[:100]), headers{
		"Upload-Metadata", meta("bucket", "films", "key", "a"), "Upload-Length", strconv.Itoa(len(body)), "Content-Type", "application/offset+octet-stream",
	})
	if a.StatusCode != http.StatusCreated || a.Header.Get("Upload-Offset") != "100" {
		t.Fatalf("POST with a body: %s %v %s", a.Status, a.Header, a.body)
	}
	a = n.patch(a.Header.Get("Location"), 100, body[100:], "X-HTTP-Method-Override", "")
	if a.StatusCode != http.StatusNoContent {
		t.Fatalf("PATCH: %s %s", a.Status, a.body)
	}
	n.object("a", body)
	// Through a proxy that knows neither PATCH nor DELETE.
	url := n.create(3, "key", "b")
	override := headers{"X-HTTP-Method-Override", "PATCH", "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream"}
	if a = n.ask("ada", http.MethodPost, url, strings.NewReader("abc"), override); a.StatusCode != http.StatusNoContent {
		t.Errorf("overridden PATCH: %s %s", a.Status, a.body)
	}
	n.object("b", []byte("abc"))
}

func TestTheLengthMayComeLate(t *testing.T) {
	t.Parallel()
	n := newWorld(t).start("europe", "origin-europe")
	for name, last := range map[string]int{"with bytes": 50, "with none": 0} {
		body := content(1, 2*partSize+100+last)
		url := n.create(-1, "key", name)
		cut := len(body) - last
		if a := n.patch(url, 0, body[:cut]); a.StatusCode != http.StatusNoContent || a.Header.Get("X-Meridian-Object") != "" {
			t.Fatalf("%s: %s %s %v", name, a.Status, a.body, a.Header)
		}
		if a := n.ask("ada", http.MethodHead, url, nil, nil); a.Header.Get("Upload-Defer-Length") != "1" || a.Header.Get("Upload-Length") != "" {
			t.Errorf("%s: HEAD %v", name, a.Header)
		}
		n.nothing(name)
		if a := n.patch(url, int64(cut), body[cut:], "Upload-Length", strconv.Itoa(len(body))); a.StatusCode != http.StatusNoContent {
			t.Fatalf("%s: %s %s", name, a.Status, a.body)
		}
		n.object(name, body)
	}
}

func TestChecksums(t *testing.T) {
	t.Parallel()
	n := newWorld(t).start("europe", "origin-europe")
	body := content(1, 6*partSize)
	url := n.create(len(body), "key", "a")
	piece := len(body) / 4
	sums := func(b []byte) []string {
		s1, s2, s3 := sha1.Sum(b), sha256.Sum256(b), md5.Sum(b)
		return []string{
			sum("sha1", s1[:]), sum("sha256", s2[:]), sum("md5", s3[:]),
			sum("crc32", binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(b))),
		}
	}
	for i := range 4 {
		off := int64(i * piece)
		good := body[off:][:piece]
		broken := bytes.Clone(good)
		broken[piece-1] ^= 1
		a := n.patch(url, off, broken, "Upload-Checksum", sums(good)[i])
		if a.StatusCode != 460 || !strings.Contains(n.problem(a, 460), "what arrived") {
			t.Fatalf("broken bytes: %s %s", a.Status, a.body)
		}
		if got := n.offset(url); got != off {
			t.Fatalf("offset after broken bytes: %d, want %d", got, off)
		}
		for _, header := range []string{"sha3 AAAA", "sha1", "sha1 !!!", "sha1 AAAA"} {
			n.problem(n.patch(url, off, good, "Upload-Checksum", header), http.StatusBadRequest)
		}
		if a := n.patch(url, off, good, "Upload-Checksum", sums(good)[i]); a.StatusCode != http.StatusNoContent {
			t.Fatalf("good bytes with %s: %s %s", sums(good)[i], a.Status, a.body)
		}
	}
	n.object("a", body)
	// What was refused is not left behind either.
	if n.storeUploads("europe") != 0 {
		t.Error("an upload is left in the store")
	}
}

func TestRefusalsChangeNothing(t *testing.T) {
	t.Parallel()
	n := newWorld(t).start("europe", "origin-europe")
	ok := meta("bucket", "films", "key", "a")
	for name, c := range map[string]struct {
		user   string
		hs     headers
		status int
		says   string
	}{
		"no credentials":  {"", headers{"Upload-Length", "5", "Upload-Metadata", ok}, 401, "Authorization"},
		"wrong secret":    {"", headers{"Upload-Length", "5", "Upload-Metadata", ok, "Authorization", "Bearer KEYada:nonsense"}, 401, "wrong"},
		"a reader":        {"eve", headers{"Upload-Length", "5", "Upload-Metadata", ok}, 403, "read"},
		"no bucket":       {"ada", headers{"Upload-Length", "5", "Upload-Metadata", meta("key", "a")}, 400, "bucket"},
		"unknown bucket":  {"ada", headers{"Upload-Length", "5", "Upload-Metadata", meta("bucket", "nope", "key", "a")}, 404, "nope"},
		"system bucket":   {"ada", headers{"Upload-Length", "5", "Upload-Metadata", meta("bucket", metadata.RenditionBucket, "key", "a")}, 404, "no bucket"},
		"no key":          {"ada", headers{"Upload-Length", "5", "Upload-Metadata", meta("bucket", "films")}, 400, "filename"},
		"long key":        {"ada", headers{"Upload-Length", "5", "Upload-Metadata", meta("bucket", "films", "key", strings.Repeat("a", 1025))}, 400, "1025"},
		"not base64":      {"ada", headers{"Upload-Length", "5", "Upload-Metadata", "bucket films"}, 400, "base64"},
		"not text":        {"ada", headers{"Upload-Length", "5", "Upload-Metadata", meta("bucket", "films", "key", "\xff")}, 400, "UTF-8"},
		"no media type":   {"ada", headers{"Upload-Length", "5", "Upload-Metadata", meta("bucket", "films", "key", "a", "filetype", "film")}, 400, "media type"},
		"no length":       {"ada", headers{"Upload-Metadata", ok}, 400, "Upload-Length"},
		"negative length": {"ada", headers{"Upload-Length", "-5", "Upload-Metadata", ok}, 400, "Upload-Length"},
		"too large":       {"ada", headers{"Upload-Length", strconv.Itoa(5<<40 + 1), "Upload-Metadata", ok}, 413, "greatest"},
		"in pieces":       {"ada", headers{"Upload-Length", "5", "Upload-Metadata", ok, "Upload-Concat", "partial"}, 400, "Concat"},
		"other version":   {"ada", headers{"Upload-Length", "5", "Upload-Metadata", ok, "Tus-Resumable", "2.0.0"}, 412, "Tus-Resumable"},
	} {
		a := n.ask(c.user, http.MethodPost, n.url+"/v1/tus/", nil, c.hs)
		if says := n.problem(a, c.status); !strings.Contains(says, c.says) {
			t.Errorf("%s: %q does not say %q", name, says, c.says)
		}
	}
	if left := n.storeUploads("europe"); left != 0 {
		t.Errorf("%d uploads are in the store", left)
	}
}

func TestAnUploadIsItsOwners(t *testing.T) {
	t.Parallel()
	n := newWorld(t).start("europe", "origin-europe")
	url := n.create(10, "key", "a")
	n.patch(url, 0, []byte("abc"))
	for _, method := range []string{http.MethodHead, http.MethodPatch, http.MethodDelete} {
		a := n.ask("bob", method, url, strings.NewReader("x"), headers{"Upload-Offset", "3"})
		if a.StatusCode != http.StatusNotFound {
			t.Errorf("%s by somebody else: %s", method, a.Status)
		}
	}
	if a := n.ask("root", http.MethodHead, url, nil, nil); a.Header.Get("Upload-Offset") != "3" {
		t.Errorf("HEAD by an admin: %s %v", a.Status, a.Header)
	}
	if a := n.ask("root", http.MethodDelete, url, nil, nil); a.StatusCode != http.StatusNoContent {
		t.Errorf("DELETE by an admin: %s", a.Status)
	}
	if a := n.ask("ada", http.MethodHead, url, nil, nil); a.StatusCode != http.StatusNotFound {
		t.Errorf("HEAD of what was ended: %s", a.Status)
	}
	if n.storeUploads("europe") != 0 {
		t.Error("an upload is left in the store")
	}
}

func TestTheOffsetMustFit(t *testing.T) {
	t.Parallel()
	n := newWorld(t).start("europe", "origin-europe")
	url := n.create(10, "key", "a")
	n.patch(url, 0, []byte("abcd"))
	n.problem(n.patch(url, 3, []byte("x")), http.StatusConflict)
	n.problem(n.patch(url, 5, []byte("x")), http.StatusConflict)
	n.problem(n.patch(url, 4, []byte("efghijk")), http.StatusRequestEntityTooLarge)
	if got := n.offset(url); got != 4 {
		t.Errorf("offset %d, want 4", got)
	}
	n.patch(url, 4, []byte("efghij"))
	n.object("a", []byte("abcdefghij"))
}

func TestBrowsersOfOtherSites(t *testing.T) {
	t.Parallel()
	n := newWorld(t).start("europe", "origin-europe")
	a := n.ask("", http.MethodOptions, n.url+"/v1/tus/x", nil, headers{"Origin", "https://app.example", "Access-Control-Request-Method", "PATCH"})
	h := a.Header
	if a.StatusCode >= 300 || h.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(h.Get("Access-Control-Allow-Methods"), "PATCH") ||
		!strings.Contains(h.Get("Access-Control-Allow-Headers"), "Upload-Checksum") || !strings.Contains(h.Get("Tus-Extension"), "checksum") {
		t.Errorf("preflight: %s %v", a.Status, h)
	}
	url := n.create(3, "key", "a")
	a = n.patch(url, 0, []byte("abc"), "Origin", "https://app.example")
	for _, name := range []string{"Upload-Offset", "Location", "Upload-Expires", "X-Meridian-Object"} {
		if !strings.Contains(a.Header.Get("Access-Control-Expose-Headers"), name) {
			t.Errorf("%s is not exposed: %v", name, a.Header)
		}
	}
}

func TestLocationIsWhereTheClientCameFrom(t *testing.T) {
	t.Parallel()
	n := newWorld(t).start("europe", "origin-europe", func(o *tus.Options) { o.PublicURL = "https://up.example.com" })
	for want, hs := range map[string]headers{
		n.url:                    nil,
		"https://a.example":      {"X-Forwarded-Host", "a.example", "X-Forwarded-Proto", "https"},
		"https://up.example.com": {"X-Forwarded-For", "10.0.0.1"},
		"http://b.example:8080":  {"X-Forwarded-Host", "b.example:8080, inner"},
	} {
		a := n.ask("ada", http.MethodPost, n.url+"/v1/tus/", nil, append(headers{"Upload-Metadata", meta("bucket", "films", "key", "a"), "Upload-Length", "5"}, hs...))
		if got := a.Header.Get("Location"); !strings.HasPrefix(got, want+"/v1/tus/") {
			t.Errorf("Location %q, want it below %s", got, want)
		}
	}
}

func TestExpiredUploadsGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.start("europe", "origin-europe", func(o *tus.Options) { o.Expiry = 3 * time.Second }) // to be written to before
	lasting := w.start("europe", "origin-europe-2")
	old, young := n.create(5000, "key", "a"), lasting.create(5000, "key", "b")
	n.patch(old, 0, content(1, 2500))
	for {
		if a := n.ask("ada", http.MethodHead, old, nil, nil); a.StatusCode == http.StatusNotFound {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if got, err := n.handler.Expire(t.Context()); got != 1 || err != nil {
		t.Errorf("Expire = %d, %v, want 1", got, err)
	}
	if left := n.storeUploads("europe"); left != 1 {
		t.Errorf("%d uploads in the store, want the young one", left)
	}
	n.offset(young)
}

// TestCutConnections sends a file over connections that break at any byte, and
// loses nothing but time.
func TestCutConnections(t *testing.T) {
	t.Parallel()
	n := newWorld(t).start("europe", "origin-europe")
	for seed := range 6 {
		random := rand.New(rand.NewPCG(uint64(seed), 1))
		body := content(byte(seed), 10*partSize+random.IntN(partSize))
		url := n.create(len(body), "key", "a")
		off := int64(0)
		for tries := 0; off < int64(len(body)); tries++ {
			// Not below half a part on average, so that it comes to an end.
			cut := off + random.Int64N(3*partSize)
			_, err := n.try("ada", http.MethodPatch, url, &cutReader{b: body[off:], n: cut - off}, headers{"Upload-Offset", strconv.FormatInt(off, 10)})
			if err == nil && cut < int64(len(body)) {
				t.Fatal("a request that was cut got its answer")
			}
			got := n.offset(url)
			if got < off || got > max(cut, int64(len(body))) {
				t.Fatalf("seed %d: offset %d after %d bytes from %d", seed, got, cut-off, off)
			}
			off = got
			if tries > 500 {
				t.Fatal("it does not come to an end")
			}
		}
		n.object("a", body)
	}
}

// cutReader fails after n bytes, as a client that goes away does.
type cutReader struct {
	b []byte
	n int64
}

func (r *cutReader) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	if r.n <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(p, r.b[:min(int64(len(r.b)), r.n)])
	r.b, r.n = r.b[n:], r.n-int64(n)
	return n, nil
}

// Browsers tell a file's name, and some a path with it.
func TestFilenamesLoseTheirFolders(t *testing.T) {
	t.Parallel()
	n := newWorld(t).start("europe", "origin-europe")
	for filename, key := range map[string]string{"../../etc/x.txt": "x.txt", `C:\fakepath\y.jpg`: "y.jpg"} {
		n.create(0, "filename", filename)
		n.object(key, nil)
	}
	n.create(0, "key", "a/../b", "filename", "c")
	n.object("a/../b", nil)
	n.problem(n.ask("ada", http.MethodPost, n.url+"/v1/tus/", nil, headers{
		"Upload-Length", "1", "Upload-Metadata", meta("bucket", "films", "filename", "folder/"),
	}), http.StatusBadRequest)
}
