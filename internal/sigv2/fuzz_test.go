package sigv2_test

import (
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"meridian/internal/sigv2"
)

// FuzzRead: what is read holds a claim or is malformed, whatever came, and nobody
// gets in by what was not signed.
func FuzzRead(f *testing.F) {
	f.Add("AWS "+docKey+":bWq2s1WEIj+Ydj0vQ697zp+IXMU=", "/bucket/key", "acl")
	f.Add("", "/bucket/a b", "AWSAccessKeyId="+docKey+"&Expires=2000000000&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&versionId=1")
	f.Add("AWS a:b:c", "*", "%zz&;")
	f.Fuzz(func(t *testing.T, authorization, path, query string) {
		r := &http.Request{
			Method: http.MethodGet, Host: "s3.test", URL: &url.URL{Path: path, RawQuery: query},
			Header: http.Header{"Authorization": {authorization}, "Date": {"Tue, 27 Mar 2007 19:36:42 +0000"}},
		}
		c, ok, err := sigv2.Read(r)
		if err != nil && (!ok || !errors.Is(err, sigv2.ErrMalformed)) {
			t.Fatalf("%v is no refusal of a claim", err)
		}
		if !ok || err != nil {
			return
		}
		if c.AccessKey == "" {
			t.Fatalf("a claim without a key: %+v", c)
		}
		if c.Verify(r, "a secret that no seed was signed with", "", signed, time.Date(2007, 3, 27, 19, 37, 0, 0, time.UTC)) == nil {
			t.Fatalf("%q, %q %q got in", authorization, path, query)
		}
	})
}
