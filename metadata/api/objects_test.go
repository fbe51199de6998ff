package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/internal/signedurl"
	"meridian/metadata"
)

// oddKeys are keys that a path, a query or a page could trip over.
func oddKeys() []string {
	return []string{
		"plain.jpg", "a b+c/é?#%.jpg", "//", "/", "..", "../../v1/keys", "a/./b", "a//b", "a/../b", "%2e%2e%2f", "a\tb\nc", "&key=x", "key=a;b",
		"日本/語.png", `"quotes"<script>'`, `back\slash`, "a\u200b\u202eb", "trailing/", " ", "\x7f", "null", strings.Repeat("long/", 204) + "1234",
	}
}

func (w *world) objects(bucket, query string) objectPage {
	w.Helper()
	return as[objectPage](w.T, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/buckets/"+bucket+"/objects?"+query, ""))
}

func keysOf(p objectPage) (list []string) {
	for _, o := range p.Objects {
		list = append(list, o.Key)
	}
	return list
}

// Whatever a key holds, it is listed, told of, linked to and deleted.
func TestOddKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bucket("odd", metadata.Private)
	w.nodes(someNode("edge-europe", metadata.TierEdge, "europe"))
	want := oddKeys()
	for _, key := range want {
		w.object("odd", key, "image/jpeg")
	}
	slices.Sort(want)
	if got := keysOf(w.objects("odd", "limit=1000")); !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
	signer := signedurl.New(clusterSecret)
	for _, key := range want {
		path := "/v1/buckets/odd/object?key=" + url.QueryEscape(key)
		o := as[object](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, path, ""))
		if o.Key != key || o.Bucket != "odd" || !o.Latest || o.Size != 5 || o.Headers["content-type"] != "image/jpeg" {
			t.Errorf("object %q: %+v", key, o)
		}
		body, err := json.Marshal(map[string]string{"bucket": "odd", "key": key})
		if err != nil {
			t.Fatal(err)
		}
		l := as[links](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodPost, "/v1/links", string(body)))
		u, err := url.Parse(l.Sources[0].URL)
		if err != nil || u.Path != "/odd/"+key || signer.Verify(u.Path, u.Query(), time.Now()) != nil {
			t.Errorf("link to %q: %s, %v", key, l.Sources[0].URL, err)
		}
		w.do(http.StatusForbidden, metadata.RoleReadOnly, http.MethodDelete, path, "")
		a := w.do(http.StatusNoContent, metadata.RoleReadWrite, http.MethodDelete, path, "")
		if seq, err := metadata.ParseSeq(a.header.Get("X-Meridian-Seq")); err != nil || seq.IsZero() {
			t.Errorf("the event of the delete of %q is %q", key, a.header.Get("X-Meridian-Seq"))
		}
		w.do(http.StatusNotFound, metadata.RoleReadWrite, http.MethodDelete, path, "")
		w.do(http.StatusNotFound, metadata.RoleReadOnly, http.MethodGet, path, "")
	}
	if p := w.objects("odd", ""); len(p.Objects) != 0 || p.Objects == nil || p.Prefixes == nil || p.Next != "" {
		t.Errorf("an empty bucket lists %+v", p)
	}
}

