package api

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"meridian/metadata"
)

type openDoc struct {
	OpenAPI string `json:"openapi"`
	Info    struct{ Title, Version string }
	Paths   map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Summary     string
		Parameters  []struct {
			Name, In string
			Required bool
			Schema   map[string]any
		}
		RequestBody *struct {
			Content map[string]struct{ Schema map[string]any }
		} `json:"requestBody"`
		Responses map[string]map[string]any
		Security  *[]map[string][]string
	}
	Components struct {
		Schemas         map[string]map[string]any
		Responses       map[string]map[string]any
		SecuritySchemes map[string]map[string]any `json:"securitySchemes"`
	}
}

// Every route is documented and every documented path is routed, by a document
// that holds together.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.do(http.StatusOK, nobody, http.MethodGet, "/openapi.json", "")
	doc := as[openDoc](t, a)
	if doc.OpenAPI != "3.1.0" || doc.Info.Title == "" || doc.Info.Version != "test" {
		t.Errorf("openapi %s, info %+v", doc.OpenAPI, doc.Info)
	}
	routed := map[string]bool{}
	for _, r := range w.api.engine.Routes() {
		if r.Method != http.MethodHead {
			routed[r.Method+" "+openPath(r.Path)] = true
		}
	}
	ids := map[string]bool{}
	inPath := regexp.MustCompile(`\{(\w+)\}`)
	for path, operations := range doc.Paths {
		for method, op := range operations {
			name := strings.ToUpper(method) + " " + path
			if !routed[name] {
				t.Errorf("%s is documented and leads nowhere", name)
			}
			delete(routed, name)
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" {
				t.Errorf("%s: operation ID %q, summary %q", name, op.OperationID, op.Summary)
			}
			ids[op.OperationID] = true
			var declared []string
			for _, p := range op.Parameters {
				if len(p.Schema) == 0 || (p.In == "path") != p.Required || !slices.Contains([]string{"path", "query", "header"}, p.In) {
					t.Errorf("%s: parameter %+v", name, p)
				}
				if p.In == "path" {
					declared = append(declared, p.Name)
				}
			}
			for _, m := range inPath.FindAllStringSubmatch(path, -1) {
				if !slices.Contains(declared, m[1]) {
					t.Errorf("%s does not declare %s", name, m[1])
				}
			}
			success := 0
			for code, r := range op.Responses {
				if code[0] == '2' {
					success++
				}
				if r["$ref"] == nil && r["description"] == "" {
					t.Errorf("%s: response %s has no description", name, code)
				}
			}
			if success == 0 || op.Responses["default"] == nil {
				t.Errorf("%s: responses %v", name, op.Responses)
			}
			if op.Security == nil {
				t.Errorf("%s does not say who may", name)
				continue
			}
			for _, s := range *op.Security {
				for scheme := range s {
					if doc.Components.SecuritySchemes[scheme] == nil {
						t.Errorf("%s: security scheme %s is unknown", name, scheme)
					}
				}
			}
			if open := strings.Contains(rules()[strings.ToUpper(method)+" "+ginPath(path)], nobody); open != (len(*op.Security) == 0) {
				t.Errorf("%s: security %v", name, *op.Security)
			}
		}
	}
	for name := range routed {
		t.Errorf("%s is not documented", name)
	}
	for _, m := range regexp.MustCompile(`"\$ref":"#/components/(\w+)/(\w+)"`).FindAllStringSubmatch(string(a.body), -1) {
		if m[1] == "schemas" && len(doc.Components.Schemas[m[2]]) == 0 || m[1] == "responses" && len(doc.Components.Responses[m[2]]) == 0 {
			t.Errorf("%s leads nowhere", m[0])
		}
	}
	for name, s := range doc.Components.Schemas {
		properties, _ := s["properties"].(map[string]any)
		if s["type"] != "object" || len(properties) == 0 {
			t.Errorf("schema %s: %v", name, s)
		}
		required, _ := s["required"].([]any)
		for _, f := range required {
			if properties[f.(string)] == nil {
				t.Errorf("schema %s requires %v, which it does not have", name, f)
			}
		}
	}
}

func ginPath(path string) string {
	return regexp.MustCompile(`\{(\w+)\}`).ReplaceAllString(path, ":$1")
}

