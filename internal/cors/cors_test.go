package cors_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"meridian/internal/cors"
)

func request(method, origin, asked string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, "/", nil)
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	if asked != "" {
		r.Header.Set("Access-Control-Request-Method", asked)
	}
	for _, h := range headers {
		r.Header.Add("Access-Control-Request-Headers", h)
	}
	return r
}

func seconds(n int) *int { return &n }

// rules are those of the user guide of S3, and one for each kind of pattern.
func rules() *cors.Config {
	return &cors.Config{Rules: []cors.Rule{
		{
			AllowedOrigins: []string{"http://www.example1.com"}, AllowedMethods: []string{"PUT", "POST", "DELETE"},
			AllowedHeaders: []string{"*"}, MaxAgeSeconds: seconds(3000), ExposeHeaders: []string{"x-amz-version-id", "ETag"},
		},
		{AllowedOrigins: []string{"https://*.example.com"}, AllowedMethods: []string{"PUT"}, AllowedHeaders: []string{"x-amz-*", "Content-Type"}},
		{AllowedOrigins: []string{"*"}, AllowedMethods: []string{"GET"}},
	}}
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config          *cors.Config
		r               *http.Request
		origin, headers string
		err             error
	}{
		"exact":                    {rules(), request("OPTIONS", "http://www.example1.com", "DELETE", "X-Any, Authorization"), "http://www.example1.com", "x-any, authorization", nil},
		"another scheme":           {rules(), request("OPTIONS", "https://www.example1.com", "DELETE"), "", "", cors.ErrForbidden},
		"wildcard in the origin":   {rules(), request("OPTIONS", "https://a.example.com", "PUT", "content-type", "X-Amz-Meta-Title"), "https://a.example.com", "content-type, x-amz-meta-title", nil},
		"only its end":             {rules(), request("OPTIONS", "https://example.com", "PUT"), "", "", cors.ErrForbidden},
		"a header of no rule":      {rules(), request("OPTIONS", "https://a.example.com", "PUT", "content-type, range"), "", "", cors.ErrForbidden},
		"a method of a later rule": {rules(), request("OPTIONS", "http://www.example1.com", "GET"), "*", "", nil},
		"any origin":               {rules(), request("OPTIONS", "null", "GET"), "*", "", nil},
		"no headers in its rule":   {rules(), request("OPTIONS", "null", "GET", "range"), "", "", cors.ErrForbidden},
		"no origin":                {rules(), request("OPTIONS", "", "GET"), "", "", cors.ErrNoOrigin},
		"no method":                {nil, request("OPTIONS", "http://a", ""), "", "", cors.ErrMethod},
		"a method of no rule":      {nil, request("OPTIONS", "http://a", "PATCH"), "", "", cors.ErrMethod},
		"default":                  {nil, request("OPTIONS", "http://a", "PUT", "X-Amz-Date,Authorization"), "*", "x-amz-date, authorization", nil},
		"no rules at all":          {&cors.Config{}, request("OPTIONS", "http://a", "GET"), "", "", cors.ErrForbidden},
		"a header in a header":     {nil, request("OPTIONS", "http://a", "PUT", "x\r\nSet-Cookie: y"), "", "", cors.RefusedError("Access-Control-Request-Headers \"x\r\nSet-Cookie: y\" contains invalid character.")},
	} {
		h := http.Header{}
		if err := c.config.Preflight(h, c.r); err != c.err { //nolint:errorlint // they are constants
			t.Errorf("%s: %v, want %v", name, err, c.err)
		}
		if got := h.Get("Access-Control-Allow-Origin"); got != c.origin {
			t.Errorf("%s: origin %q, want %q", name, got, c.origin)
		}
		if got := h.Get("Access-Control-Allow-Headers"); got != c.headers {
			t.Errorf("%s: headers %q, want %q", name, got, c.headers)
		}
		if (h.Get("Access-Control-Allow-Credentials") != "") != (c.origin != "" && c.origin != "*") {
			t.Errorf("%s: credentials %q with the origin %q", name, h.Get("Access-Control-Allow-Credentials"), c.origin)
		}
	}
}