// Pages of any size hold every object and prefix once, in order.
func TestListObjectsByPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bucket("photos", metadata.Private)
	for i := range 5 {
		w.object("photos", fmt.Sprintf("2025/%d.jpg", i), "image/jpeg")
		w.object("photos", fmt.Sprintf("2026/07/%d.jpg", i), "image/jpeg")
		w.object("photos", fmt.Sprintf("z%d.jpg", i), "image/jpeg")
	}
	w.object("photos", "2026/a&b.jpg", "image/jpeg")
	for _, c := range []struct {
		query    string
		objects  int
		prefixes string
	}{
		{"", 16, ""}, {"delimiter=/", 5, "2025/ 2026/"}, {"delimiter=/&prefix=2026/", 1, "2026/07/"}, {"prefix=2026/", 6, ""},
		{"prefix=2026/a%26", 1, ""}, {"prefix=none", 0, ""}, {"delimiter=.", 0, "2025/0. 2025/1. 2025/2. 2025/3. 2025/4. 2026/07/0. 2026/07/1. 2026/07/2. 2026/07/3. 2026/07/4. 2026/a&b. z0. z1. z2. z3. z4."},
	} {
		for _, limit := range []int{1, 3, 1000} {
			var objects, prefixes []string
			next := fmt.Sprintf("/v1/buckets/photos/objects?limit=%d&%s", limit, c.query)
			for pages := 0; next != ""; pages++ {
				if pages > 100 {
					t.Fatal("pages have no end")
				}
				a := w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, next, "")
				p := as[objectPage](t, a)
				if n := len(p.Objects) + len(p.Prefixes); n > limit {
					t.Errorf("%s: a page of %d", next, n)
				}
				objects, prefixes = append(objects, keysOf(p)...), append(prefixes, p.Prefixes...)
				next = strings.TrimSuffix(strings.TrimPrefix(a.header.Get("Link"), "<"), `>; rel="next"`)
				if (next == "") != (p.Next == "") {
					t.Errorf("Link %q beside next %q", next, p.Next)
				}
			}
			if len(objects) != c.objects || !slices.IsSorted(objects) || strings.Join(prefixes, " ") != c.prefixes {
				t.Errorf("%s by %d: %q, %q", c.query, limit, objects, prefixes)
			}
		}
	}
	for query, field := range map[string]string{"limit=0": "limit", "limit=1001": "limit", "versions=1": "versions", "cursor=x": "cursor", "cursor=W10": "cursor", "prefx=a": "prefx"} {
		w.refused(w.do(http.StatusBadRequest, metadata.RoleReadOnly, http.MethodGet, "/v1/buckets/photos/objects?"+query, ""), field)
	}
	w.do(http.StatusNotFound, metadata.RoleReadOnly, http.MethodGet, "/v1/buckets/none/objects", "")
	w.do(http.StatusBadRequest, metadata.RoleReadOnly, http.MethodGet, "/v1/buckets/photos/objects?prefix=%ff", "")
}

func TestVersionsOfAnObject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.nodes(someNode("edge-europe", metadata.TierEdge, "europe"))
	w.do(http.StatusCreated, metadata.RoleAdmin, http.MethodPost, "/v1/buckets", `{"name":"photos","versioning":"Enabled"}`)
	old, current := w.object("photos", "a.jpg", "image/jpeg"), w.object("photos", "a.jpg", "image/png")
	const path = "/v1/buckets/photos/object?key=a.jpg"
	o := as[object](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, path+"&version_id="+old.ID, ""))
	if o.VersionID != old.ID || o.Latest || o.ContentType != "image/jpeg" || len(o.EdgeURLs) != 0 {
		t.Errorf("the older version: %+v", o)
	}
	l := as[links](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodPost, "/v1/links", `{"bucket":"photos","key":"a.jpg","version_id":"`+old.ID+`","expires":"2m"}`))
	u, err := url.Parse(l.Sources[0].URL)
	if err != nil || u.Query().Get("versionId") != old.ID || l.Expires == nil {
		t.Fatalf("link to a version: %+v, %v", l, err)
	}
	signer := signedurl.New(clusterSecret)
	if err := signer.Verify(u.Path, u.Query(), l.Expires.Add(-time.Second)); err != nil {
		t.Errorf("link to a version: %v", err)
	}
	if err := signer.Verify(u.Path, u.Query(), *l.Expires); !errors.Is(err, signedurl.ErrExpired) {
		t.Errorf("link after its end: %v", err)
	}
	w.do(http.StatusNoContent, metadata.RoleReadWrite, http.MethodDelete, path, "")
	w.do(http.StatusNotFound, metadata.RoleReadOnly, http.MethodGet, path, "")
	all := w.objects("photos", "versions=true")
	if len(all.Objects) != 3 || !all.Objects[0].DeleteMarker || !all.Objects[0].Latest || all.Objects[1].VersionID != current.ID || all.Objects[2].VersionID != old.ID {
		t.Fatalf("versions: %+v", all.Objects)
	}
	// One page after the other, also within a key.
	first := w.objects("photos", "versions=true&limit=2")
	if rest := w.objects("photos", "versions=true&limit=2&cursor="+first.Next); len(rest.Objects) != 1 || rest.Objects[0].VersionID != old.ID {
		t.Errorf("the second page: %+v", rest)
	}
	// Without the marker the object is back.
	w.do(http.StatusNoContent, metadata.RoleReadWrite, http.MethodDelete, path+"&version_id="+all.Objects[0].VersionID, "")
	if o := as[object](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, path, "")); o.VersionID != current.ID {
		t.Errorf("the current version is %s, want %s", o.VersionID, current.ID)
	}
	w.do(http.StatusNotFound, metadata.RoleReadWrite, http.MethodDelete, path+"&version_id="+all.Objects[0].VersionID, "")
}

func TestALockedVersionStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do(http.StatusCreated, metadata.RoleAdmin, http.MethodPost, "/v1/buckets", `{"name":"photos","versioning":"Enabled"}`)
	v := w.object("photos", "a.jpg", "image/jpeg")
	_, err := w.store.UpdateVersion(t.Context(), metadata.Ref{Bucket: "photos", Key: "a.jpg"}, metadata.Cause{}, func(v *metadata.Version) error {
		v.Lock.Hold = metadata.HoldOn
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	const path = "/v1/buckets/photos/object?key=a.jpg"
	a := w.do(http.StatusForbidden, metadata.RoleAdmin, http.MethodDelete, path+"&version_id="+v.ID, "")
	if !strings.Contains(string(a.body), "urn:meridian:problem:locked") {
		t.Errorf("refused with %s", a.body)
	}
	w.do(http.StatusNoContent, metadata.RoleReadWrite, http.MethodDelete, path, "") // a marker
	w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, path+"&version_id="+v.ID, "")
	_, err = w.store.UpdateBucket(t.Context(), "photos", func(b *metadata.Bucket) error {
		b.Config[metadata.ObjectLockConfig] = []byte("{}")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.do(http.StatusBadRequest, metadata.RoleAdmin, http.MethodPatch, "/v1/buckets/photos", `{"versioning":"Suspended"}`)
}

func TestWhereAnObjectIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.nodes(someNode("origin-europe", metadata.TierOrigin, "europe"), someNode("origin-asia", metadata.TierOrigin, "asia"),
		someNode("edge-asia", metadata.TierEdge, "asia"), someNode("edge-europe", metadata.TierEdge, "europe"))
	for placement, want := range map[string]string{`"home"`: "", `"all"`: "asia", `["europe"]`: "", `["asia","europe"]`: "asia"} {
		name := fmt.Sprintf("bucket-%d", len(placement))
		w.do(http.StatusCreated, metadata.RoleAdmin, http.MethodPost, "/v1/buckets", `{"name":"`+name+`","placement":`+placement+`}`)
		v := w.object(name, "a b.jpg", "image/jpeg")
		path := "/v1/buckets/" + name + "/object?key=a+b.jpg"
		o := as[object](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, path, ""))
		if strings.Join(o.Awaited, " ") != want || o.BlobURLs["europe"] != "s3://meridian-europe/"+v.Blob || o.EdgeURLs["asia"] != "https://edge-asia.example.com/"+name+"/a%20b.jpg" {
			t.Errorf("placement %s: %+v", placement, o)
		}
		if want == "" {
			continue
		}
		if err := w.store.Placed(t.Context(), v.Blob, "asia"); err != nil {
			t.Fatal(err)
		}
		o = as[object](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, path, ""))
		if len(o.Awaited) != 0 || len(o.BlobURLs) != 2 {
			t.Errorf("placement %s, copied: %+v", placement, o)
		}
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.nodes(someNode("edge-asia", metadata.TierEdge, "asia"), someNode("edge-europe", metadata.TierEdge, "europe"))
	w.bucket("open", metadata.PublicRead)
	w.object("open", "a.txt", "text/plain")
	ask := func(want int, body string, headers ...string) answer {
		return w.do(want, metadata.RoleReadOnly, http.MethodPost, "/v1/links", body, headers...)
	}
	l := as[links](t, ask(http.StatusOK, `{"bucket":"open","key":"a.txt","region":"asia"}`))
	if l.Expires != nil || len(l.Sources) != 2 || l.Sources[0].URL != "https://edge-asia.example.com/open/a.txt" {
		t.Errorf("links into a public bucket: %+v", l)
	}
	if l := as[links](t, ask(http.StatusOK, `{"bucket":"open","key":"a.txt"}`)); l.Sources[0].Region != "europe" {
		t.Errorf("where nobody says: %+v", l.Sources)
	}
	if l := as[links](t, ask(http.StatusOK, `{"bucket":"open","key":"a.txt"}`, clientRegion, "asia")); l.Sources[0].Region != "asia" {
		t.Errorf("by header: %+v", l.Sources)
	}
	// To be saved under its name: that only a signature decides.
	l = as[links](t, ask(http.StatusOK, `{"bucket":"open","key":"a.txt","download":true}`))
	if u, err := url.Parse(l.Sources[0].URL); err != nil || l.Expires == nil || u.Query().Get("response-content-disposition") != `attachment; filename="a.txt"` ||
		signedurl.New(clusterSecret).Verify(u.Path, u.Query(), time.Now()) != nil {
		t.Errorf("links to save: %+v, %v", l, err)
	}
	ask(http.StatusNotFound, `{"bucket":"open","key":"b.txt"}`)
	ask(http.StatusNotFound, `{"bucket":"none","key":"a.txt"}`)
	ask(http.StatusNotFound, `{"bucket":"open","key":"a.txt","version_id":"01J"}`)
	w.refused(ask(http.StatusBadRequest, `{"expires":"169h"}`), "bucket", "key", "expires")
	w.refused(ask(http.StatusBadRequest, `{"bucket":"open","key":"a.txt","expires":"-1s","versionid":"x"}`), "versionid")
	w.do(http.StatusBadRequest, metadata.RoleReadOnly, http.MethodGet, "/v1/buckets/open/object", "")
}

