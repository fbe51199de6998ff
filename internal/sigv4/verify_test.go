package sigv4

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func signer() Signer { return Signer{AccessKey: docKey, Secret: docSecret, Region: "europe"} }

func verifier() *Verifier {
	v := docVerifier(docTime())
	v.Regions = []string{"europe", "asia"}
	return v
}

// signedGet is a header-signed request with a bit of everything.
func signedGet() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://s3.test:9001/bucket/a//b/./c?prefix=a+b&list-type=2&empty", nil)
	r.Header.Set("Range", "bytes=0-9")
	r.Header.Add("X-Amz-Meta-A", "  one   two ")
	r.Header.Add("X-Amz-Meta-A", "three")
	signer().Sign(r, EmptyPayload, docTime())
	return r
}

func presignedGet(expires time.Duration) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://s3.test:9001/bucket/a%20b+c/%C3%BC.jpg?versionId=null", nil)
	signer().Presign(r, expires, docTime())
	return r
}

// TestTampering changes every element of good requests: each change must be
// refused, for the reason that a client is to be told.
func TestTampering(t *testing.T) {
	t.Parallel()
	replace := func(old, repl string) func(*http.Request) {
		return func(r *http.Request) {
			a := r.Header.Get("Authorization")
			if !strings.Contains(a, old) {
				panic(old)
			}
			r.Header.Set("Authorization", strings.Replace(a, old, repl, 1))
		}
	}
	target := func(old, repl string) func(*http.Request) {
		return func(r *http.Request) {
			if !strings.Contains(r.RequestURI, old) {
				panic(old)
			}
			r.RequestURI = strings.Replace(r.RequestURI, old, repl, 1)
			r.URL, _ = url.ParseRequestURI(r.RequestURI)
		}
	}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	const date, zeros = "X-Amz-Date", "0000000000000000000000000000000000000000000000000000000000000000"
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		want   error
	}{
		{"nothing", func(*http.Request) {}, nil},
		{"method", func(r *http.Request) { r.Method = http.MethodDelete }, ErrSignatureMismatch},
		{"host", func(r *http.Request) { r.Host = "other.test:9001" }, ErrSignatureMismatch},
		{"port", func(r *http.Request) { r.Host = "s3.test:9002" }, ErrSignatureMismatch},
		{"path", target("/bucket/", "/bucket2/"), ErrSignatureMismatch},
		{"path normalised", target("//b/./c", "/b/c"), ErrSignatureMismatch},
		{"query value", target("a+b", "a+c"), ErrSignatureMismatch},
		{"query name", target("empty", "empt"), ErrSignatureMismatch},
		{"query added", target("&empty", "&empty&acl"), ErrSignatureMismatch},
		{"query doubled", target("&empty", "&empty&empty"), ErrSignatureMismatch},
		{"query encoded otherwise", target("a+b", "%61%20b"), nil},
		{"query reordered", target("prefix=a+b&list-type=2", "list-type=2&prefix=a+b"), nil},
		{"signed header", header("Range", "bytes=0-10"), ErrSignatureMismatch},
		{"signed header gone", func(r *http.Request) { r.Header.Del("Range") }, ErrSignatureMismatch},
		{"spaces in a value", func(r *http.Request) { r.Header["X-Amz-Meta-A"] = []string{"one two", " three"} }, nil},
		{"values reordered", func(r *http.Request) { r.Header["X-Amz-Meta-A"] = []string{"three", "one two"} }, ErrSignatureMismatch},
		{"payload hash", header("X-Amz-Content-Sha256", UnsignedPayload), ErrSignatureMismatch},
		{"payload hash gone", func(r *http.Request) { r.Header.Del("X-Amz-Content-Sha256") }, ErrInvalidContentSHA256},
		{"payload hash odd", header("X-Amz-Content-Sha256", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"), ErrInvalidContentSHA256},
		{"unsigned header", header("Accept", "*/*"), nil},
		{"unsigned x-amz header", header("X-Amz-Acl", "public-read"), ErrUnsignedHeaders},
		{"date", header(date, "20130524T000001Z"), ErrSignatureMismatch},
		{"date of another day", header(date, "20130523T235959Z"), ErrMalformed},
		{"date skewed", header(date, "20130524T001501Z"), ErrSkewed},
		{"date odd", header(date, "yesterday"), ErrMissingDate},
		{"date gone", func(r *http.Request) { r.Header.Del(date) }, ErrMissingDate},
		{"access key", replace(docKey, "AKIAOTHER"), ErrUnknownAccessKey},
		{"scope date", replace("/20130524/", "/20130523/"), ErrMalformed},
		{"scope region, known", replace("/europe/", "/asia/"), ErrSignatureMismatch},
		{"scope region, unknown", replace("/europe/", "/mars/"), ErrMalformed},
		{"scope service", replace("/s3/", "/ec2/"), ErrMalformed},
		{"scope end", replace("aws4_request", "aws5_request"), ErrMalformed},
		{"scope short", replace(docKey+"/", ""), ErrMalformed},
		{"algorithm", replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), ErrUnsupportedAlgorithm},
		{"version 2", header("Authorization", "AWS key:signature"), ErrUnsupportedAlgorithm},
		{"no credentials", func(r *http.Request) { r.Header.Del("Authorization") }, ErrNoCredentials},
		{"two mechanisms", target("?", "?X-Amz-Signature="+zeros+"&"), ErrSeveralMechanisms},
		{"signature", func(r *http.Request) {
			a := r.Header.Get("Authorization")
			r.Header.Set("Authorization", a[:len(a)-64]+zeros)
		}, ErrSignatureMismatch},
		{"signature short", func(r *http.Request) {
			a := r.Header.Get("Authorization")
			r.Header.Set("Authorization", a[:len(a)-1])
		}, ErrMalformed},
		{"signed headers without host", replace("=host;", "="), ErrUnsignedHeaders},
		{"signed headers without one of ours", replace(";x-amz-meta-a", ""), ErrUnsignedHeaders},
		{"signed headers without range", replace(";range", ""), ErrSignatureMismatch},
		{"signed headers twice", replace("=host;", "=host;host;"), ErrMalformed},
		{"signed headers upper case", replace("=host;", "=Host;"), ErrMalformed},
		{"element twice", replace("SignedHeaders=", "Signature=1, SignedHeaders="), ErrMalformed},
		{"element unknown", replace("SignedHeaders=", "Signed="), ErrMalformed},
		{"spaces around elements", func(r *http.Request) {
			a := strings.ReplaceAll(r.Header.Get("Authorization"), ", ", " ,\t ")
			r.Header.Set("Authorization", strings.Replace(a, " Credential", "   Credential", 1))
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := signedGet()
			c.change(r)
			auth, err := verifier().Verify(r)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err == nil {
				return
			}
			if e := new(Error); auth != nil || !errors.As(err, &e) || e.Code == "" || e.Message == "" {
				t.Errorf("auth %v, error %#v", auth, err)
			}
		})
	}
}

