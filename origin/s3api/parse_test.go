package s3api

import (
	"bytes"
	"encoding/xml"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"meridian/metadata"
	"meridian/metadata/lifecycle"
	"meridian/metadata/notify"
)

func codeOf(err error) code {
	if err == nil {
		return ""
	}
	return failureOf(err).code
}

func TestRange(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		header string
		size   int64
		off, n int64
		ok     bool
		code   code
	}{
		{"bytes=0-0", 10, 0, 1, true, ""},
		{"bytes=2-5", 10, 2, 4, true, ""},
		{"bytes=2-", 10, 2, 8, true, ""},
		{"bytes=-3", 10, 7, 3, true, ""},
		{"bytes=-30", 10, 0, 10, true, ""},
		{"bytes=5-500", 10, 5, 5, true, ""},
		{"bytes=0-99999999999999999999", 10, 0, 10, true, ""},
		{"bytes=10-", 10, 0, 0, false, errInvalidRange},
		{"bytes=99999999999999999999-", 10, 0, 0, false, errInvalidRange},
		{"bytes=-0", 10, 0, 0, false, errInvalidRange},
		{"bytes=0-", 0, 0, 0, false, errInvalidRange},
		{"bytes=-1", 0, 0, 0, false, ""},
		{"bytes=5-2", 10, 0, 0, false, ""},
		{"bytes=0-1,4-5", 10, 0, 0, false, ""},
		{"bytes=a-b", 10, 0, 0, false, ""},
		{"bytes=--3", 10, 0, 0, false, ""},
		{"bytes=+1-3", 10, 0, 0, false, ""},
		{"bytes=-", 10, 0, 0, false, ""},
		{"items=0-1", 10, 0, 0, false, ""},
	} {
		off, n, ok, err := parseRange(tt.header, tt.size)
		if off != tt.off || n != tt.n || ok != tt.ok || codeOf(err) != tt.code {
			t.Errorf("parseRange(%q, %d) = %d, %d, %v, %v", tt.header, tt.size, off, n, ok, err)
		}
	}
}

func TestCopySource(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]metadata.Ref{
		"/bucket/key":                 {Bucket: "bucket", Key: "key"},
		"bucket/a/b//c":               {Bucket: "bucket", Key: "a/b//c"},
		"bucket/a%2Fb%20c+d":          {Bucket: "bucket", Key: "a/b c+d"},
		"bucket%2Fkey":                {Bucket: "bucket", Key: "key"},
		"bucket/k%3Fversionid":        {Bucket: "bucket", Key: "k?versionid"},
		"/bucket/key?versionId=null":  {Bucket: "bucket", Key: "key", VersionID: "null"},
		"bucket/%E6%9D%B1%E4%BA%AC.é": {Bucket: "bucket", Key: "東京.é"},
	} {
		if got, err := parseCopySource(in); err != nil || got != want {
			t.Errorf("parseCopySource(%q) = %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "/", "bucket", "bucket/", "/bucket/", "bucket/key?", "bucket/key?acl",
		"bucket/key?versionId=", "bucket/key?versionId=abc", "bucket/%zz", "BUCKET/key", "bucket/%00", "bucket/%ff", "bucket/" + strings.Repeat("k", 1025)} {
		if got, err := parseCopySource(in); codeOf(err) != errInvalidArgument {
			t.Errorf("parseCopySource(%q) = %+v, %v", in, got, err)
		}
	}
}

func TestCopyRange(t *testing.T) {
	t.Parallel()
	if off, n, err := copyRange("bytes=3-9", 10); off != 3 || n != 7 || err != nil {
		t.Errorf("got %d, %d, %v", off, n, err)
	}
	for _, in := range []string{"bytes=3-10", "bytes=3-", "bytes=-3", "3-4", "bytes=5-4", "bytes=0-1,3-4"} {
		if _, _, err := copyRange(in, 10); codeOf(err) != errInvalidArgument {
			t.Errorf("copyRange(%q) = %v", in, err)
		}
	}
}

// The order of RFC 9110, section 13.2.2: each row has several conditions, of
// which one decides.
func TestPreconditionOrder(t *testing.T) {
	t.Parallel()
	v := &metadata.Version{ETag: "aa", Modified: time.Date(2026, 1, 2, 3, 4, 5, 600e6, time.UTC)}
	const before, same, after = "Fri, 02 Jan 2026 03:04:04 GMT", "Fri, 02 Jan 2026 03:04:05 GMT", "Fri, 02 Jan 2026 03:04:06 GMT"
	for _, tt := range []struct {
		headers string
		want    code
	}{
		{`If-Match: "aa"`, ""},
		{`If-Match: "bb", "aa"`, ""},
		{`If-Match: aa`, ""},
		{`If-Match: *`, ""},
		{`If-Match: "bb"`, errPreconditionFailed},
		{`If-Match: "aa"|If-Unmodified-Since: ` + before, ""},
		{`If-Unmodified-Since: ` + before, errPreconditionFailed},
		{`If-Unmodified-Since: ` + same, ""},
		{`If-None-Match: "aa"`, errNotModified},
		{`If-None-Match: W/"aa"`, errNotModified},
		{`If-None-Match: *`, errNotModified},
		{`If-None-Match: "bb"|If-Modified-Since: ` + after, ""},
		{`If-Modified-Since: ` + same, errNotModified},
		{`If-Modified-Since: ` + before, ""},
		{`If-Modified-Since: nonsense`, ""},
		{`If-Match: "bb"|If-None-Match: "aa"`, errPreconditionFailed},
		{`If-Match: "aa"|If-None-Match: "aa"`, errNotModified},
	} {
		h := http.Header{}
		for line := range strings.SplitSeq(tt.headers, "|") {
			name, value, _ := strings.Cut(line, ": ")
			h.Add(name, value)
		}
		p := readPreconditions(h)
		if got := codeOf(p.check(v)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.headers, got, tt.want)
		}
		p.neverUnchanged = true
		want := tt.want
		if want == errNotModified {
			want = errPreconditionFailed
		}
		if got := codeOf(p.check(v)); got != want {
			t.Errorf("copy with %s: %q, want %q", tt.headers, got, want)
		}
	}
}

