package sigv2_test

import (
	"bufio"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/internal/sigv2"
)

// The examples of AWS's documentation.
const (
	docKey    = "AKIAIOSFODNN7EXAMPLE"
	docSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

func signed(param string) bool {
	return slices.Contains([]string{"acl", "uploads", "versionId"}, param)
}

func parse(t *testing.T, text string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n") + "\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func verify(t *testing.T, text, bucket string, now time.Time) error {
	t.Helper()
	r := parse(t, text)
	c, ok, err := sigv2.Read(r)
	if !ok {
		t.Fatalf("no credentials in %s", text)
	}
	if err != nil {
		return err
	}
	if c.AccessKey != docKey {
		t.Errorf("access key %q", c.AccessKey)
	}
	return c.Verify(r, docSecret, bucket, signed, now)
}

func TestDocumentedRequests(t *testing.T) {
	t.Parallel()
	march := time.Date(2007, 3, 27, 19, 40, 0, 0, time.UTC)
	for name, c := range map[string]struct{ bucket, text string }{
		"GET": {"awsexamplebucket1", "GET /photos/puppy.jpg HTTP/1.1\nHost: awsexamplebucket1.us-west-1.s3.amazonaws.com\nDate: Tue, 27 Mar 2007 19:36:42 +0000\n" +
			"Authorization: AWS AKIAIOSFODNN7EXAMPLE:qgk2+6Sv9/oM7G3qLEjTH1a1l1g="},
		"PUT": {"awsexamplebucket1", "PUT /photos/puppy.jpg HTTP/1.1\nContent-Type: image/jpeg\nContent-Length: 94328\nHost: awsexamplebucket1.s3.us-west-1.amazonaws.com\nDate: Tue, 27 Mar 2007 21:15:45 +0000\n" +
			"Authorization: AWS AKIAIOSFODNN7EXAMPLE:iqRzw+ileNPu1fhspnRs8nOjjIA="},
		"list": {"awsexamplebucket1", "GET /?prefix=photos&max-keys=50&marker=puppy HTTP/1.1\nUser-Agent: Mozilla/5.0\nHost: awsexamplebucket1.s3.us-west-1.amazonaws.com\nDate: Tue, 27 Mar 2007 19:42:41 +0000\n" +
			"Authorization: AWS AKIAIOSFODNN7EXAMPLE:m0WP8eCtspQl5Ahe6L1SozdX9YA="},
		"acl": {"awsexamplebucket1", "GET /?acl HTTP/1.1\nHost: awsexamplebucket1.s3.us-west-1.amazonaws.com\nDate: Tue, 27 Mar 2007 19:44:46 +0000\n" +
			"Authorization: AWS AKIAIOSFODNN7EXAMPLE:82ZHiFIjc+WbcwFKGUVEQspPn+0="},
	} {
		now := march
		if name == "PUT" {
			now = time.Date(2007, 3, 27, 21, 15, 50, 0, time.UTC)
		}
		if err := verify(t, c.text, c.bucket, now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for what, changed := range map[string]string{
			"path":      strings.Replace(c.text, " /", " /x", 1),
			"method":    strings.Replace(strings.Replace(c.text, "GET", "HEAD", 1), "PUT /", "DELETE /", 1),
			"parameter": strings.Replace(strings.Replace(c.text, " /?", " /?uploads&", 1), "puppy.jpg", "puppy.jpg?versionId=x", 1),
			"header":    strings.Replace(c.text, "\nHost:", "\nX-Amz-Acl: public-read\nHost:", 1),
			"signature": strings.Replace(strings.Replace(c.text, "EXAMPLE:", "EXAMPLE:A", 1), "=", "", 1),
		} {
			if err := verify(t, changed, c.bucket, now); !errors.Is(err, sigv2.ErrMismatch) && !errors.Is(err, sigv2.ErrMalformed) {
				t.Errorf("%s with another %s: %v", name, what, err)
			}
		}
		if err := verify(t, c.text, c.bucket, now.Add(time.Hour)); !errors.Is(err, sigv2.ErrSkewed) {
			t.Errorf("%s an hour later: %v", name, err)
		}
	}
}

func TestDocumentedURL(t *testing.T) {
	t.Parallel()
	const text = "GET /photos/puppy.jpg?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=1175139620 HTTP/1.1\nHost: awsexamplebucket1.s3.us-west-1.amazonaws.com"
	// The one in the documentation is of an older name of the bucket.
	ends := time.Unix(1175139620, 0)
	if err := verify(t, text, "johnsmith", ends); err != nil {
		t.Errorf("in its last second: %v", err)
	}
	if err := verify(t, text, "johnsmith", ends.Add(time.Second)); !errors.Is(err, sigv2.ErrExpired) {
		t.Errorf("after its end: %v", err)
	}
	for _, changed := range []string{
		strings.Replace(text, "Expires=1175139620", "Expires=1999999999", 1), strings.Replace(text, "puppy", "kitten", 1),
		strings.Replace(text, "GET", "PUT", 1), strings.Replace(text, "?", "?versionId=1&", 1),
	} {
		if err := verify(t, changed, "johnsmith", ends); !errors.Is(err, sigv2.ErrMismatch) {
			t.Errorf("%s: %v", changed, err)
		}
	}
}

func TestWhatNoSignerMakes(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"GET / HTTP/1.1\nHost: s3\nAuthorization: AWS seed_signature",
		"GET / HTTP/1.1\nHost: s3\nAuthorization: AWS key:short",
		"GET / HTTP/1.1\nHost: s3\nAuthorization: AWS :qgk2+6Sv9/oM7G3qLEjTH1a1l1g=",
		"GET /?AWSAccessKeyId=key&Expires=1&Signature=my-signature HTTP/1.1\nHost: s3",
		"GET /?AWSAccessKeyId=key&Expires=soon&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D HTTP/1.1\nHost: s3",
	} {
		if _, ok, err := sigv2.Read(parse(t, text)); !ok || !errors.Is(err, sigv2.ErrMalformed) {
			t.Errorf("%s: %v, %v", text, ok, err)
		}
	}
	if _, ok, err := sigv2.Read(parse(t, "GET / HTTP/1.1\nHost: s3\nAuthorization: AWS4-HMAC-SHA256 x")); ok || err != nil {
		t.Errorf("version 4 is taken for 2: %v", err)
	}
	if err := sigv2.VerifyPolicy("secret", "e30=", "qgk2+6Sv9/oM7G3qLEjTH1a1l1g="); !errors.Is(err, sigv2.ErrMismatch) {
		t.Error(err)
	}
}
