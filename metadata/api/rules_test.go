package api

import (
	"net/http"
	"testing"

	"meridian/metadata"
)

func TestUploadRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refused(w.do(http.StatusBadRequest, metadata.RoleAdmin, http.MethodPost, "/v1/buckets",
		`{"name":"photos","upload_rules":{"max_size":-1,"types":["png"],"quota_bytes":-5}}`),
		"upload_rules.max_size", "upload_rules.quota_bytes", "upload_rules.types")
	a := w.do(http.StatusCreated, metadata.RoleAdmin, http.MethodPost, "/v1/buckets",
		`{"name":"photos","upload_rules":{"max_size":100,"types":["image/*"],"quota_bytes":1000}}`)
	if r := as[metadata.Bucket](t, a).UploadRules; r.MaxSize != 100 || len(r.Types) != 1 || r.QuotaBytes != 1000 {
		t.Errorf("rules %+v", r)
	}
	w.object("photos", "a.png", "image/png")
	got := as[bucketInfo](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/buckets/photos", ""))
	if want := (metadata.Usage{Objects: 1, Bytes: 5}); got.Usage != want {
		t.Errorf("usage %+v, want %+v", got.Usage, want)
	}
	w.refused(w.do(http.StatusBadRequest, metadata.RoleAdmin, http.MethodPatch, "/v1/buckets/photos", `{"upload_rules":{"types":["*"]}}`), "upload_rules.types")
	w.refused(w.do(http.StatusBadRequest, metadata.RoleAdmin, http.MethodPatch, "/v1/buckets/photos", `{"upload_rules":{"quota":1}}`), "upload_rules.quota")
	a = w.do(http.StatusOK, metadata.RoleAdmin, http.MethodPatch, "/v1/buckets/photos", `{"upload_rules":{"max_size":null,"quota_objects":7}}`)
	if r := as[metadata.Bucket](t, a).UploadRules; r.MaxSize != 0 || len(r.Types) != 1 || r.QuotaBytes != 1000 || r.QuotaObjects != 7 {
		t.Errorf("rules after a patch %+v", r)
	}
	a = w.do(http.StatusOK, metadata.RoleAdmin, http.MethodPatch, "/v1/buckets/photos", `{"upload_rules":null}`)
	if r := as[metadata.Bucket](t, a).UploadRules; r.HasQuota() || len(r.Types) > 0 {
		t.Errorf("rules after null %+v", r)
	}
	got = as[bucketInfo](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/buckets/photos", ""))
	if want := (metadata.Usage{Objects: 1, Bytes: 5}); got.Usage != want {
		t.Errorf("usage without a quota %+v, want %+v", got.Usage, want)
	}
}