func TestTarget(t *testing.T) {
	t.Parallel()
	domains := []string{"example.com", "s3.example.com"}
	for _, tt := range []struct{ host, uri, bucket, key string }{
		{"127.0.0.1:9001", "/", "", ""},
		{"127.0.0.1:9001", "/b", "b", ""},
		{"127.0.0.1:9001", "/b/", "b", ""},
		{"127.0.0.1:9001", "/b/k", "b", "k"},
		{"127.0.0.1:9001", "/b//k", "b", "/k"},
		{"127.0.0.1:9001", "/b/a//b", "b", "a//b"},
		{"127.0.0.1:9001", "/b/./../k", "b", "./../k"},
		{"127.0.0.1:9001", "/b/%2e%2e/k", "b", "../k"},
		{"127.0.0.1:9001", "/b/k/", "b", "k/"},
		{"127.0.0.1:9001", "/b/a%2Fb%3Fc", "b", "a/b?c"},
		{"b.s3.example.com", "/k", "b", "k"},
		{"B.S3.Example.com:443", "//k", "b", "/k"},
		{"b.s3.example.com", "/", "b", ""},
		{"a.b.s3.example.com", "/k", "a.b", "k"},
		{"s3.example.com", "/b/k", "b", "k"},
		{"b.example.com", "/k", "b", "k"},
		{"evils3.example.org", "/b/k", "b", "k"},
	} {
		u, err := url.ParseRequestURI(tt.uri)
		if err != nil {
			t.Fatal(err)
		}
		got := targetOf(&http.Request{Host: tt.host, URL: u}, domains)
		if got != (target{tt.bucket, tt.key}) {
			t.Errorf("%s%s is %+v", tt.host, tt.uri, got)
		}
	}
}

// No query parameter that names a subresource may end in the plain operation on
// its bucket or object, whatever else the query holds.
func TestSubresourcesNeverFallThrough(t *testing.T) {
	t.Parallel()
	rs := newRoutes()
	plain := map[string]bool{}
	targets := []target{{}, {"bkt", ""}, {"bkt", "key"}}
	methods := []string{"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"}
	for _, tg := range targets {
		for _, m := range methods {
			if op, err := rs.find(m, tg, url.Values{}); err == nil {
				plain[op.name] = true
			}
		}
	}
	for _, tg := range targets {
		for _, m := range methods {
			for _, sel := range selectors {
				op, err := rs.find(m, tg, url.Values{sel: {""}, "x-id": {"PutObject"}})
				if err == nil && plain[op.name] && sel != "partNumber" {
					t.Errorf("%s %+v ?%s is %s", m, tg, sel, op.name)
				}
				if err == nil {
					continue
				}
				if c := codeOf(err); c != errNotImplemented && c != errMethodNotAllowed && c != errInvalidArgument && c != errAccessForbidden && c != errInvalidRequest {
					t.Errorf("%s %+v ?%s: %v", m, tg, sel, err)
				}
			}
		}
	}
	if !plain["PutObject"] || !plain["ListBuckets"] || !plain["DeleteBucket"] {
		t.Errorf("plain operations: %v", plain)
	}
	if _, err := rs.find("PUT", target{"bkt", "key"}, url.Values{"partNumber": {"1"}}); codeOf(err) != errInvalidArgument {
		t.Errorf("a part without its upload: %v", err)
	}
	if _, err := rs.find("GET", target{"bkt", ""}, url.Values{"acl": {""}, "policy": {""}}); codeOf(err) != errInvalidArgument {
		t.Errorf("two subresources: %v", err)
	}
}

