package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/metadata"
	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgtest"
	"meridian/origin"
	"meridian/origin/blob/disk"
	"meridian/origin/s3api"
	"meridian/upload"
)

// uploadWorld is an API with the origin of a region beside it, on one catalogue.
type uploadWorld struct {
	*world
	catalog *postgres.Store
	blobs   *disk.Store
	origin  *httptest.Server
}

func newUploadWorld(t *testing.T) *uploadWorld {
	t.Helper()
	w := &uploadWorld{catalog: pgtest.New(t)}
	w.world = newWorld(t, func(o *Options) { o.Store = w.catalog })
	log := slog.New(slog.DiscardHandler)
	var err error
	if w.blobs, err = disk.Open(disk.Config{Dir: t.TempDir(), HeadRoom: -1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.blobs.Close() })
	w.origin = httptest.NewServer(s3api.New(s3api.Options{
		Objects: origin.New(origin.Options{Region: "asia", Store: w.blobs, Catalog: w.catalog, Log: log}),
		Uploads: upload.New(upload.Options{Region: "asia", Store: w.blobs, Catalog: w.catalog, Log: log}),
		Catalog: w.catalog, Keys: w.catalog, ClusterSecret: clusterSecret, Region: "asia",
		Regions: func() []string { return []string{"asia", "europe"} }, Log: log, Registry: prometheus.NewRegistry(),
	}))
	t.Cleanup(w.origin.Close)
	near, far := someNode("origin-asia", metadata.TierOrigin, "asia"), someNode("origin-europe", metadata.TierOrigin, "europe")
	near.URL, near.PublicURL = w.origin.URL, w.origin.URL
	far.URL, far.PublicURL = "http://127.0.0.1:1", "http://127.0.0.1:1" // nobody listens there
	w.nodes(near, far)
	w.bucket("films", "private")
	return w
}

func (w *uploadWorld) begin(want int, fields string) uploadInfo {
	w.Helper()
	a := w.do(want, metadata.RoleReadWrite, http.MethodPost, "/v1/uploads", `{"bucket":"films",`+fields+`}`, clientRegion, "asia")
	if want != http.StatusCreated {
		return uploadInfo{}
	}
	return as[uploadInfo](w.T, a)
}

// put sends one request of an upload with nothing but net/http.
func (w *uploadWorld) put(r uploadRequest, body []byte, headers ...string) answer {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), r.Method, r.URL, bytes.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	for name, value := range r.Headers {
		req.Header.Set(name, value)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return w.send(req)
}

func (w *uploadWorld) must(r uploadRequest, body []byte) string {
	w.Helper()
	a := w.put(r, body)
	if a.status != http.StatusOK {
		w.Fatalf("PUT part %d: %d %s", r.Part, a.status, a.body)
	}
	return a.header.Get("ETag")
}

func (w *uploadWorld) complete(want int, id, body string) answer {
	w.Helper()
	return w.do(want, metadata.RoleReadWrite, http.MethodPost, "/v1/uploads/"+id+"/complete", body)
}

