package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"meridian/metadata"
)

// faulty is a catalogue that fails where a test wants it.
type faulty struct {
	metadata.Store
	bucket func(name string) error
}

func (f faulty) Bucket(ctx context.Context, name string) (metadata.Bucket, error) {
	if err := f.bucket(name); err != nil {
		return metadata.Bucket{}, err
	}
	return f.Store.Bucket(ctx, name)
}

func TestErrorsOfTheCatalogue(t *testing.T) {
	t.Parallel()
	var fail error
	w := newWorld(t, func(o *Options) {
		o.Store = faulty{o.Store, func(string) error { return fail }}
	})
	for _, c := range []struct {
		err    error
		status int
		name   string
	}{
		{metadata.ErrNoSuchBucket, 404, "no-such-bucket"},
		{metadata.ErrBucketExists, 409, "bucket-exists"},
		{metadata.ErrBucketNotEmpty, 409, "bucket-not-empty"},
		{metadata.ErrNoSuchKey, 404, "no-such-key"},
		{metadata.ErrNoSuchVersion, 404, "no-such-version"},
		{metadata.ErrDeleteMarker, 404, "delete-marker"},
		{metadata.ErrNoSuchUpload, 404, "no-such-upload"},
		{metadata.ErrInvalidPart, 400, "invalid-part"},
		{metadata.ErrPrecondition, 412, "precondition-failed"},
		{metadata.ErrNoSuchMedia, 404, "no-such-media"},
		{metadata.ErrNoSuchAccess, 404, "no-such-access-key"},
		{metadata.ErrNoSuchPurge, 404, "no-such-purge"},
		{metadata.ErrNoSuchWarm, 404, "no-such-warm"},
		{metadata.ErrNodeReplaced, 409, "node-replaced"},
		{metadata.ErrFeedGone, 410, "feed-gone"},
		{metadata.ErrInvalid, 400, "invalid"},
		{context.DeadlineExceeded, 503, "timeout"},
		{errors.New("password=hunter2"), 500, "internal"},
	} {
		fail = fmt.Errorf("bucket of a test: %w", c.err)
		a := w.do(c.status, metadata.RoleReadOnly, http.MethodGet, "/v1/buckets/b", "")
		p := w.problem(a)
		if p.Type != "urn:meridian:problem:"+c.name {
			t.Errorf("%v is a problem of the type %s", c.err, p.Type)
		}
		told := c.status < 500
		if told != strings.Contains(p.Detail, "bucket of a test") {
			t.Errorf("%v is told as %q", c.err, p.Detail)
		}
		id := strings.TrimPrefix(p.Instance, "urn:meridian:request:")
		if id != a.header.Get("X-Amz-Request-Id") {
			t.Errorf("problem of request %s in the answer to %s", id, a.header.Get("X-Amz-Request-Id"))
		}
		if logged := strings.Contains(w.log.String(), "request failed\" request_id="+id); logged == told {
			t.Errorf("%v: told to the client %v, logged %v", c.err, told, logged)
		}
	}
}

func TestPanicIsAProblem(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) {
		o.Store = faulty{o.Store, func(name string) error {
			if name == "boom" {
				panic("secret of the panic")
			}
			return nil
		}}
	})
	a := w.do(http.StatusInternalServerError, metadata.RoleReadOnly, http.MethodGet, "/v1/buckets/boom", "")
	if strings.Contains(string(a.body), "secret of the panic") || !strings.Contains(w.log.String(), "secret of the panic") {
		t.Errorf("the panic belongs into the log, not the answer: %s", a.body)
	}
	w.do(http.StatusNotFound, metadata.RoleReadOnly, http.MethodGet, "/v1/buckets/other", "")
}

func TestPathsAndMethods(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.do(http.StatusMethodNotAllowed, nobody, http.MethodPut, "/v1/buckets", "")
	for _, m := range []string{"GET", "HEAD", "POST"} {
		if !strings.Contains(a.header.Get("Allow"), m) {
			t.Errorf("Allow: %s lacks %s", a.header.Get("Allow"), m)
		}
	}
	w.do(http.StatusMethodNotAllowed, nobody, http.MethodPost, "/healthz", "")
	w.do(http.StatusNotFound, nobody, http.MethodGet, "/v1/nothing", "")
	w.do(http.StatusNotFound, nobody, http.MethodGet, "/v2/media", "")
	a = w.do(http.StatusNotFound, metadata.RoleAdmin, http.MethodPost, "/v1/buckets/", `{}`)
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("with a slash too many: %s", got)
	}

	w.bucket("photos", metadata.Private)
	get := w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/buckets/photos", "")
	head := w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodHead, "/v1/buckets/photos", "")
	if len(head.body) > 0 || head.header.Get("Content-Length") != get.header.Get("Content-Length") || head.header.Get("Content-Type") != "application/json" {
		t.Errorf("HEAD: %v, %q", head.header, head.body)
	}
	if get.header.Get("Cache-Control") != "no-store" {
		t.Errorf("an answer for one caller may be kept: %v", get.header)
	}
	w.do(http.StatusNotFound, metadata.RoleReadOnly, http.MethodHead, "/v1/buckets/none", "")
}

func TestParametersAndBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.do(http.StatusBadRequest, metadata.RoleReadOnly, http.MethodGet, "/v1/media?knd=photo&tag=a&tag=b", "")
	w.refused(a, "knd", "tag")
	if !strings.Contains(string(a.body), `did you mean \"kind\"?`) {
		t.Errorf("the nearest parameter is not named: %s", a.body)
	}
	for _, query := range []string{"bucket=%zz", "q=';drop", "limit=1;foo", "kind=photo%"} {
		w.refused(w.do(http.StatusBadRequest, metadata.RoleReadOnly, http.MethodGet, "/v1/media?"+query, ""), "query")
	}
	for _, limit := range []string{"0", "201", "-1", "x", "99999999999999999999"} {
		w.refused(w.do(http.StatusBadRequest, metadata.RoleReadOnly, http.MethodGet, "/v1/media?limit="+limit, ""), "limit")
	}
	w.do(http.StatusBadRequest, metadata.RoleReadOnly, http.MethodGet, "/v1/media?cursor=nonsense", "")
	w.do(http.StatusBadRequest, metadata.RoleReadOnly, http.MethodGet, "/v1/media?kind=song", "")
	w.do(http.StatusBadRequest, metadata.RoleReadOnly, http.MethodGet, "/v1/media?q=%00", "")

	const post, path = http.MethodPost, "/v1/buckets"
	w.do(http.StatusUnsupportedMediaType, metadata.RoleAdmin, post, path, `{}`, "Content-Type", "application/x-www-form-urlencoded")
	w.do(http.StatusUnsupportedMediaType, metadata.RoleAdmin, post, path, "")
	w.do(http.StatusRequestEntityTooLarge, metadata.RoleAdmin, post, path, `{"name":"`+strings.Repeat("x", maxBody)+`"}`)
	for _, body := range []string{`{`, `[]`, `null`, `"x"`, `{} {}`, `{"name":}`} {
		w.do(http.StatusBadRequest, metadata.RoleAdmin, post, path, body)
	}
	a = w.do(http.StatusBadRequest, metadata.RoleAdmin, post, path,
		`{"Name":"x","nmae":"x","visibility":7,"cache":{"edge_tll":"1h","negative_ttl":5,"stale_if_error":"soon"},"placement":true}`)
	w.refused(a, "Name", "cache.edge_tll", "cache.negative_ttl", "cache.stale_if_error", "nmae", "placement", "visibility")
	for _, hint := range []string{`did you mean \"name\"?`, `did you mean \"edge_ttl\"?`, "expected a string", "a number does not fit; expected a duration", `\"home\", \"all\" or a list`} {
		if !strings.Contains(string(a.body), hint) {
			t.Errorf("refusal does not say %s: %s", hint, a.body)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"name":"a","cache":{"edge_ttl":"1h"}}`, `{"placement":["a"],"placement":"all"}`, `{"cache":null,"versioning":null}`, `{"\u006eame":1e9}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, dst := range []any{&newBucket{}, &bucketPatch{}, &newMedia{}, &mediaPatch{}, &newKey{}, &metadata.Purge{}} {
			err := decodeStrict(text, dst)
			if err != nil {
				if !errors.Is(err, metadata.ErrInvalid) {
					t.Fatalf("%q into %T: %v is no refusal", text, dst, err)
				}
				continue
			}
			var object map[string]json.RawMessage
			if json.Unmarshal(text, &object) != nil {
				t.Fatalf("%q was taken for an object", text)
			}
			if _, ok := object["unknown"]; ok {
				t.Fatalf("%T took an unknown field: %q", dst, text)
			}
		}
	})
}

func TestAnswersWithoutAServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) {
		o.Ready = func() error { return errors.New("waiting for the moon") }
	})
	// A recorder has no connection whose deadlines could be set.
	rec := httptest.NewRecorder()
	req := w.request(metadata.RoleAdmin, http.MethodPost, "/v1/buckets", `{"name":"photos"}`)
	w.api.ServeHTTP(rec, req)
	if rec.Code != http.StatusCreated {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	a := w.send(w.request(nobody, http.MethodGet, "/readyz", ""))
	if a.status != http.StatusServiceUnavailable || as[health](t, a).Reason != "waiting for the moon" {
		t.Errorf("/readyz = %d %s", a.status, a.body)
	}
	w.do(http.StatusOK, nobody, http.MethodGet, "/healthz", "")
	a = w.do(http.StatusOK, nobody, http.MethodGet, "/metrics", "")
	if want := `meridian_api_requests_total{code="503",method="GET",route="/readyz"} 1`; !strings.Contains(string(a.body), want) {
		t.Errorf("/metrics lacks %s:\n%s", want, a.body)
	}
	a = w.do(http.StatusOK, nobody, http.MethodGet, "/", "")
	if strings.Contains(string(a.body), "<script") || strings.Contains(string(a.body), "{{") || !strings.Contains(a.header.Get("Content-Security-Policy"), "style-src 'sha256-") {
		t.Errorf("landing page: %v %s", a.header, a.body)
	}
}