func TestWrongRegionNamesTheRightOne(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/b/k", nil)
	Signer{AccessKey: docKey, Secret: docSecret, Region: "eu-central-1"}.Sign(r, EmptyPayload, docTime())
	_, err := verifier().Verify(r)
	var e *Error
	if !errors.As(err, &e) || e.Code != "AuthorizationHeaderMalformed" || e.Region != "europe" {
		t.Fatalf("%#v", err)
	}
}

func TestKeyFuncErrorPassesThrough(t *testing.T) {
	t.Parallel()
	v := verifier()
	down := errors.New("database is down")
	v.Keys = func(_ context.Context, _ Scope) ([]byte, error) { return nil, down }
	if _, err := v.Verify(signedGet()); !errors.Is(err, down) || errors.Is(err, ErrUnknownAccessKey) {
		t.Fatal(err)
	}
}

// A Date may stand in for X-Amz-Date.
func TestDateHeader(t *testing.T) {
	t.Parallel()
	for date, want := range map[string]error{
		"Fri, 24 May 2013 00:00:00 GMT": nil, "Fri, 24 May 2013 00:00:00 -0000": nil, "20130524T000000Z": nil,
		"Fri, 24 May 2013 00:00:01 GMT": ErrSignatureMismatch, "Fri, 24 May 2013 01:00:00 GMT": ErrSkewed, "Fri, 24 May": ErrMissingDate, "": ErrMissingDate,
	} {
		r := httptest.NewRequest(http.MethodGet, "http://s3.test:9001/bucket/k", nil)
		r.Header.Set("X-Amz-Content-Sha256", UnsignedPayload)
		signed, scope := signedHeaders(r), signer().scope(docTime())
		r.Header.Set("Date", date)
		r.Header.Set("Authorization", algorithm+" Credential="+docKey+"/"+string(scope.appendTo(nil))+", SignedHeaders="+signed+
			", Signature="+signer().signature(r, rawQuery(r), scope, signed, UnsignedPayload, docTime()))
		if _, err := verifier().Verify(r); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", date, err, want)
		}
	}
}

func TestPresignedLife(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		at   time.Duration
		want error
	}{
		{-MaxSkew - time.Second, ErrNotYetValid},
		{-MaxSkew, nil},
		{0, nil},
		{time.Hour, nil},
		{time.Hour + time.Second, ErrExpired},
	} {
		v := verifier()
		v.Now = func() time.Time { return docTime().Add(c.at) }
		auth, err := v.Verify(presignedGet(time.Hour))
		if !errors.Is(err, c.want) {
			t.Errorf("%v after signing: %v, want %v", c.at, err, c.want)
		}
		if err == nil && (!auth.Presigned || !auth.Expires.Equal(docTime().Add(time.Hour))) {
			t.Errorf("%+v", auth)
		}
	}
}