func (w *uploadWorld) wantNothing(key string) {
	w.Helper()
	if _, err := w.store.Lookup(w.Context(), metadata.Ref{Bucket: "films", Key: key}); !isGone(err) {
		w.Errorf("Lookup of %s = %v: something is visible", key, err)
	}
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func TestUploadInOneRequest(t *testing.T) {
	t.Parallel()
	w := newUploadWorld(t)
	body := []byte("\x89PNG\r\n\x1a\n a photo")
	sum := sha256.Sum256(body)
	u := w.begin(http.StatusCreated, fmt.Sprintf(`"filename":"C:\\pictures\\tea & cake.png","size":%d,"title":"Tea","checksum":{"algorithm":"SHA256","value":%q}`,
		len(body), base64.StdEncoding.EncodeToString(sum[:])))
	if u.Method != methodPut || u.Region != "asia" || u.Key != "tea & cake.png" || len(u.Requests) != 1 || !strings.HasPrefix(u.Requests[0].URL, w.origin.URL) {
		t.Fatalf("upload %+v", u)
	}
	r := u.Requests[0]
	w.complete(http.StatusConflict, u.ID, "")
	if n := w.gallery(); len(n) != 0 {
		t.Errorf("before a byte has come the gallery has %+v", n)
	}
	for what, a := range map[string]answer{
		"a byte more":     w.put(r, append(body, 0)),
		"another type":    w.put(r, body, "Content-Type", "text/html"),
		"other bytes":     w.put(r, []byte(strings.Repeat("x", len(body)))),
		"another's mark":  w.put(r, body, "X-Amz-Meta-Meridian-Upload", "x"),
		"metadata beside": w.put(r, body, "X-Amz-Meta-More", "x"),
		"any state":       w.put(r, body, "If-None-Match", ""),
	} {
		if a.status/100 != 4 {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	w.wantNothing(u.Key)
	w.must(r, body)
	if a := w.put(r, body); a.status != http.StatusPreconditionFailed {
		t.Errorf("the URL once more: %d %s", a.status, a.body)
	}
	done := as[uploadInfo](t, w.complete(http.StatusOK, u.ID, ""))
	if done.State != uploadComplete || done.ETag == "" || done.VersionID == "" || done.Media == nil || done.Media.Title != "Tea" || done.Media.Kind != metadata.KindPhoto {
		t.Errorf("complete: %+v", done)
	}
	again := as[uploadInfo](t, w.complete(http.StatusOK, u.ID, "{}"))
	if again.VersionID != done.VersionID {
		t.Errorf("again: %+v", again)
	}
	w.do(http.StatusConflict, metadata.RoleReadWrite, http.MethodDelete, "/v1/uploads/"+u.ID, "")
	w.object("films", u.Key, "image/png")
	w.complete(http.StatusConflict, u.ID, "") // it is somebody else's object now
}

// gallery is all media records.
func (w *uploadWorld) gallery() []metadata.Media {
	w.Helper()
	return as[mediaPage](w.T, w.do(http.StatusOK, metadata.RoleReadWrite, http.MethodGet, "/v1/media", "")).Media
}

// An upload replaces what was there when it began, texts and all, and changes
// nothing before it is complete.
func TestUploadOverAnObject(t *testing.T) {
	t.Parallel()
	w := newUploadWorld(t)
	old := w.record(w.object("films", "a.png", "image/png"))
	if _, err := w.store.UpdateMedia(t.Context(), old.ID, func(m *metadata.Media) error { m.Title = "Old"; return nil }); err != nil {
		t.Fatal(err)
	}
	title := func() string {
		m, err := w.store.Media(t.Context(), old.ID)
		if err != nil {
			t.Fatal(err)
		}
		return m.Title
	}
	body := []byte("\x89PNG\r\n\x1a\n new")
	fields := fmt.Sprintf(`"key":"a.png","size":%d,"title":"New"`, len(body))
	u, late := w.begin(http.StatusCreated, fields), w.begin(http.StatusCreated, fields)
	w.do(http.StatusNoContent, metadata.RoleReadWrite, http.MethodDelete, "/v1/uploads/"+w.begin(http.StatusCreated, fields).ID, "")
	if got := title(); got != "Old" {
		t.Errorf("before a byte has come the title is %q", got)
	}
	w.must(u.Requests[0], body)
	if a := w.put(late.Requests[0], body); a.status != http.StatusPreconditionFailed {
		t.Errorf("over what came meanwhile: %d %s", a.status, a.body)
	}
	w.complete(http.StatusConflict, late.ID, "")
	if w.do(http.StatusOK, metadata.RoleReadWrite, http.MethodGet, "/v1/uploads/"+u.ID, ""); title() != "Old" {
		t.Error("a look at the upload changes the record")
	}
	done := as[uploadInfo](t, w.complete(http.StatusOK, u.ID, ""))
	if done.Media == nil || done.Media.ID != old.ID || title() != "New" {
		t.Errorf("complete: %+v", done)
	}
	w.refused(w.do(http.StatusBadRequest, metadata.RoleReadWrite, http.MethodPost, "/v1/uploads",
		`{"bucket":"films","key":"b.png","size":1,"description":"`+strings.Repeat("x", maxTexts+1)+`"}`), "description")
	w.begin(http.StatusCreated, `"key":"b.png","size":1,"description":"`+strings.Repeat("<", maxTexts)+`"`)
	if list := w.gallery(); len(list) != 1 {
		t.Errorf("the gallery has %+v", list)
	}
}

func TestUploadInParts(t *testing.T) {
	t.Parallel()
	w := newUploadWorld(t)
	body := noise(11 << 20)
	sum := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
	fields := fmt.Sprintf(`"key":"a/film.mp4","size":%d,"part_size":%d,"checksum":{"algorithm":"crc32c","value":%q}`, len(body), 5<<20,
		base64.StdEncoding.EncodeToString([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}))
	u := w.begin(http.StatusCreated, fields)
	if u.Method != methodMultipart || u.PartCount != 3 || len(u.Requests) != 3 || u.Requests[2].Size != 1<<20 {
		t.Fatalf("upload %+v", u)
	}
	w.must(u.Requests[2], body[10<<20:])
	w.must(u.Requests[0], body[:5<<20])
	if a := w.put(u.Requests[1], body[:5<<20+1]); a.status/100 != 4 {
		t.Errorf("a part of another length: %d %s", a.status, a.body)
	}
	if p := w.problem(w.complete(http.StatusConflict, u.ID, "")); !strings.Contains(p.Detail, "1 of 3 parts") {
		t.Errorf("problem %+v", p)
	}
	w.wantNothing("a/film.mp4")

	// Another process of the role, which has never heard of it, goes on.
	other, err := New(Options{Store: w.catalog, ClusterSecret: clusterSecret, Region: "europe"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(other.Handler())
	defer srv.Close()
	w.url = srv.URL
	left := as[uploadInfo](t, w.do(http.StatusOK, metadata.RoleReadWrite, http.MethodGet, "/v1/uploads/"+u.ID, ""))
	if left.State != uploadPending || len(left.Parts) != 2 || len(left.Requests) != 1 || left.Requests[0].Part != 2 {
		t.Fatalf("left: %+v", left)
	}
	etag := w.must(left.Requests[0], body[5<<20:10<<20])
	named := fmt.Sprintf(`{"parts":[{"number":1,"etag":%q},{"number":2,"etag":%q},{"number":3,"etag":%q}]}`, left.Parts[0].ETag, strings.Trim(etag, `"`), left.Parts[1].ETag)
	w.complete(http.StatusBadRequest, u.ID, strings.Replace(named, left.Parts[0].ETag, left.Parts[1].ETag, 1))
	done := as[uploadInfo](t, w.complete(http.StatusOK, u.ID, named))
	if done.Size != int64(len(body)) || !strings.HasSuffix(done.ETag, "-3") || done.Media == nil || done.Media.Kind != metadata.KindVideo {
		t.Errorf("complete: %+v", done)
	}
	if again := as[uploadInfo](t, w.complete(http.StatusOK, u.ID, "")); again.VersionID != done.VersionID || again.ETag != done.ETag {
		t.Errorf("again: %+v", again)
	}
	v, err := w.catalog.Lookup(t.Context(), metadata.Ref{Bucket: "films", Key: "a/film.mp4"})
	if err != nil || v.Owner != "readwrite-user" || v.ContentType != "video/mp4" {
		t.Errorf("version %+v, %v", v, err)
	}

	// What arrived is not what was announced: nothing becomes visible.
	u = w.begin(http.StatusCreated, strings.Replace(fields, "a/film", "b/film", 1))
	for _, r := range u.Requests {
		w.must(r, noise(int(r.Size)))
	}
	if p := w.problem(w.complete(http.StatusUnprocessableEntity, u.ID, "")); !strings.Contains(p.Detail, "checksum") {
		t.Errorf("problem %+v", p)
	}
	w.wantNothing("b/film.mp4")
	w.do(http.StatusNoContent, metadata.RoleReadWrite, http.MethodDelete, "/v1/uploads/"+u.ID, "")
	w.do(http.StatusNoContent, metadata.RoleReadWrite, http.MethodDelete, "/v1/uploads/"+u.ID, "")
	w.complete(http.StatusNotFound, u.ID, "")
	for _, err := range w.blobs.Uploads(t.Context(), time.Now().Add(time.Hour)) {
		t.Errorf("an upload is left in the store: %v", err)
	}
}

func TestUploadRefused(t *testing.T) {
	t.Parallel()
	w := newUploadWorld(t)
	post := func(want int, caller, body string) answer {
		t.Helper()
		return w.do(want, caller, http.MethodPost, "/v1/uploads", body)
	}
	const writer = metadata.RoleReadWrite
	w.refused(post(400, writer, `{}`), "bucket", "key", "size")
	w.refused(post(400, writer, `{"bucket":"films","key":"k","size":-1,"part_size":1,"expires":"1s","checksum":{"algorithm":"md5","value":""}}`),
		"size", "part_size", "expires", "checksum.algorithm")
	w.refused(post(400, writer, `{"bucket":"films","key":"k","size":100000000,"checksum":{"algorithm":"sha1","value":"AAAAAAAAAAAAAAAAAAAAAAAAAAA="}}`), "checksum.algorithm")
	for field, body := range map[string]string{
		"bucket":       `{"bucket":"` + metadata.RenditionBucket + `","key":"k.mp4","size":1,"title":"t"}`,
		"content_type": `{"bucket":"films","key":"k","size":1,"content_type":"garbage"}`,
		"region":       `{"bucket":"films","key":"k","size":1,"region":"mars"}`,
		"key":          `{"bucket":"films","filename":"C:\\pictures\\","size":1}`,
	} {
		w.refused(post(400, writer, body), field)
	}
	if list := as[mediaPage](t, w.do(200, writer, http.MethodGet, "/v1/media", "")); len(list.Media) != 0 {
		t.Errorf("what was refused is in the gallery: %+v", list.Media)
	}
	post(404, writer, `{"bucket":"nowhere","key":"k","size":1}`)
	post(403, metadata.RoleReadOnly, `{"bucket":"films","key":"k","size":1}`)
	post(422, writer, `{"bucket":"films","key":"k.txt","size":1,"title":"no photo"}`)
	if _, err := w.catalog.UpdateBucket(t.Context(), "films", func(b *metadata.Bucket) error {
		b.UploadRules = metadata.UploadRules{MaxSize: 20 << 20, Types: []string{"video/*"}, QuotaBytes: 18 << 20}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	post(413, writer, `{"bucket":"films","key":"k.mp4","size":20971521}`)
	post(415, writer, `{"bucket":"films","key":"k.png","size":1}`)
	post(403, writer, `{"bucket":"films","key":"k.mp4","size":19922944}`)
	if p := w.problem(post(413, writer, `{"bucket":"films","key":"k.png","size":20971521}`)); strings.Contains(p.Detail, "\n") ||
		!strings.Contains(p.Detail, "max_size allows 20971520; of a type") {
		t.Errorf("two broken rules: %q", p.Detail)
	}

	w.do(http.StatusCreated, metadata.RoleAdmin, http.MethodPost, "/v1/buckets", `{"name":"zone","pull":{"origins":["http://www.example.com"]}}`)
	if p := w.problem(post(409, writer, `{"bucket":"zone","key":"k.mp4","size":1}`)); !strings.HasSuffix(p.Type, ":pull-zone") || !strings.Contains(p.Detail, "http://www.example.com") {
		t.Errorf("into a pull zone: %+v", p)
	}

	// By its bytes it is no video: found out when it is sent.
	u := w.begin(http.StatusCreated, `"key":"k.mp4","size":6`)
	if a := w.put(u.Requests[0], []byte("<html>")); a.status != 400 || !bytes.Contains(a.body, []byte("types")) {
		t.Errorf("a page: %d %s", a.status, a.body)
	}
	u = w.begin(http.StatusCreated, `"key":"k.mp4","size":17825792`)
	if a := w.put(u.Requests[0], bytes.Repeat([]byte("<html>"), 16<<20/6+1)[:16<<20]); a.status != 400 {
		t.Errorf("a page as the first part: %d %s", a.status, a.body)
	}

	// An upload is its owner's.
	if err := w.catalog.PutKey(t.Context(), metadata.AccessKey{ID: "OTHER", Secret: "other-secret", User: "other", Role: metadata.RoleReadWrite}); err != nil {
		t.Fatal(err)
	}
	w.do(http.StatusNotFound, nobody, http.MethodGet, "/v1/uploads/"+u.ID, "", "Authorization", "Bearer OTHER:other-secret")
	w.do(http.StatusOK, metadata.RoleAdmin, http.MethodGet, "/v1/uploads/"+u.ID, "")
	tampered := []byte(u.ID)
	tampered[len(tampered)/2] ^= 1
	w.do(http.StatusNotFound, metadata.RoleReadWrite, http.MethodGet, "/v1/uploads/"+string(tampered), "")
}

// One whose store cannot be reached is the last to be sent bytes.
func TestUploadAvoidsAnImpairedOrigin(t *testing.T) {
	t.Parallel()
	w := newUploadWorld(t)
	near, far := someNode("origin-asia", metadata.TierOrigin, "asia"), someNode("origin-europe", metadata.TierOrigin, "europe")
	near.State = metadata.NodeImpaired
	for _, n := range []*metadata.Node{&near, &far} {
		n.URL, n.PublicURL = w.origin.URL, w.origin.URL
	}
	w.nodes(near, far)
	if u := w.begin(http.StatusCreated, `"key":"small","size":5`); u.Region != "europe" || u.Method != methodPut {
		t.Errorf("upload %+v, want it in europe", u)
	}
	if _, err := w.catalog.UpdateBucket(t.Context(), "films", func(b *metadata.Bucket) error {
		b.Placement = metadata.Placement{"asia"}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if u := w.begin(http.StatusCreated, `"key":"small","size":5`); u.Region != "asia" {
		t.Errorf("upload %+v, want it in asia, the one region it may go to", u)
	}
}

// Where the nearest origin does not answer, the next takes the upload.
func TestUploadFindsAnOriginThatAnswers(t *testing.T) {
	t.Parallel()
	w := newUploadWorld(t)
	a := w.do(http.StatusCreated, metadata.RoleReadWrite, http.MethodPost, "/v1/uploads", `{"bucket":"films","key":"film.mp4","size":100000000,"region":"europe"}`)
	if u := as[uploadInfo](t, a); u.Region != "asia" || u.PartCount != 6 {
		t.Errorf("upload %+v", u)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(a.body, &raw); err != nil || raw["etag"] != nil || strings.Contains(string(a.body), "secret:of") {
		t.Errorf("answer %s", a.body)
	}
}

// A client is sent nowhere where the bucket may not be, however near.
func TestUploadKeepsToTheResidency(t *testing.T) {
	t.Parallel()
	w := newUploadWorld(t)
	if _, err := w.catalog.UpdateBucket(t.Context(), "films", func(b *metadata.Bucket) error {
		b.Residency = []string{b.Region}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if u := w.begin(http.StatusCreated, `"key":"a.mp4","size":5,"region":"asia"`); u.Region != "europe" || !strings.HasPrefix(u.Requests[0].URL, "http://127.0.0.1:1/") {
		t.Errorf("upload %+v", u)
	}
	w.begin(http.StatusServiceUnavailable, `"key":"a.mp4","size":100000000,"region":"asia"`) // europe does not answer
}
