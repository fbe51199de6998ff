package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"meridian/internal/sigv4"
	"meridian/metadata"
)

const (
	maxBody = 1 << 20
	// bodyTime is how long a client may take to send its body.
	bodyTime = 30 * time.Second
)

// readBody reads the JSON of a request, bounded, and where the request is
// signed, held to what was signed.
func (c *call) readBody() ([]byte, error) {
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" && !(c.r.Method == http.MethodPatch && kind == "application/merge-patch+json") {
		return nil, tell(errContentType, "%q is not understood here; send JSON with Content-Type: application/json", c.r.Header.Get("Content-Type"))
	}
	limit := c.route.maxBody
	if limit == 0 {
		limit = maxBody
	}
	if err := ignoreUnsupported(c.controller().SetReadDeadline(time.Now().Add(bodyTime))); err != nil {
		return nil, fmt.Errorf("set deadline: %w", err)
	}
	defer func() { _ = c.controller().SetReadDeadline(time.Time{}) }() // the next request has its own
	c.r.Body = http.MaxBytesReader(c.gin.Writer, c.r.Body, limit)
	var body io.Reader = c.r.Body
	if c.who.auth != nil {
		if body, _, err = c.who.auth.Body(c.r); err != nil {
			return nil, err
		}
	}
	text, err := io.ReadAll(body)
	var tooLarge *http.MaxBytesError
	var refused *sigv4.Error
	switch {
	case errors.As(err, &tooLarge):
		c.setHeader("Connection", "close")
		return nil, tell(errTooLarge, "request body has more than %d bytes", limit)
	case errors.As(err, &refused):
		return nil, tell(refused, "%s", refused.Message)
	case err != nil:
		return nil, tell(errBody, "request body broke off")
	}
	return text, nil
}

// decode reads the body, an object, into dst, a pointer to a struct. Fields are
// matched exactly; one that dst does not have is refused with the nearest name
// that it has, or, where it is among fixed, as not to be changed.
func (c *call) decode(dst any, fixed ...string) error {
	text, err := c.readBody()
	if err != nil {
		return err
	}
	return decodeStrict(text, dst, fixed...)
}

func decodeStrict(text []byte, dst any, fixed ...string) error {
	if !json.Valid(text) {
		return malformed(text)
	}
	return decodeFields(text, reflect.ValueOf(dst).Elem(), fixed)
}

// decodeNode reads what a node sent. Fields that we do not know are passed
// over: during an upgrade nodes may be newer than we are.
func (c *call) decodeNode(dst any) error {
	text, err := c.readBody()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, dst); err != nil {
		return metadata.Invalidf("%s", explain(err, reflect.TypeOf(dst)))
	}
	return nil
}

func malformed(text []byte) error {
	var v any
	err := json.Unmarshal(text, &v)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return metadata.Invalidf("request body is not JSON: %s, at byte %d", err, syntax.Offset)
	}
	return metadata.Invalidf("request body is not JSON")
}

// decodeFields sets the fields of v, a struct, from an object.
func decodeFields(text []byte, v reflect.Value, fixed []string) error {
	var object map[string]json.RawMessage
	if json.Unmarshal(text, &object) != nil || object == nil {
		return metadata.Invalidf("expected a JSON object, got %.40s", bytes.TrimSpace(text))
	}
	fields := jsonFields(v.Type())
	var wrong fieldErrors
	for name, raw := range object {
		i, ok := fields[name]
		switch {
		case ok:
			wrong = append(wrong, decodeField(raw, v.Field(i), name)...)
		case slices.Contains(fixed, name):
			wrong = append(wrong, FieldError{name, "cannot be changed"})
		default:
			wrong = append(wrong, FieldError{name, "is unknown" + suggest(name, names(fields))})
		}
	}
	if len(wrong) > 0 {
		slices.SortFunc(wrong, func(a, b FieldError) int { return strings.Compare(a.Field, b.Field) })
		return wrong
	}
	return nil
}

func decodeField(raw json.RawMessage, v reflect.Value, name string) fieldErrors {
	var err error
	if _, own := v.Addr().Interface().(json.Unmarshaler); v.Kind() == reflect.Struct && !own && v.Type() != reflect.TypeFor[time.Time]() {
		if string(raw) != "null" {
			err = decodeFields(raw, v, nil)
		}
	} else {
		err = json.Unmarshal(raw, v.Addr().Interface())
	}
	var inner fieldErrors
	switch {
	case err == nil:
		return nil
	case errors.As(err, &inner):
		for i := range inner {
			inner[i].Field = name + "." + inner[i].Field
		}
		return inner
	}
	return fieldErrors{{name, explain(err, v.Type())}}
}

// explain says in the client's terms why a value does not fit what it was
// decoded into.
func explain(err error, t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.As(err, &mismatch) && mismatch.Field != "":
		return fmt.Sprintf("%s: a %s does not fit; expected %s", mismatch.Field, mismatch.Value, describeType(mismatch.Type))
	case mismatch != nil:
		return fmt.Sprintf("a %s does not fit; expected %s", mismatch.Value, describeType(t))
	case t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]():
		return reason(err)
	}
	return "does not fit; expected " + describeType(t)
}

func describeType(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[metadata.Duration]():
		return `a duration such as "90s" or "24h"`
	case t == reflect.TypeFor[time.Time]():
		return "a time as of RFC 3339"
	case t == reflect.TypeFor[metadata.Placement]():
		return `"home", "all" or a list of regions`
	}
	if p, ok := reflect.Zero(t).Interface().(patched); ok {
		return describeType(p.value())
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return "a number"
	}
}

// patch is a field of a JSON merge patch (RFC 7396), absent where Set is false.
// null resets: Value is zero then.
type patch[T any] struct {
	Set   bool
	Null  bool
	Value T
}

// UnmarshalJSON reads a value or null.
func (p *patch[T]) UnmarshalJSON(text []byte) error {
	*p = patch[T]{Set: true}
	if string(bytes.TrimSpace(text)) == "null" {
		p.Null = true
		return nil
	}
	v := reflect.ValueOf(&p.Value).Elem()
	if v.Kind() == reflect.Struct {
		return decodeFields(text, v, nil)
	}
	return json.Unmarshal(text, &p.Value)
}

// apply changes what the patch names.
func (p patch[T]) apply(to *T) {
	if p.Set {
		*to = p.Value
	}
}

// jsonFields are the fields of a struct by their names in JSON.
func jsonFields(t reflect.Type) map[string]int {
	fields := map[string]int{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			fields[name] = i
		}
	}
	return fields
}

func jsonFieldsOf[T any]() map[string]int { return jsonFields(reflect.TypeFor[T]()) }

func names(fields map[string]int) []string {
	list := make([]string, 0, len(fields))
	for name := range fields {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}