func TestActual(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	rules().Actual(h, request("PUT", "http://www.example1.com", ""))
	want := http.Header{
		"Access-Control-Allow-Origin": {"http://www.example1.com"}, "Access-Control-Allow-Credentials": {"true"},
		"Access-Control-Allow-Methods": {"PUT, POST, DELETE"}, "Access-Control-Expose-Headers": {"x-amz-version-id, ETag"},
		"Access-Control-Max-Age": {"3000"}, "Vary": {"Origin, Access-Control-Request-Headers, Access-Control-Request-Method"},
	}
	if !reflect.DeepEqual(h, want) {
		t.Errorf("a rule:\n got %v\nwant %v", h, want)
	}
	for name, r := range map[string]*http.Request{"no origin": request("GET", "", ""), "no rule": request("DELETE", "https://a.example.com", "")} {
		h := http.Header{}
		rules().Actual(h, r)
		if len(h) != 1 || h.Get("Vary") == "" {
			t.Errorf("%s: %v, want Vary alone", name, h)
		}
	}
	h = http.Header{}
	if rules().Actual(h, request("GET", "http://www.example1.com", "PUT")); h.Get("Access-Control-Allow-Origin") != "http://www.example1.com" {
		t.Errorf("a GET that asks for PUT: %v", h)
	}
	h = http.Header{}
	(*cors.Config)(nil).Actual(h, request("GET", "", ""))
	if h.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(h.Get("Access-Control-Expose-Headers"), "ETag") || len(h) != 2 {
		t.Errorf("default: %v", h)
	}
	for _, name := range []string{"x-amz-tagging-count", "x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date", "x-amz-object-lock-legal-hold"} {
		if !slices.Contains(strings.Split(h.Get("Access-Control-Expose-Headers"), ", "), name) {
			t.Errorf("by default a page may not read %s", name)
		}
	}
	brief := http.Header{}
	(*cors.Config)(nil).Brief(brief, request("GET", "", ""))
	if brief.Get("Access-Control-Allow-Origin") != "*" || brief.Get("Access-Control-Expose-Headers") != "*, ETag" || len(brief) != 2 {
		t.Errorf("brief: %v", brief)
	}
	brief, h = http.Header{}, http.Header{}
	rules().Brief(brief, request("GET", "https://a.example.com", ""))
	rules().Actual(h, request("GET", "https://a.example.com", ""))
	if !maps.EqualFunc(brief, h, slices.Equal) || len(h) < 2 {
		t.Errorf("by rules: %v, brief %v", h, brief)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	if err := rules().Check(); err != nil {
		t.Errorf("good rules: %v", err)
	}
	get, all := []string{"GET"}, []string{"*"}
	for want, r := range map[string][]cors.Rule{
		"less than 1":                       {},
		"exceed":                            make([]cors.Rule, 101),
		"at least one":                      {{AllowedMethods: get}},
		"Unsupported method is PATCH":       {{AllowedOrigins: all, AllowedMethods: []string{"PATCH"}}},
		"more than one wildcard":            {{AllowedOrigins: []string{"http://*.*.com"}, AllowedMethods: get}},
		`AllowedHeader "x-*-*"`:             {{AllowedOrigins: all, AllowedMethods: get, AllowedHeaders: []string{"x-*-*"}}},
		"contains wildcard":                 {{AllowedOrigins: all, AllowedMethods: get, ExposeHeaders: []string{"x-*"}}},
		"up to 255":                         {{AllowedOrigins: all, AllowedMethods: get, ID: strings.Repeat("x", 256)}},
		"contains invalid character":        {{AllowedOrigins: []string{"http://a\r\nb"}, AllowedMethods: get}},
		"is not the name of a header":       {{AllowedOrigins: all, AllowedMethods: get, ExposeHeaders: []string{"a, b"}}},
		"AllowedOrigin \"\" contains inval": {{AllowedOrigins: []string{""}, AllowedMethods: get}},
	} {
		err := (&cors.Config{Rules: r}).Check()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Whatever a browser sends, it gets what some rule allows, and no line of its
// own into the answer.
func FuzzRules(f *testing.F) {
	f.Add(`{"rules":[{"allowed_origins":["http://*"],"allowed_methods":["GET"],"allowed_headers":["*"]}]}`, "http://a", "GET", "x-a, x-b")
	f.Add(``, "null", "PUT", "authorization")
	f.Fuzz(func(t *testing.T, document, origin, method, headers string) {
		c, err := cors.Parse(json.RawMessage(document))
		if err != nil || c != nil && c.Check() != nil {
			return
		}
		r := request("OPTIONS", origin, method, headers)
		h := http.Header{}
		if err := c.Preflight(h, r); err != nil && h.Get("Access-Control-Allow-Origin") != "" {
			t.Fatalf("refused with %v, and let in with %v", err, h)
		}
		if o := h.Get("Access-Control-Allow-Origin"); o != "" && o != "*" && o != origin {
			t.Fatalf("%q is let in as %q", origin, o)
		}
		if h.Get("Access-Control-Allow-Origin") == "*" && h.Get("Access-Control-Allow-Credentials") != "" {
			t.Fatal("credentials of everybody")
		}
		if strings.ContainsAny(h.Get("Access-Control-Allow-Headers"), "\r\n") {
			t.Fatalf("%q", h)
		}
	})
}