func TestPresignedTampering(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, old, repl string
		want            error
	}{
		{"nothing", "GET", "GET", nil},
		{"path", "/bucket/a", "/bucket/b", ErrSignatureMismatch},
		{"path encoded otherwise", "a%20b+c", "a%20b%2Bc", nil},
		{"plus is no space in a path", "a%20b+c", "a+b+c", ErrSignatureMismatch},
		{"query", "versionId=null", "versionId=1", ErrSignatureMismatch},
		{"query added", "versionId=null", "versionId=null&response-content-type=text/html", ErrSignatureMismatch},
		{"longer life", "X-Amz-Expires=3600", "X-Amz-Expires=3601", ErrSignatureMismatch},
		{"too long a life", "X-Amz-Expires=3600", "X-Amz-Expires=604801", ErrMalformed},
		{"no life", "X-Amz-Expires=3600", "X-Amz-Expires=0", ErrExpired},
		{"odd life", "X-Amz-Expires=3600", "X-Amz-Expires=1h", ErrMalformed},
		{"life gone", "&X-Amz-Expires=3600", "", ErrMalformed},
		{"life twice", "X-Amz-Expires=3600", "X-Amz-Expires=3600&X-Amz-Expires=3600", ErrMalformed},
		{"date", "X-Amz-Date=20130524T000000Z", "X-Amz-Date=20130524T000001Z", ErrSignatureMismatch},
		{"date odd", "X-Amz-Date=20130524T000000Z", "X-Amz-Date=2013-05-24", ErrMalformed},
		{"algorithm", "=AWS4-HMAC-SHA256", "=AWS4-HMAC-SHA1", ErrMalformed},
		{"version 2", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Feurope%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature=", "AWSAccessKeyId=A&Expires=1&Signature=", ErrUnsupportedAlgorithm},
		{"token added", "versionId=null", "versionId=null&X-Amz-Security-Token=t", ErrSignatureMismatch},
		{"x-amz header added", " HTTP/1.1", " HTTP/1.1\r\nx-amz-acl: public-read", ErrUnsignedHeaders},
		{"other header added", " HTTP/1.1", " HTTP/1.1\r\nRange: bytes=0-1", nil},
		{"harmless payload header", " HTTP/1.1", " HTTP/1.1\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD", nil},
		{"payload header of no hash", " HTTP/1.1", " HTTP/1.1\r\nx-amz-content-sha256: none", ErrSignatureMismatch},
		{"chunked payload header", " HTTP/1.1", " HTTP/1.1\r\nx-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER", ErrUnsignedHeaders},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := presignedGet(time.Hour)
			text := wire("", "GET "+r.RequestURI+" HTTP/1.1", "Host: s3.test:9001")
			if !strings.Contains(text, c.old) {
				t.Fatalf("no %q in %s", c.old, text)
			}
			if _, err := verifier().Verify(parse(t, strings.Replace(text, c.old, c.repl, 1))); !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestBodyHash(t *testing.T) {
	t.Parallel()
	const hash = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
	for _, c := range []struct {
		name, hash, body string
		length           int64
		want             error
	}{
		{"right", hash, "Welcome to Amazon S3.", 21, nil},
		{"right, upper case, unknown length", strings.ToUpper(hash), "Welcome to Amazon S3.", -1, nil},
		{"other bytes", hash, "Welcome to Amazon S4.", 21, ErrContentSHA256},
		{"cut short", hash, "Welcome", 21, ErrIncompleteBody},
		{"cut short, unsigned", UnsignedPayload, "Welcome", 21, ErrIncompleteBody},
		{"longer", UnsignedPayload, "Welcome to Amazon S3.", 7, ErrIncompleteBody},
		{"unsigned", UnsignedPayload, "anything", 8, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPut, "/b/k", strings.NewReader(c.body))
			r.ContentLength = c.length
			signer().Sign(r, c.hash, docTime())
			auth, err := verifier().Verify(r)
			if err != nil {
				t.Fatal(err)
			}
			body, length, err := auth.Body(r)
			if err != nil || length != c.length {
				t.Fatal(length, err)
			}
			if _, err = io.ReadAll(body); !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestPresent(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]bool{
		"/b/k": false, "/b/k?prefix=X-Amz-Signature": false,
		"/b/k?x&X-Amz-Signature=1": true, "/b/k?AWSAccessKeyId=1": true,
	} {
		if got := Present(httptest.NewRequest(http.MethodGet, target, nil)); got != want {
			t.Errorf("%s: %v", target, got)
		}
	}
	for header, want := range map[string]bool{
		"Bearer AWS4-HMAC-SHA256": false, "Basic x": false, "AWS k:s": true,
		"AWS4-HMAC-SHA256 Credential=": true, "AWS4-ECDSA-P256-SHA256 x": true,
	} {
		r := httptest.NewRequest(http.MethodGet, "/b/k", nil)
		r.Header.Set("Authorization", header)
		if got := Present(r); got != want {
			t.Errorf("%s: %v", header, got)
		}
	}
}

func BenchmarkVerifyHeader(b *testing.B) {
	r := signedGet()
	v := verifier()
	key := DeriveKey(docSecret, "20130524", "europe", "s3")
	v.Keys = func(context.Context, Scope) ([]byte, error) { return key, nil }
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyPresigned(b *testing.B) {
	r := presignedGet(time.Hour)
	v := verifier()
	key := DeriveKey(docSecret, "20130524", "europe", "s3")
	v.Keys = func(context.Context, Scope) ([]byte, error) { return key, nil }
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(r); err != nil {
			b.Fatal(err)
		}
	}
}