func TestEveryCodeHasStatusAndText(t *testing.T) {
	t.Parallel()
	for c, a := range codeTable {
		if a.status < 300 || a.status > 599 || a.text == "" {
			t.Errorf("%s: %+v", c, a)
		}
	}
	for _, s := range sentinels {
		if _, ok := codeTable[s.code]; !ok {
			t.Errorf("%s is not in the table", s.code)
		}
		if got := failureOf(errors.Join(errors.New("op"), s.err)); got.code != s.code {
			t.Errorf("%v is %s", s.err, got.code)
		}
	}
	if c := codeOf(errors.New("anything")); c != errInternalError {
		t.Errorf("unknown error is %s", c)
	}
}

func TestURLEncode(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a/b c+d&e":    "a/b%20c%2Bd%26e",
		"é\x01~*-_.":   "%C3%A9%01~*-_.",
		"100%":         "100%25",
		"photos/2026/": "photos/2026/",
	} {
		if got := urlEncode(in); got != want {
			t.Errorf("urlEncode(%q) = %q", in, got)
		}
		if back, err := url.QueryUnescape(want); err != nil || back != in {
			t.Errorf("%q does not decode: %q, %v", want, back, err)
		}
	}
}

func TestTokensAreTheirOwn(t *testing.T) {
	t.Parallel()
	c := &call{query: url.Values{"t": {encodeToken("some key/")}}}
	if got, err := c.token("t"); err != nil || got != "some key/" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, bad := range []string{"some key", "MQ", "!!!", encodeToken("\xff")} {
		c.query.Set("t", bad)
		if _, err := c.token("t"); codeOf(err) != errInvalidArgument {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestTagging(t *testing.T) {
	t.Parallel()
	got, err := parseTagging("a=1&b=&c%20d=x%2By")
	if err != nil || len(got) != 3 || got["c d"] != "x+y" || got["a"] != "1" {
		t.Errorf("got %v, %v", got, err)
	}
	for in, want := range map[string]code{
		"a=1&a=2":                       errInvalidArgument,
		"%zz=1":                         errInvalidArgument,
		"=1":                            errInvalidArgument,
		"aws:x=1":                       errInvalidTag,
		"a=" + strings.Repeat("v", 257): errInvalidTag,
		strings.Repeat("k", 129) + "=v": errInvalidTag,
		"a=%3Cb%3E":                     errInvalidTag,
		"1&2&3&4&5&6&7&8&9&10&11":       errBadRequest,
	} {
		if _, err := parseTagging(in); codeOf(err) != want {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
}

func TestXMLIsReadStrictly(t *testing.T) {
	t.Parallel()
	var r deleteRequest
	for _, in := range []string{
		`<Delete><Object><Key>a&amp;b</Key></Object></Delete>`,
		`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<Delete xmlns="` + xmlNamespace + `"><Object><Key>a&amp;b</Key></Object></Delete>` + "\n",
	} {
		r = deleteRequest{}
		if err := parseXML([]byte(in), "Delete", &r); err != nil || len(r.Objects) != 1 || r.Objects[0].Key != "a&b" {
			t.Errorf("%s: %+v, %v", in, r, err)
		}
	}
	for _, in := range []string{
		``, `junk`, `<Delete>`, `<Other/>`, `<Delete/>x`, `<Delete/><Delete/>`, `<Delete xmlns="http://other/"/>`,
		`<!DOCTYPE x [<!ENTITY e "v">]><Delete/>`, `<Delete><Quiet>perhaps</Quiet></Delete>`, `<Delete>&e;</Delete>`,
		"<Delete><Object><Key>\x01</Key></Object></Delete>",
		`<Delete><Object><Key>k</Key><versionId>null</versionId></Object></Delete>`, `<Delete><Object><Key>k</Key><Key>l</Key></Object></Delete>`,
		`<Delete><Quiet>true</Quiet><Quiet>false</Quiet></Delete>`, `<Delete><Object><Key>k<b/></Key></Object></Delete>`,
		strings.Repeat("<Delete>", 100_000),
	} {
		if err := parseXML([]byte(in), "Delete", &r); codeOf(err) != errMalformedXML {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// What a configuration says by a name that there is not must not be passed over:
// the rest of it may mean the contrary.
func TestUnknownElementsAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		root, body string
		into       any
		fine       bool
	}{
		{"LifecycleConfiguration", `<Rule><ID>x</ID><Status>Enabled</Status><Filter><And><Prefix>a</Prefix><Tag><Key>k</Key><Value>v</Value></Tag><Tag><Key>l</Key><Value>v</Value></Tag></And></Filter><Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition><Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration></Rule><Rule/>`, &lifecycle.Config{}, true},
		{"LifecycleConfiguration", `<Rule><Filter><prefix>logs/</prefix></Filter></Rule>`, &lifecycle.Config{}, false},
		{"LifecycleConfiguration", `<Rule><Filter><Prefix>logs/</Prefix><Prefix></Prefix></Filter></Rule>`, &lifecycle.Config{}, false},
		{"PublicAccessBlockConfiguration", `<BlockPublicAcls>true</BlockPublicAcls>`, &publicAccessBlock{}, true},
		{"PublicAccessBlockConfiguration", `<BlockPublicACLs>true</BlockPublicACLs>`, &publicAccessBlock{}, false},
		{"ObjectLockConfiguration", `<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>1</Days></DefaultRetention></Rule>`, &lockConfiguration{}, true},
		{"ObjectLockConfiguration", `<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rules><DefaultRetention/></Rules>`, &lockConfiguration{}, false},
		{"NotificationConfiguration", `<QueueConfiguration><Id>x</Id><Queue>q</Queue><Event>e</Event><Event>f</Event><Filter><S3Key><FilterRule><Name>prefix</Name><Value>v</Value></FilterRule><FilterRule><Name>suffix</Name><Value>v</Value></FilterRule></S3Key></Filter></QueueConfiguration><EventBridgeConfiguration/>`, &notify.Config{}, true},
		{"NotificationConfiguration", `<QueueConfiguration><Filter><S3Keys/></Filter></QueueConfiguration>`, &notify.Config{}, false},
		{"AccessControlPolicy", `<Owner><ID>a</ID><DisplayName>A</DisplayName></Owner><AccessControlList><Grant><Grantee><ID>a</ID><DisplayName>A</DisplayName></Grantee><Permission>READ</Permission></Grant></AccessControlList>`, &accessControlPolicy{}, true},
		{"CompleteMultipartUpload", `<Part><PartNumber>1</PartNumber><ETag>e</ETag><Size>5</Size><LastModified>t</LastModified></Part>`, &completeRequest{}, true},
		{"CreateBucketConfiguration", `<Tags><Tag><Key>k</Key><Value>v</Value></Tag><Tag><Key>l</Key><Value>v</Value></Tag></Tags><Location><Name>n</Name></Location>`, &createBucketRequest{}, true},
		{"ServerSideEncryptionConfiguration", `<Rule><BlockedEncryptionTypes><EncryptionType>NONE</EncryptionType></BlockedEncryptionTypes></Rule>`, &encryptionConfiguration{}, true},
	} {
		err := parseXML([]byte("<"+c.root+` xmlns="`+xmlNamespace+`">`+c.body+"</"+c.root+">"), c.root, c.into)
		if (err == nil) != c.fine || err != nil && codeOf(err) != errMalformedXML {
			t.Errorf("%s: %v", c.body, err)
		}
	}
}

func FuzzXML(f *testing.F) {
	f.Add([]byte(`<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"a"</ETag></Part></CompleteMultipartUpload>`))
	f.Add([]byte(`<Delete><Quiet>true</Quiet><Object><Key>a</Key></Object></Delete>`))
	f.Fuzz(func(t *testing.T, in []byte) {
		var c completeRequest
		if parseXML(in, "CompleteMultipartUpload", &c) == nil {
			if parts, err := c.parts(); err == nil {
				for i, p := range parts {
					if p.Number < 1 || p.Number > MaxParts || i > 0 && p.Number <= parts[i-1].Number {
						t.Fatalf("parts %+v", parts)
					}
				}
			}
		}
		var d deleteRequest
		_ = parseXML(in, "Delete", &d)
		_, _ = readACL(in)
	})
}

// What is written as XML must come back as it was, wherever XML has a form for
// it.
func FuzzEscape(f *testing.F) {
	f.Add("a<b>&\"'\x01é\uffff\t\r\n ")
	f.Fuzz(func(t *testing.T, in string) {
		d := newDocument("Doc")
		d.elem("Key", in)
		out := d.bytes()
		var back struct{ Key string }
		if err := xml.Unmarshal(out, &back); err != nil {
			if strings.ContainsFunc(in, func(r rune) bool { return r < 0x20 || r == 0xFFFE || r == 0xFFFF }) {
				return // a character reference that XML 1.0 does not allow, as S3 sends it
			}
			t.Fatalf("%q: %v\n%s", in, err, out)
		}
		if want := strings.ToValidUTF8(in, "\uFFFD"); strings.ToValidUTF8(back.Key, "") != want && !strings.Contains(want, "\uFFFD") {
			t.Fatalf("%q came back as %q", in, back.Key)
		}
	})
}

func FuzzRange(f *testing.F) {
	f.Add("bytes=0-5", int64(10))
	f.Add("bytes=-5", int64(0))
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		off, n, ok, err := parseRange(header, size)
		if ok && (err != nil || off < 0 || n < 1 || off+n > size) {
			t.Fatalf("parseRange(%q, %d) = %d, %d, %v", header, size, off, n, err)
		}
		if off, n, err := copyRange(header, size); err == nil && (off < 0 || n < 0 || off+n > size) {
			t.Fatalf("copyRange(%q, %d) = %d, %d", header, size, off, n)
		}
	})
}

func FuzzCopySource(f *testing.F) {
	f.Add("/bucket/key?versionId=1")
	f.Add("bucket/%2e%2e/x")
	f.Fuzz(func(t *testing.T, in string) {
		ref, err := parseCopySource(in)
		if err == nil && (metadata.CheckBucketName(ref.Bucket) != nil || metadata.CheckKey(ref.Key) != nil) {
			t.Fatalf("%q is %+v", in, ref)
		}
		splitETags(in)
		_, _ = parseTagging(in)
	})
}

// Whatever the path, the target is the path's own text: nothing is cleaned,
// joined or redirected.
func FuzzRoute(f *testing.F) {
	f.Add("GET", "/bucket/a//../b", "acl")
	f.Add("PUT", "/", "uploadId=x&partNumber=1")
	rs := newRoutes()
	f.Fuzz(func(t *testing.T, method, uri, query string) {
		u, err := url.ParseRequestURI(uri)
		if err != nil {
			return
		}
		tg := targetOf(&http.Request{Host: "h", URL: u}, nil)
		if whole := strings.TrimPrefix(u.Path, "/"); whole != tg.bucket && whole != tg.bucket+"/"+tg.key {
			t.Fatalf("%q is %+v", u.Path, tg)
		}
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		if op, err := rs.find(method, tg, q); (op == nil) == (err == nil) {
			t.Fatalf("%s %s ?%s: %v, %v", method, uri, query, op, err)
		}
	})
}

// A writer must see the file itself behind the limit, or the kernel cannot send
// it.
func TestResponsePassesTheSourceOn(t *testing.T) {
	t.Parallel()
	rec := &readFromRecorder{ResponseRecorder: httptest.NewRecorder()}
	w := newResponse(rec, testMetrics(), time.Minute)
	src := bytes.NewReader(bytes.Repeat([]byte("x"), 3*sendChunk+7))
	n, err := w.ReadFrom(&onlyReader{src})
	if err != nil || n != 3*sendChunk+7 || w.bytes != n || rec.Body.Len() != int(n) {
		t.Errorf("sent %d, %v", n, err)
	}
	if len(rec.sources) == 0 {
		t.Error("the writer below was not asked to read from the source")
	}
	for _, s := range rec.sources {
		if l, ok := s.(*onlyReader); !ok {
			t.Errorf("source is %T", l)
		}
	}
	src.Reset(make([]byte, 3*sendChunk))
	rec.Body.Reset()
	if n, err := w.ReadFrom(&limited{R: &onlyReader{src}, N: sendChunk + 1}); n != sendChunk+1 || err != nil {
		t.Errorf("sent %d, %v", n, err)
	}
}
