package api

import (
	"encoding/json"
	"net/http"
	"testing"

	"meridian/metadata"
)

func TestWarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	edge := someNode("edge-1", metadata.TierEdge, "europe")
	w.nodes(edge, someNode("regional-1", metadata.TierRegional, "europe"))
	w.bucket("photos", metadata.Private)
	for _, key := range []string{"2026/a.jpg", "2026/b.jpg", "2025/c.jpg"} {
		w.object("photos", key, "image/jpeg")
	}
	a := w.do(http.StatusAccepted, metadata.RoleAdmin, http.MethodPost, "/v1/warm",
		`{"urls":["/photos/2026/a.jpg","`+edge.PublicURL+`/photos/2025/c.jpg"],"prefixes":["/photos/2026/"],"tiers":["edge"],"regions":["europe"]}`)
	asked := as[metadata.WarmStatus](t, a)
	if asked.Objects != 3 || asked.Done || len(asked.Nodes) != 1 || asked.Nodes[0].State != metadata.WarmWaiting ||
		a.header.Get("Location") != "/v1/warm/"+asked.ID {
		t.Errorf("asked: %s", a.body)
	}
	p := metadata.WarmProgress{ID: asked.ID, Objects: 3, Fetched: 2, Failed: 1, Done: true, Failures: []metadata.WarmFailure{{Error: "gone"}}}
	body, err := json.Marshal(metadata.Push{Node: edge, Number: 2, Warms: []metadata.WarmProgress{p}})
	if err != nil {
		t.Fatal(err)
	}
	w.do(http.StatusOK, aNode, http.MethodPost, "/v1/nodes/push", string(body))
	done := as[metadata.WarmStatus](t, w.do(http.StatusOK, metadata.RoleReadOnly, http.MethodGet, "/v1/warm/"+asked.ID, ""))
	if !done.Done || done.Nodes[0].State != metadata.WarmDone || done.Nodes[0].Progress.Failures[0].Error != "gone" {
		t.Errorf("status: %+v", done)
	}

	w.do(http.StatusNotFound, metadata.RoleReadOnly, http.MethodGet, "/v1/warm/none", "")
	w.do(http.StatusForbidden, metadata.RoleReadOnly, http.MethodPost, "/v1/warm", `{"urls":["/photos/2026/a.jpg"]}`)
	w.do(http.StatusNotFound, metadata.RoleAdmin, http.MethodPost, "/v1/warm", `{"urls":["/nowhere/a.jpg"]}`)
	w.do(http.StatusBadRequest, metadata.RoleAdmin, http.MethodPost, "/v1/warm", `{"prefixes":["/photos/1999/"]}`)
	w.do(http.StatusBadRequest, metadata.RoleAdmin, http.MethodPost, "/v1/warm", `{}`)
	w.do(http.StatusBadRequest, metadata.RoleAdmin, http.MethodPost, "/v1/warm", `{"urls":["/photos/a"],"tiers":["origin"]}`)
	for body, field := range map[string]string{
		`{"urls":["/photos/a"],"regions":["mars"]}`: "regions",
		`{"urls":["http://example.com/photos/a"]}`:  "urls",
		`{"urls":["/photos/a?versionId=null"]}`:     "urls",
		`{"prefixes":["/NO/"]}`:                     "prefixes",
		`{"id":"mine","urls":["/photos/a"]}`:        "id",
		`{"url":["/photos/a"]}`:                     "url",
	} {
		w.refused(w.do(http.StatusBadRequest, metadata.RoleAdmin, http.MethodPost, "/v1/warm", body), field)
	}
}
