package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"

	"meridian/metadata"
	"meridian/metadata/lifecycle"
)

func TestLifecycleRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bucket("logs", metadata.Private)
	const path = "/v1/buckets/logs/lifecycle/runs"
	if got := as[lifecyclePage](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, path, "")); len(got.Runs) != 0 {
		t.Errorf("runs without rules: %+v", got)
	}
	w.do(http.StatusConflict, metadata.RoleAdmin, http.MethodPost, path, "")
	w.do(http.StatusNotFound, metadata.RoleAdmin, http.MethodPost, "/v1/buckets/nowhere/lifecycle/runs", "")
	w.do(http.StatusNotFound, metadata.RoleAdmin, http.MethodGet, "/v1/buckets/nowhere/lifecycle/runs", "")
	_, err := w.store.UpdateBucket(t.Context(), "logs", func(b *metadata.Bucket) error {
		b.Config[lifecycle.ConfigName] = json.RawMessage(`{"rules":[]}`)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.do(http.StatusForbidden, metadata.RoleReadWrite, http.MethodPost, path, "")
	asked := as[metadata.LifecycleRun](t, w.do(http.StatusAccepted, metadata.RoleAdmin, http.MethodPost, path, ""))
	if again := as[metadata.LifecycleRun](t, w.do(http.StatusAccepted, metadata.RoleAdmin, http.MethodPost, path, "")); again.ID != asked.ID {
		t.Errorf("asked twice, it is to be done twice: %d and %d", asked.ID, again.ID)
	}
	due, err := w.store.DueLifecycles(t.Context(), 1<<50, 10)
	if err != nil || len(due) != 1 || due[0].ID != asked.ID {
		t.Errorf("due are %+v, %v", due, err)
	}
	asked.Expired, asked.Rules = 3, map[string]*metadata.LifecycleCounts{"r": {Expired: 3}}
	if _, err := w.store.SaveLifecycle(t.Context(), asked, true); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := w.store.SaveLifecycle(t.Context(), metadata.LifecycleRun{Bucket: "logs"}, true); err != nil {
			t.Fatal(err)
		}
	}
	page := as[lifecyclePage](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, path+"?limit=2", ""))
	if len(page.Runs) != 2 || page.Next == "" {
		t.Fatalf("the first page: %+v", page)
	}
	page = as[lifecyclePage](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, path+"?limit=2&cursor="+page.Next, ""))
	if len(page.Runs) != 1 || page.Next != "" || page.Runs[0].ID != asked.ID || page.Runs[0].Expired != 3 || page.Runs[0].Rules["r"].Expired != 3 || page.Runs[0].Finished == nil {
		t.Errorf("the last page: %+v", page)
	}
	w.refused(w.do(http.StatusBadRequest, metadata.RoleReadOnly, http.MethodGet, path+"?cursor=x", ""), "cursor")
	w.refused(w.do(http.StatusBadRequest, metadata.RoleReadOnly, http.MethodGet, path+"?limit="+strconv.Itoa(maxRuns+1), ""), "limit")
}
