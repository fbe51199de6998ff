package s3api_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// What differs from run to run in an answer.
var volatile = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`), "TIME"},
	{regexp.MustCompile(`[0-7][0-9A-HJKMNP-TV-Z]{25}`), "ULID"},
	{regexp.MustCompile(`<RequestId>[^<]*`), "<RequestId>ID"},
	{regexp.MustCompile(`<HostId>[^<]*`), "<HostId>ID"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "HOST"},
}

func (w *world) golden(name string, body []byte) {
	w.t.Helper()
	for _, v := range volatile {
		body = v.what.ReplaceAll(body, []byte(v.with))
	}
	path := filepath.Join("testdata", name+".xml")
	if *update {
		if err := os.WriteFile(path, body, 0o600); err != nil {
			w.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	if string(want) != string(body) {
		w.t.Errorf("%s:\n got %s\nwant %s", name, body, want)
	}
}

// The answers byte by byte: elements, their order, escaping.
func TestXMLAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/open", nil, "x-amz-acl: public-read")
	w.must("PUT", "/bkt/a%26%3Cb%3E", []byte("hello"), "x-amz-tagging: k=v&a=b")
	w.must("PUT", "/bkt/dir/%01%20%C3%A9", []byte("x"))
	for _, tt := range []struct{ name, method, path string }{
		{"list-buckets", "GET", "/"},
		{"list", "GET", "/bkt?delimiter=/&max-keys=1"},
		{"list-url", "GET", "/bkt?encoding-type=url&marker=a"},
		{"list-v2", "GET", "/bkt?list-type=2&fetch-owner=true&start-after=A"},
		{"list-v2-page", "GET", "/bkt?list-type=2&max-keys=1&prefix=a"},
		{"location", "GET", "/bkt?location"},
		{"versioning-never", "GET", "/bkt?versioning"},
		{"acl-private", "GET", "/bkt?acl"},
		{"acl-public", "GET", "/open?acl"},
		{"tagging", "GET", "/bkt/a%26%3Cb%3E?tagging"},
		{"logging", "GET", "/bkt?logging"},
		{"request-payment", "GET", "/bkt?requestPayment"},
		{"begin-upload", "POST", "/bkt/up?uploads"},
		{"list-uploads", "GET", "/bkt?uploads"},
	} {
		w.golden(tt.name, w.must(tt.method, tt.path, nil).body)
	}
	w.golden("copy", w.must("PUT", "/bkt/copy", nil, "x-amz-copy-source: bkt/a%26%3Cb%3E").body)
	w.golden("attributes", w.must("GET", "/bkt/copy?attributes", nil, "x-amz-object-attributes: ETag,ObjectSize,StorageClass,Checksum,ObjectParts").body)
	w.must("PUT", "/bkt?versioning", []byte(`<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>`))
	w.must("DELETE", "/bkt/copy", nil)
	w.golden("versions", w.must("GET", "/bkt?versions&prefix=c", nil).body)
	del := []byte(`<Delete><Object><Key>copy</Key><VersionId>null</VersionId></Object><Object><Key>new</Key></Object><Object><Key>q</Key><VersionId>none</VersionId></Object></Delete>`)
	w.golden("delete", w.must("POST", "/bkt?delete", del, "Content-MD5: "+md5Of(del)).body)
	for _, tt := range []struct{ name, path, header string }{
		{"error-key", "/bkt/none%26", ""},
		{"error-bucket", "/none", ""},
		{"error-range", "/bkt/a%26%3Cb%3E", "Range: bytes=9-"},
		{"error-argument", "/bkt?max-keys=x", ""},
		{"error-version", "/bkt/new?versionId=01ARZ3NDEKTSV4RRFFQ69G5FAV", ""},
	} {
		var headers []string
		if tt.header != "" {
			headers = append(headers, tt.header)
		}
		w.golden(tt.name, w.do(root, "GET", tt.path, nil, headers...).body)
	}
}
