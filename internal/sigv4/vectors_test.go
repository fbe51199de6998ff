package sigv4

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The examples of AWS's documentation share these.
const (
	docKey    = "AKIAIOSFODNN7EXAMPLE"
	docSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

func docTime() time.Time { return time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC) }

// keysOf knows one access key.
func keysOf(accessKey, secret string) KeyFunc {
	return func(_ context.Context, s Scope) ([]byte, error) {
		if s.AccessKey != accessKey {
			return nil, fmt.Errorf("looking for %s: %w", s.AccessKey, ErrUnknownAccessKey)
		}
		return DeriveKey(secret, s.Date, s.Region, s.Service), nil
	}
}

func docVerifier(now time.Time) *Verifier {
	return &Verifier{Keys: keysOf(docKey, docSecret), Now: func() time.Time { return now }}
}

// parse reads a request as net/http's server does.
func parse(t testing.TB, text string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wire makes a request's text from lines and a body.
func wire(body string, lines ...string) string {
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

func authorization(signed, signature string) string {
	return "Authorization: AWS4-HMAC-SHA256 Credential=" + docKey + "/20130524/us-east-1/s3/aws4_request," +
		"SignedHeaders=" + signed + ",Signature=" + signature
}

// chunkedVector is the documented upload in chunks of 64 KiB and 1 KiB.
func chunkedVector(last string, signatures [3]string) string {
	return "10000;chunk-signature=" + signatures[0] + "\r\n" + strings.Repeat("a", 65536) + "\r\n" +
		"400;chunk-signature=" + signatures[1] + "\r\n" + strings.Repeat("a", 1024) + "\r\n" +
		"0;chunk-signature=" + signatures[2] + "\r\n" + last
}

func signedChunks() string {
	return chunkedVector("\r\n", [3]string{
		"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
		"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
		"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
	})
}

func signedTrailer(last string) string {
	return chunkedVector(last, [3]string{
		"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
		"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
		"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
	})
}

const (
	docTrailer          = "x-amz-checksum-crc32c:sOO8/Q=="
	docTrailerSignature = "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
)

func chunkedPut(body string) string {
	return wire(body,
		"PUT /examplebucket/chunkObject.txt HTTP/1.1", "Host: s3.amazonaws.com",
		"x-amz-date: 20130524T000000Z", "x-amz-storage-class: REDUCED_REDUNDANCY",
		authorization("content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
			"4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"),
		"x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "Content-Encoding: aws-chunked",
		"x-amz-decoded-content-length: 66560", "Content-Length: 66824")
}

func trailerPut(body string) string {
	return wire(body,
		"PUT /examplebucket/chunkObject.txt HTTP/1.1", "Host: s3.amazonaws.com",
		"x-amz-date: 20130524T000000Z", "x-amz-storage-class: REDUCED_REDUNDANCY",
		authorization("content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
			"106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"),
		"x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "Content-Encoding: aws-chunked",
		"x-amz-decoded-content-length: 66560", "x-amz-trailer: x-amz-checksum-crc32c",
		fmt.Sprintf("Content-Length: %d", len(body)))
}

// TestDocumentedRequests holds the verifier to the examples of
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html,
// sigv4-streaming.html, sigv4-streaming-trailers.html and
// sigv4-query-string-auth.html.
func TestDocumentedRequests(t *testing.T) {
	t.Parallel()
	as := strings.Repeat("a", 66560)
	const host = "Host: examplebucket.s3.amazonaws.com"
	const empty = "x-amz-content-sha256: " + EmptyPayload
	for _, c := range []struct{ name, request, body, trailer string }{
		{name: "get object", request: wire("", "GET /test.txt HTTP/1.1", host,
			authorization("host;range;x-amz-content-sha256;x-amz-date", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
			"Range: bytes=0-9", empty, "x-amz-date: 20130524T000000Z")},
		{name: "put object", body: "Welcome to Amazon S3.", request: wire("Welcome to Amazon S3.", "PUT /test$file.text HTTP/1.1", host,
			"Date: Fri, 24 May 2013 00:00:00 GMT",
			authorization("date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
			"x-amz-date: 20130524T000000Z", "x-amz-storage-class: REDUCED_REDUNDANCY", "Content-Length: 21",
			"x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072")},
		{name: "get lifecycle", request: wire("", "GET /?lifecycle HTTP/1.1", host,
			authorization("host;x-amz-content-sha256;x-amz-date", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
			empty, "x-amz-date: 20130524T000000Z")},
		{name: "list", request: wire("", "GET /?max-keys=2&prefix=J HTTP/1.1", host,
			authorization("host;x-amz-content-sha256;x-amz-date", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
			empty, "x-amz-date: 20130524T000000Z")},
		{name: "presigned", request: wire("", "GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"+
			"&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z"+
			"&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"+
			"&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404 HTTP/1.1", host)},
		{name: "chunks", body: as, request: chunkedPut(signedChunks())},
		{
			name: "trailer", body: as, trailer: "sOO8/Q==",
			request: trailerPut(signedTrailer(docTrailer + "\r\n" + docTrailerSignature + "\r\n\r\n")),
		},
		{
			name: "trailer as minio-go writes it", body: as, trailer: "sOO8/Q==",
			request: trailerPut(signedTrailer(docTrailer + "\n\r\n" + docTrailerSignature + "\r\n\r\n")),
		},
		{
			name: "trailer without its last line", body: as, trailer: "sOO8/Q==",
			request: trailerPut(signedTrailer("\r\n" + docTrailer + "\r\n" + docTrailerSignature + "\r\n")),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := parse(t, c.request)
			if !Present(r) {
				t.Error("credentials are not seen")
			}
			auth, err := docVerifier(docTime()).Verify(r)
			if err != nil {
				t.Fatal(err)
			}
			if auth.AccessKey != docKey {
				t.Errorf("access key %q", auth.AccessKey)
			}
			body, length, err := auth.Body(r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(body)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != c.body || length != int64(len(c.body)) {
				t.Errorf("got %d bytes, announced %d, want %d", len(got), length, len(c.body))
			}
			if v := auth.Trailer().Get("x-amz-checksum-crc32c"); v != c.trailer {
				t.Errorf("trailer %q, want %q", v, c.trailer)
			}
		})
	}
}

// TestDocumentedPolicy is the example of
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-post-example.html.
func TestDocumentedPolicy(t *testing.T) {
	t.Parallel()
	const (
		policy    = "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9"
		signature = "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e"
		scope     = "/20151229/us-east-1/s3/aws4_request"
		date      = "20151229T000000Z"
	)
	v := docVerifier(time.Date(2015, 12, 29, 0, 0, 0, 0, time.UTC))
	auth, err := v.VerifyPolicy(t.Context(), docKey+scope, date, policy, signature)
	if err != nil || auth.AccessKey != docKey {
		t.Fatalf("%v, %v", auth, err)
	}
	for _, c := range []struct {
		credential, date, policy, signature string
		want                                error
	}{
		{docKey + scope, date, policy + "A", signature, ErrSignatureMismatch},
		{docKey + scope, date, policy, strings.Repeat("0", 64), ErrSignatureMismatch},
		{docKey + scope, date, policy, "short", ErrSignatureMismatch},
		{docKey + scope, "20151230T000000Z", policy, signature, ErrMalformed},
		{docKey + scope, "2015", policy, signature, ErrMalformed},
		{"OTHER" + scope, date, policy, signature, ErrUnknownAccessKey},
		{"nonsense", date, policy, signature, ErrMalformed},
	} {
		if _, err := v.VerifyPolicy(t.Context(), c.credential, c.date, c.policy, c.signature); !errors.Is(err, c.want) {
			t.Errorf("%q %q: %v, want %v", c.credential, c.date, err, c.want)
		}
	}
}
