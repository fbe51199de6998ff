package api

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"meridian/metadata"
)

// schema is a JSON Schema of the dialect of OpenAPI 3.1.
type schema map[string]any

func text() schema { return schema{"type": "string"} }

func oneOf(values ...string) schema { return schema{"type": "string", "enum": values} }

func between(least, most, fallback int) schema {
	return schema{"type": "integer", "minimum": least, "maximum": most, "default": fallback}
}

func ref(name string) schema { return schema{"$ref": "#/components/schemas/" + name} }

// schemas describes Go types as encoding/json writes them. Structs become
// components, named by their types.
type schemas map[string]schema

// patched is a patch, whatever its type.
type patched interface{ value() reflect.Type }

func (p patch[T]) value() reflect.Type { return reflect.TypeFor[T]() }

var _ patched = patch[string]{}

func (s schemas) of(t reflect.Type) schema {
	switch t {
	case reflect.TypeFor[time.Time]():
		return schema{"type": "string", "format": "date-time"}
	case reflect.TypeFor[metadata.Duration]():
		return schema{"type": "string", "examples": []string{"90s", "24h0m0s"}}
	case reflect.TypeFor[metadata.Seq]():
		return schema{"type": "string", "examples": []string{"0", "751-42"}}
	case reflect.TypeFor[metadata.Placement]():
		return schema{"oneOf": []schema{oneOf("home", "all"), {"type": "array", "items": text()}}}
	case reflect.TypeFor[json.RawMessage]():
		return schema{"description": "any JSON"}
	case reflect.TypeFor[[]byte]():
		return schema{"type": "string", "contentEncoding": "base64"}
	}
	if p, ok := reflect.Zero(t).Interface().(patched); ok {
		return schema{"oneOf": []schema{s.of(p.value()), {"type": "null"}}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.String:
		return text()
	case reflect.Float32, reflect.Float64:
		return schema{"type": "number"}
	case reflect.Slice, reflect.Array:
		return schema{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map, reflect.Interface:
		if t.Kind() == reflect.Map && t.Elem().Kind() != reflect.Interface {
			return schema{"type": "object", "additionalProperties": s.of(t.Elem())}
		}
		return schema{"type": "object"}
	case reflect.Struct:
		return s.component(t)
	default:
		return schema{"type": "integer", "format": "int64"}
	}
}

func (s schemas) component(t reflect.Type) schema {
	if t.Name() == "" {
		return s.object(t)
	}
	name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	if _, done := s[name]; !done {
		s[name] = schema{} // for types that hold themselves
		s[name] = s.object(t)
	}
	return ref(name)
}

func (s schemas) object(t reflect.Type) schema {
	properties := map[string]schema{}
	required := s.fields(t, properties)
	o := schema{"type": "object", "properties": properties}
	if len(required) > 0 {
		o["required"] = required
	}
	return o
}

// fields adds the fields of a struct and returns those that are always there.
func (s schemas) fields(t reflect.Type, to map[string]schema) (required []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			required = append(required, s.fields(f.Type, to)...)
			continue
		case name == "" || name == "-" || !f.IsExported():
			continue
		}
		p := s.of(f.Type)
		if values := enums()[t.Name()+"."+name]; values != nil {
			p = oneOf(values...)
		}
		to[name] = p
		if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
			required = append(required, name)
		}
	}
	return required
}

// enums are the fields whose values are few.
func enums() map[string][]string {
	kinds := []string{metadata.KindPhoto, metadata.KindVideo}
	tiers := []string{metadata.TierEdge, metadata.TierRegional, metadata.TierOrigin}
	roles := []string{metadata.RoleAdmin, metadata.RoleReadWrite, metadata.RoleReadOnly, metadata.RoleUser}
	states := []string{metadata.MediaPending, metadata.MediaProcessing, metadata.MediaReady, metadata.MediaFailed}
	visibilities := []string{metadata.Private, metadata.PublicRead}
	versionings := []string{metadata.VersioningEnabled, metadata.VersioningSuspended}
	reasons := []string{
		metadata.MissCold, metadata.MissExpired, metadata.MissEvicted, metadata.MissPurged, metadata.MissOverwritten,
		metadata.MissBypassed, metadata.MissCollapsed, metadata.MissRevalidated, metadata.MissNoLease,
		metadata.MissVaried, metadata.MissDemanded,
	}
	return map[string][]string{
		"Miss.reason": reasons, "Miss.cause": reasons, "Miss.result": {metadata.AskedMiss, metadata.AskedRevalidated, metadata.AskedFailed},
		"HeldVariant.scheme": {"http", "https"}, "Holding.tier": tiers[:2], "Pull.tier": tiers[:2], "SilentNode.tier": tiers[:2],
		"Media.kind": kinds, "Media.state": states, "newMedia.kind": kinds, "playback.kind": kinds, "playback.state": states,
		"Bucket.visibility": visibilities, "newBucket.visibility": visibilities,
		"Bucket.versioning": versionings, "newBucket.versioning": versionings,
		"uploadInfo.state": {uploadPending, uploadComplete}, "uploadInfo.method": {methodPut, methodMultipart},
		"AccessKey.role": roles, "newKey.role": roles, "sessionInfo.role": roles,
		"Node.tier": tiers, "ReportRow.tier": tiers, "TierSeries.tier": tiers,
		"Counter.class": {metadata.ClassPhoto, metadata.ClassVideo, metadata.ClassOther},
	}
}