// The system's own objects are looked at by administrators, and changed by none.
func TestObjectsOfTheSystem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const name = metadata.RenditionBucket
	if _, err := w.store.CreateBucket(t.Context(), metadata.Bucket{Name: name, Region: "europe", Owner: metadata.SystemOwner}); err != nil {
		t.Fatal(err)
	}
	w.object(name, "a.mp4", "video/mp4")
	const path, link = "/v1/buckets/" + name + "/object", `{"bucket":"` + name + `","key":"a.mp4"}`
	for caller, want := range map[string]int{metadata.RoleReadWrite: http.StatusForbidden, metadata.RoleAdmin: http.StatusOK} {
		w.do(want, caller, http.MethodGet, path+"s", "")
		w.do(want, caller, http.MethodGet, path+"?key=a.mp4", "")
		w.do(want, caller, http.MethodPost, "/v1/links", link)
		w.do(http.StatusForbidden, caller, http.MethodDelete, path+"?key=a.mp4", "")
	}
}

func FuzzCursor(f *testing.F) {
	f.Add(formatCursor("a/b", ""), "a/b", "")
	f.Add("W10", "k", "v")
	f.Fuzz(func(t *testing.T, text, key, version string) {
		if k, _, err := parseCursor(text); err != nil && !errors.Is(err, metadata.ErrInvalid) || err == nil && text != "" && k == "" {
			t.Errorf("cursor %q: key %q, %v", text, k, err)
		}
		if key == "" || !isText(key) || !isText(version) {
			return
		}
		if k, v, err := parseCursor(formatCursor(key, version)); err != nil || k != key || v != version {
			t.Errorf("%q %q became %q %q, %v", key, version, k, v, err)
		}
	})
}