// What is answered is as the document says: no field more, none that must be
// there less.
func TestAnswersAreAsDocumented(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	doc := as[openDoc](t, w.do(http.StatusOK, nobody, http.MethodGet, "/openapi.json", ""))
	w.nodes(someNode("origin-europe", metadata.TierOrigin, "europe"), someNode("edge-europe", metadata.TierEdge, "europe"))
	w.bucket("photos", metadata.Private)
	m := w.record(w.object("photos", "a.jpg", "image/jpeg"))
	purge := as[metadata.PurgeStatus](t, w.do(http.StatusAccepted, metadata.RoleAdmin, http.MethodPost, "/v1/purge", `{"bucket":"photos"}`))
	w.object("photos", "w.jpg", "image/jpeg")
	warm := as[metadata.WarmStatus](t, w.do(http.StatusAccepted, metadata.RoleAdmin, http.MethodPost, "/v1/warm", `{"urls":["/photos/w.jpg"]}`))
	for path, name := range map[string]string{
		"/v1/warm/" + warm.ID: "WarmStatus",
		"/v1/media":           "MediaPage", "/v1/media/" + m.ID: "Media", "/v1/media/" + m.ID + "/playback": "Playback",
		"/v1/buckets": "BucketList", "/v1/buckets/photos": "BucketInfo", "/v1/keys": "KeyList", "/v1/regions": "RegionList",
		"/v1/nodes": "NodeList", "/v1/purge/" + purge.ID: "PurgeStatus", "/v1/cache/report": "Report", "/v1/cache/series": "Series",
		"/v1/buckets/photos/objects": "ObjectPage", "/v1/buckets/photos/object?key=a.jpg": "Object", "/v1/session": "SessionInfo",
		"/healthz": "Health",
	} {
		var v any
		if err := json.Unmarshal(w.do(http.StatusOK, metadata.RoleAdmin, http.MethodGet, path, "").body, &v); err != nil {
			t.Fatal(err)
		}
		conforms(t, doc.Components.Schemas, map[string]any{"$ref": "#/components/schemas/" + name}, v, path)
	}
	a := w.do(http.StatusNotFound, metadata.RoleAdmin, http.MethodGet, "/v1/media/none", "")
	conforms(t, doc.Components.Schemas, map[string]any{"$ref": "#/components/schemas/Problem"}, as[any](t, a), "problem")
}

// conforms checks v against the part of JSON Schema that the document uses.
func conforms(t *testing.T, all map[string]map[string]any, s map[string]any, v any, at string) {
	t.Helper()
	if ref, ok := s["$ref"].(string); ok {
		s = all[strings.TrimPrefix(ref, "#/components/schemas/")]
		if s == nil {
			t.Errorf("%s: %s is not there", at, ref)
			return
		}
	}
	if values, ok := s["enum"].([]any); ok && !slices.Contains(values, v) {
		t.Errorf("%s: %v is none of %v", at, v, values)
	}
	switch v := v.(type) {
	case map[string]any:
		properties, _ := s["properties"].(map[string]any)
		more, _ := s["additionalProperties"].(map[string]any)
		for name, field := range v {
			of, ok := properties[name].(map[string]any)
			if !ok {
				of = more
			}
			if of == nil {
				t.Errorf("%s: %s is not documented", at, name)
				continue
			}
			conforms(t, all, of, field, at+"."+name)
		}
		required, _ := s["required"].([]any)
		for _, name := range required {
			if _, ok := v[name.(string)]; !ok {
				t.Errorf("%s: %v is missing", at, name)
			}
		}
	case []any:
		items, _ := s["items"].(map[string]any)
		if s["type"] != "array" || items == nil {
			t.Errorf("%s: a list is documented as %v", at, s)
			return
		}
		for _, e := range v {
			conforms(t, all, items, e, at+"[]")
		}
	case string:
		if s["type"] != "string" && s["oneOf"] == nil {
			t.Errorf("%s: %q is documented as %v", at, v, s)
		}
	case float64:
		if s["type"] != "integer" && s["type"] != "number" {
			t.Errorf("%s: %v is documented as %v", at, v, s)
		}
	case bool:
		if s["type"] != "boolean" {
			t.Errorf("%s: %v is documented as %v", at, v, s)
		}
	default:
		t.Errorf("%s: %v is documented as %v", at, v, s)
	}
}
