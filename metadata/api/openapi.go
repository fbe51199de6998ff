package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// openAPI writes the OpenAPI 3.1 document of routes.
func openAPI(routes []route, version string) ([]byte, error) {
	all := schemas{}
	paths := map[string]map[string]any{}
	for _, r := range routes {
		path := openPath(r.path)
		if paths[path] == nil {
			paths[path] = map[string]any{}
		}
		paths[path][strings.ToLower(r.method)] = operation(r, all)
	}
	all.of(reflect.TypeFor[Problem]())
	for name, body := range bodies(routes) { // what is sent has its own idea of what must be there
		all[name]["additionalProperties"] = false
		delete(all[name], "required")
		if len(body) > 0 {
			all[name]["required"] = body
		}
	}
	doc := map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "Meridian", "version": cmp.Or(version, "0"),
			"description": "Media records, buckets, access keys, purges and the hit report of a Meridian cluster. Errors are problem documents (RFC 9457).",
			"license":     map[string]any{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers": []any{map[string]any{"url": "/"}},
		"paths":   paths,
		"components": map[string]any{
			"schemas": all,
			"responses": map[string]any{"Problem": map[string]any{
				"description": "What went wrong.",
				"content":     map[string]any{"application/problem+json": map[string]any{"schema": ref("Problem")}},
			}},
			"securitySchemes": map[string]any{
				"accessKey": map[string]any{"type": "http", "scheme": "bearer", "bearerFormat": "<access-key>:<secret-key>"},
				"sigv4":     map[string]any{"type": "apiKey", "in": "header", "name": "Authorization", "description": "AWS Signature Version 4, any region, service s3 or meridian"},
				"session":   map[string]any{"type": "apiKey", "in": "cookie", "name": sessionCookie, "description": "as POST /v1/session sets it; over TLS " + sessionCookieSecure},
			},
		},
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("openapi: %w", err)
	}
	return text, nil
}

// bodies are the components that are sent by clients, with their required
// fields.
func bodies(routes []route) map[string][]string {
	required := map[string][]string{
		"NewMedia": {"bucket", "key"}, "NewBucket": {"name"}, "NewKey": {"role"}, "NewLink": {"bucket", "key"}, "NewWebhook": {"id", "url"}, "Login": {"access_key", "secret_key"},
	}
	list := map[string][]string{"CachePatch": nil}
	for _, r := range routes {
		if r.body == nil || r.access == node {
			continue
		}
		t := reflect.TypeOf(r.body)
		name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
		list[name] = required[name]
	}
	return list
}

func operation(r route, all schemas) map[string]any {
	op := map[string]any{
		"operationId": operationID(r), "summary": r.summary, "tags": []string{r.tag}, "responses": responses(r, all),
	}
	if r.description != "" {
		op["description"] = r.description
	}
	var params []any
	for name := range pathParams(r.path) {
		params = append(params, map[string]any{"name": name, "in": "path", "required": true, "schema": text()})
	}
	for in, list := range map[string][]param{"query": r.query, "header": r.headers} {
		for _, p := range list {
			params = append(params, map[string]any{"name": p.name, "in": in, "description": p.description, "schema": p.schema})
		}
	}
	if params != nil {
		op["parameters"] = params
	}
	if r.body != nil {
		op["requestBody"] = map[string]any{"required": true, "content": content(cmp.Or(r.bodyType, "application/json"), r.body, all)}
	}
	if r.access&anonymous != 0 {
		op["security"] = []any{}
		return op
	}
	security := []any{map[string][]string{"sigv4": {}}}
	if r.access != node {
		security = append(security, map[string][]string{"accessKey": {}}, map[string][]string{"session": {}})
	}
	op["security"] = security
	return op
}

func content(mediaType string, of any, all schemas) map[string]any {
	return map[string]any{mediaType: map[string]any{"schema": all.of(reflect.TypeOf(of))}}
}

func responses(r route, all schemas) map[string]any {
	list := map[string]any{}
	success := map[string]any{"description": http.StatusText(r.status)}
	if r.answer != nil {
		success["content"] = content(cmp.Or(r.answerType, "application/json"), r.answer, all)
	}
	list[strconv.Itoa(r.status)] = success
	problem := map[string]any{"$ref": "#/components/responses/Problem"}
	codes := slices.Clone(r.errors)
	if strings.HasPrefix(r.path, "/v1/") {
		codes = append(codes, http.StatusBadRequest)
	}
	if r.access&anonymous == 0 {
		codes = append(codes, http.StatusUnauthorized, http.StatusForbidden)
	}
	if strings.Contains(r.path, ":") {
		codes = append(codes, http.StatusNotFound)
	}
	if r.body != nil {
		codes = append(codes, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	for _, code := range codes {
		list[strconv.Itoa(code)] = problem
	}
	switch {
	case r.path == "/readyz":
		list["503"] = map[string]any{"description": "Not ready", "content": content("application/json", r.answer, all)}
	case r.method == http.MethodPost && r.path == "/v1/media":
		list["200"] = map[string]any{"description": "The record was there", "content": content("application/json", r.answer, all)}
	}
	list["default"] = problem
	return list
}

// operationID is unique: "getMediaPlaybackById".
func operationID(r route) string {
	id := strings.ToLower(r.method)
	by := ""
	for part := range strings.FieldsFuncSeq(r.path, func(ch rune) bool { return ch == '/' || ch == '.' }) {
		name, isParam := strings.CutPrefix(part, ":")
		word := strings.ToUpper(name[:1]) + name[1:]
		switch {
		case isParam:
			by += "By" + word
		case part != "v1":
			id += word
		}
	}
	if r.path == "/" {
		id += "Root"
	}
	return id + by
}

// openPath turns gin's "/:id" into "/{id}".
func openPath(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if name, ok := strings.CutPrefix(p, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	return strings.Join(parts, "/")
}

func pathParams(path string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for part := range strings.SplitSeq(path, "/") {
			if name, ok := strings.CutPrefix(part, ":"); ok && !yield(name) {
				return
			}
		}
	}
}
