package s3api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const app = "https://app.example.com"

func TestPagesOfOtherOriginsByDefault(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/photos", nil)
	w.must("PUT", "/photos/k", []byte("hello"))
	r := w.do(user{}, "OPTIONS", "/photos/k", nil, "Origin: "+app, "Access-Control-Request-Method: PUT",
		"Access-Control-Request-Headers: authorization, x-amz-meta-title, content-type")
	if r.status != http.StatusOK || r.header.Get("Access-Control-Allow-Origin") != "*" ||
		r.header.Get("Access-Control-Allow-Headers") != "authorization, x-amz-meta-title, content-type" ||
		!strings.Contains(r.header.Get("Access-Control-Allow-Methods"), "PUT") {
		t.Errorf("preflight: %d %v %s", r.status, r.header, r.body)
	}
	for _, r := range []reply{
		w.do(root, "GET", "/photos/k", nil, "Origin: "+app),
		w.do(root, "PUT", "/photos/k2", []byte("x"), "Origin: "+app),
		w.refused(user{}, 403, "AccessDenied", "GET", "/photos/k", nil, "Origin: "+app),
		w.refused(root, 404, "NoSuchKey", "GET", "/photos/none", nil, "Origin: "+app),
		w.refused(root, 404, "NoSuchBucket", "GET", "/nowhere/none", nil, "Origin: "+app),
	} {
		if r.header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(r.header.Get("Access-Control-Expose-Headers"), "ETag") {
			t.Errorf("answer %d cannot be read: %v", r.status, r.header)
		}
		if r.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Error("credentials are let in")
		}
	}
	w.refused(user{}, 400, "BadRequest", "OPTIONS", "/photos/k", nil, "Access-Control-Request-Method: PUT")
	w.refused(user{}, 400, "BadRequest", "OPTIONS", "/photos/k", nil, "Origin: "+app)
	w.refused(user{}, 403, "AccessForbidden", "OPTIONS", "/nowhere/k", nil, "Origin: "+app, "Access-Control-Request-Method: PUT")
	// A browser must not give the page what it kept for an <img>.
	if r := w.must("GET", "/photos/k", nil); !strings.Contains(r.header.Get("Vary"), "Origin") {
		t.Errorf("without an Origin: %v", r.header)
	}
}

func TestCORSConfiguration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/photos", nil)
	w.must("PUT", "/photos/k", []byte("hello"))
	c, bucket := w.aws(root), aws.String("photos")
	w.refused(root, 404, "NoSuchCORSConfiguration", "GET", "/photos?cors", nil)
	rules := []types.CORSRule{{
		ID: aws.String("the app"), AllowedOrigins: []string{app}, AllowedMethods: []string{"GET", "PUT"},
		AllowedHeaders: []string{"content-*"}, ExposeHeaders: []string{"ETag"}, MaxAgeSeconds: aws.Int32(60),
	}, {AllowedOrigins: []string{"http://*.test"}, AllowedMethods: []string{"GET"}}}
	put := func(rules []types.CORSRule) error {
		_, err := c.PutBucketCors(t.Context(), &s3.PutBucketCorsInput{Bucket: bucket, CORSConfiguration: &types.CORSConfiguration{CORSRules: rules}})
		return err
	}
	if err := put(rules); err != nil {
		t.Fatal(err)
	}
	got, err := c.GetBucketCors(t.Context(), &s3.GetBucketCorsInput{Bucket: bucket})
	if err != nil || len(got.CORSRules) != 2 || aws.ToString(got.CORSRules[0].ID) != "the app" || aws.ToInt32(got.CORSRules[0].MaxAgeSeconds) != 60 ||
		got.CORSRules[1].AllowedOrigins[0] != "http://*.test" || got.CORSRules[1].MaxAgeSeconds != nil {
		t.Fatalf("GetBucketCors = %+v, %v", got, err)
	}
	if err := put([]types.CORSRule{{AllowedOrigins: []string{"*"}, AllowedMethods: []string{"PATCH"}}}); err == nil || !strings.Contains(err.Error(), "Unsupported method is PATCH") {
		t.Errorf("PATCH: %v", err)
	}
	w.refused(root, 400, "InvalidRequest", "PUT", "/photos?cors", []byte(`<CORSConfiguration/>`)) // no Content-MD5 either
	w.refused(reader, 403, "AccessDenied", "DELETE", "/photos?cors", nil)

	r := w.do(user{}, "OPTIONS", "/photos/k", nil, "Origin: "+app, "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: content-type")
	if r.status != 200 || r.header.Get("Access-Control-Allow-Origin") != app || r.header.Get("Access-Control-Max-Age") != "60" {
		t.Errorf("preflight: %d %v", r.status, r.header)
	}
	e := w.refused(user{}, 403, "AccessForbidden", "OPTIONS", "/photos/k", nil, "Origin: "+app, "Access-Control-Request-Method: DELETE")
	if e.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("refused, and let in: %v", e.header)
	}
	if r := w.must("GET", "/photos/k", nil, "Origin: "+app); r.header.Get("Access-Control-Allow-Origin") != app || !strings.Contains(r.header.Get("Vary"), "Origin") {
		t.Errorf("GET: %v", r.header)
	}
	if r := w.must("GET", "/photos/k", nil, "Origin: https://other.example.com"); r.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("GET of another origin: %v", r.header)
	}
	w.must("DELETE", "/photos?cors", nil)
	if r := w.must("GET", "/photos/k", nil, "Origin: "+app); r.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("GET without rules: %v", r.header)
	}
}
