package s3api_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"meridian/metadata"
)

// summed is a body with the Content-MD5 that S3 asks for.
func summed(body string) ([]byte, string) { return []byte(body), "Content-MD5: " + md5Of([]byte(body)) }

func retention(mode string, until time.Time) string {
	return fmt.Sprintf("<Retention><Mode>%s</Mode><RetainUntilDate>%s</RetainUntilDate></Retention>", mode, until.UTC().Format(time.RFC3339))
}

// says checks the text of an error, which people and some tools read.
func (w *world) says(r reply, text string) {
	w.t.Helper()
	if e := r.error(w.t); e.Message != text {
		w.t.Errorf("message %q, want %q", e.Message, text)
	}
}

func TestObjectLockThroughAWS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, ctx := w.aws(writer), t.Context()
	bkt := aws.String("bkt")
	if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bkt, ObjectLockEnabledForBucket: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	config, err := c.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: bkt})
	if err != nil || config.ObjectLockConfiguration.ObjectLockEnabled != types.ObjectLockEnabledEnabled || config.ObjectLockConfiguration.Rule != nil {
		t.Fatalf("configuration: %+v, %v", config, err)
	}
	if v, err := c.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: bkt}); err != nil || v.Status != types.BucketVersioningStatusEnabled {
		t.Errorf("versioning: %+v, %v", v, err)
	}
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	put, err := c.PutObject(ctx, &s3.PutObjectInput{
		Bucket: bkt, Key: aws.String("k"), Body: strings.NewReader("x"),
		ObjectLockMode: types.ObjectLockModeGovernance, ObjectLockRetainUntilDate: &until, ObjectLockLegalHoldStatus: types.ObjectLockLegalHoldStatusOn,
	})
	if err != nil {
		t.Fatal(err)
	}
	head, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bkt, Key: aws.String("k")})
	if err != nil || head.ObjectLockMode != types.ObjectLockModeGovernance || !aws.ToTime(head.ObjectLockRetainUntilDate).Equal(until) ||
		head.ObjectLockLegalHoldStatus != types.ObjectLockLegalHoldStatusOn {
		t.Errorf("head: %+v, %v", head, err)
	}
	remove := func(bypass bool) error {
		_, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bkt, Key: aws.String("k"), VersionId: put.VersionId, BypassGovernanceRetention: &bypass})
		return err
	}
	locked := func(what string, err error) {
		t.Helper()
		var e smithy.APIError
		if !errors.As(err, &e) || e.ErrorCode() != "AccessDenied" || e.ErrorMessage() != "Access Denied because object protected by object lock." {
			t.Errorf("%s: %v", what, err)
		}
	}
	locked("delete", remove(false))
	locked("a hold is not to be bypassed", remove(true))
	hold := &types.ObjectLockLegalHold{Status: types.ObjectLockLegalHoldStatusOff}
	if _, err := c.PutObjectLegalHold(ctx, &s3.PutObjectLegalHoldInput{Bucket: bkt, Key: aws.String("k"), VersionId: put.VersionId, LegalHold: hold}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.GetObjectLegalHold(ctx, &s3.GetObjectLegalHoldInput{Bucket: bkt, Key: aws.String("k")}); err != nil || got.LegalHold.Status != types.ObjectLockLegalHoldStatusOff {
		t.Errorf("hold: %+v, %v", got, err)
	}
	locked("delete under governance", remove(false))
	many, err := c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: bkt, Delete: &types.Delete{Objects: []types.ObjectIdentifier{
		{Key: aws.String("k"), VersionId: put.VersionId}, {Key: aws.String("other")},
	}}})
	if err != nil || len(many.Errors) != 1 || aws.ToString(many.Errors[0].Code) != "AccessDenied" || len(many.Deleted) != 1 {
		t.Errorf("delete objects: %+v, %v", many, err)
	}
	retain := func(mode types.ObjectLockRetentionMode, until time.Time, bypass bool) error {
		_, err := c.PutObjectRetention(ctx, &s3.PutObjectRetentionInput{Bucket: bkt, Key: aws.String("k"), BypassGovernanceRetention: &bypass,
			Retention: &types.ObjectLockRetention{Mode: mode, RetainUntilDate: &until}})
		return err
	}
	if err := retain(types.ObjectLockRetentionModeGovernance, until.Add(time.Hour), false); err != nil {
		t.Errorf("extend: %v", err)
	}
	locked("shorten", retain(types.ObjectLockRetentionModeGovernance, until, false))
	if err := retain(types.ObjectLockRetentionModeGovernance, until, true); err != nil {
		t.Errorf("shorten by bypass: %v", err)
	}
	locked("another mode", retain(types.ObjectLockRetentionModeCompliance, until.Add(time.Hour), false))
	got, err := c.GetObjectRetention(ctx, &s3.GetObjectRetentionInput{Bucket: bkt, Key: aws.String("k"), VersionId: put.VersionId})
	if err != nil || got.Retention.Mode != types.ObjectLockRetentionModeGovernance || !aws.ToTime(got.Retention.RetainUntilDate).Equal(until) {
		t.Errorf("retention: %+v, %v", got, err)
	}
	marker, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bkt, Key: aws.String("k")})
	if err != nil || !aws.ToBool(marker.DeleteMarker) {
		t.Errorf("a plain delete: %+v, %v", marker, err)
	}
	// Another one may write, and has neither the role nor the bucket.
	_, err = w.aws(reader).DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bkt, Key: aws.String("k"), VersionId: put.VersionId, BypassGovernanceRetention: aws.Bool(true)})
	if err == nil {
		t.Error("a reader deleted a locked version")
	}
	if err := remove(true); err != nil {
		t.Errorf("the owner of the bucket bypasses governance: %v", err)
	}
}

// Who may write but owns neither the bucket nor the role of an admin cannot
// bypass.
func TestBypassIsForOwnersAndAdmins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil, "x-amz-bucket-object-lock-enabled: true")
	hour := time.Now().Add(time.Hour)
	put := w.must("PUT", "/bkt/k", []byte("x"), "Content-MD5: "+md5Of([]byte("x")),
		"x-amz-object-lock-mode: GOVERNANCE", "x-amz-object-lock-retain-until-date: "+hour.UTC().Format(time.RFC3339))
	at := "/bkt/k?versionId=" + put.header.Get("X-Amz-Version-Id")
	w.refused(writer, 403, "AccessDenied", "DELETE", at, nil, "x-amz-bypass-governance-retention: true")
	body, sum := summed(retention("GOVERNANCE", hour.Add(-time.Minute)))
	w.refused(writer, 403, "AccessDenied", "PUT", at+"&retention", body, sum, "x-amz-bypass-governance-retention: true")
	w.must("PUT", at+"&retention", body, sum, "x-amz-bypass-governance-retention: true")
	// An empty retention takes it off.
	body, sum = summed("<Retention/>")
	w.refused(root, 403, "AccessDenied", "PUT", at+"&retention", body, sum)
	w.must("PUT", at+"&retention", body, sum, "x-amz-bypass-governance-retention: true")
	w.refused(root, 404, "NoSuchObjectLockConfiguration", "GET", at+"&retention", nil)
	w.must("DELETE", at, nil)
}

// Compliance is weakened by nobody.
func TestComplianceHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil, "x-amz-bucket-object-lock-enabled: true")
	hour := time.Now().Add(time.Hour)
	w.must("PUT", "/bkt/k", []byte("x"), "Content-MD5: "+md5Of([]byte("x")))
	body, sum := summed(retention("COMPLIANCE", hour))
	w.must("PUT", "/bkt/k?retention", body, sum)
	version := w.must("HEAD", "/bkt/k", nil).header.Get("X-Amz-Version-Id")
	for _, weaker := range []string{
		retention("COMPLIANCE", hour.Add(-time.Minute)), retention("GOVERNANCE", hour.Add(time.Hour)), "<Retention/>",
	} {
		body, sum := summed(weaker)
		w.refused(root, 403, "AccessDenied", "PUT", "/bkt/k?retention", body, sum, "x-amz-bypass-governance-retention: true")
	}
	body, sum = summed(retention("COMPLIANCE", hour.Add(time.Hour)))
	w.must("PUT", "/bkt/k?retention", body, sum)
	w.refused(root, 403, "AccessDenied", "DELETE", "/bkt/k?versionId="+version, nil, "x-amz-bypass-governance-retention: true")
	w.refused(root, 409, "BucketNotEmpty", "DELETE", "/bkt", nil)
	w.must("PUT", "/bkt/k", []byte("y"), "Content-MD5: "+md5Of([]byte("y"))) // a version of its own
	w.must("DELETE", "/bkt/k", nil)
	if got := w.must("GET", "/bkt/k?versionId="+version, nil); string(got.body) != "x" || got.header.Get("X-Amz-Object-Lock-Mode") != "COMPLIANCE" {
		t.Errorf("the locked version: %q %v", got.body, got.header)
	}
}

func TestDefaultRetentionOfABucket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	body, sum := summed(`<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>3</Days></DefaultRetention></Rule></ObjectLockConfiguration>`)
	r := w.refused(root, 409, "InvalidBucketState", "PUT", "/bkt?object-lock", body, sum)
	w.says(r, "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration")
	w.must("PUT", "/bkt?versioning", []byte(`<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>`))
	w.must("PUT", "/bkt/src", []byte("source"))
	w.must("PUT", "/bkt?object-lock", body, sum)
	w.golden("object-lock", w.must("GET", "/bkt?object-lock", nil).body)
	r = w.refused(root, 409, "InvalidBucketState", "PUT", "/bkt?versioning", []byte(`<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>`))
	w.says(r, "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.")

	r = w.refused(root, 400, "InvalidRequest", "PUT", "/bkt/put", []byte("x"))
	w.says(r, "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters")
	w.must("PUT", "/bkt/put", []byte("x"), "x-amz-checksum-crc32: jNwWgw==")
	w.must("PUT", "/bkt/copy", nil, "x-amz-copy-source: bkt/src")
	id := between(string(w.must("POST", "/bkt/multi?uploads", nil).body), "<UploadId>", "</UploadId>")
	etag := w.must("PUT", "/bkt/multi?partNumber=1&uploadId="+id, []byte("p")).header.Get("ETag")
	w.must("POST", "/bkt/multi?uploadId="+id, []byte("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"+etag+"</ETag></Part></CompleteMultipartUpload>"))
	for _, key := range []string{"put", "copy", "multi"} {
		h := w.must("HEAD", "/bkt/"+key, nil).header
		modified, _ := time.Parse(time.RFC1123, h.Get("Last-Modified"))
		until, err := time.Parse(time.RFC3339, h.Get("X-Amz-Object-Lock-Retain-Until-Date"))
		if err != nil || until.Sub(modified).Round(time.Minute) != 72*time.Hour || h.Get("X-Amz-Object-Lock-Mode") != "GOVERNANCE" {
			t.Errorf("%s: %v", key, h)
		}
		w.refused(root, 403, "AccessDenied", "DELETE", "/bkt/"+key+"?versionId="+h.Get("X-Amz-Version-Id"), nil)
	}
	// A copy is locked as it says, not as its source is.
	hour := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	w.must("PUT", "/bkt/copy2", nil, "x-amz-copy-source: bkt/put", "x-amz-object-lock-mode: COMPLIANCE",
		"x-amz-object-lock-retain-until-date: "+hour, "x-amz-object-lock-legal-hold: ON")
	h := w.must("HEAD", "/bkt/copy2", nil).header
	if h.Get("X-Amz-Object-Lock-Mode") != "COMPLIANCE" || h.Get("X-Amz-Object-Lock-Legal-Hold") != "ON" {
		t.Errorf("copy: %v", h)
	}
	// Caches are not told.
	if got := w.do(node, "HEAD", "/bkt/put", nil); got.status != 200 || got.header.Get("X-Amz-Object-Lock-Mode") != "" {
		t.Errorf("a node is told %v", got.header)
	}
	r = w.refused(root, 404, "NoSuchObjectLockConfiguration", "GET", "/bkt/src?retention", nil)
	w.says(r, "The specified object does not have a ObjectLock configuration.")
	w.refused(root, 404, "NoSuchObjectLockConfiguration", "GET", "/bkt/src?legal-hold", nil)
	w.golden("retention", w.must("GET", "/bkt/copy2?retention", nil).body)
	w.golden("legal-hold", w.must("GET", "/bkt/copy2?legal-hold", nil).body)
}

func TestRefusedLocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/bkt", nil)
	w.must("PUT", "/bkt/k", []byte("x"))
	w.must("PUT", "/lock", nil, "x-amz-bucket-object-lock-enabled: true")
	w.must("PUT", "/lock/k", []byte("x"))
	marker := w.must("DELETE", "/lock/gone", nil).header.Get("X-Amz-Version-Id")
	hour, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	const future, missing, notTaken = "The retain until date must be in the future!", "Bucket is missing Object Lock Configuration", "Bucket is missing ObjectLockConfiguration"
	config := func(inner string) string {
		return "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>" + inner + "</ObjectLockConfiguration>"
	}
	rule := func(inner string) string {
		return config("<Rule><DefaultRetention>" + inner + "</DefaultRetention></Rule>")
	}
	for _, tt := range []struct {
		status           int
		code, path, body string
		text             string
		withoutSum       bool
	}{
		{400, "InvalidRequest", "/bkt/k?retention", retention("COMPLIANCE", hour), missing, false},
		{400, "InvalidRequest", "/bkt/k?legal-hold", "<LegalHold><Status>ON</Status></LegalHold>", missing, false},
		{400, "InvalidRequest", "/lock/k?legal-hold", "<LegalHold><Status>ON</Status></LegalHold>", "", true},
		{400, "MalformedXML", "/bkt/k?legal-hold", "", "", false},
		{400, "MalformedXML", "/lock/k?legal-hold", "<LegalHold><Status>on</Status></LegalHold>", "", false},
		{400, "MalformedXML", "/lock/k?retention", retention("governance", hour), "", false},
		{400, "MalformedXML", "/lock/k?retention", "<Retention><Mode>GOVERNANCE</Mode></Retention>", "", false},
		{400, "MalformedXML", "/lock/k?retention", "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>soon</RetainUntilDate></Retention>", "", false},
		{400, "InvalidArgument", "/lock/k?retention", retention("GOVERNANCE", past), future, false},
		{404, "NoSuchKey", "/lock/none?retention", retention("GOVERNANCE", hour), "", false},
		{404, "NoSuchVersion", "/lock/k?retention&versionId=01ARZ3NDEKTSV4RRFFQ69G5FAV", retention("GOVERNANCE", hour), "", false},
		{400, "InvalidArgument", "/lock/k?retention&versionId=x", retention("GOVERNANCE", hour), "", false},
		{405, "MethodNotAllowed", "/lock/gone?retention&versionId=" + marker, retention("GOVERNANCE", hour), "", false},
		{405, "MethodNotAllowed", "/lock/gone?legal-hold&versionId=" + marker, "<LegalHold><Status>ON</Status></LegalHold>", "", false},
		{404, "NoSuchBucket", "/none/k?retention", retention("GOVERNANCE", hour), "", false},
		{400, "MissingRequestBodyError", "/lock?object-lock", "", "", false},
		{400, "MalformedXML", "/lock?object-lock", "<ObjectLockConfiguration/>", "", false},
		{400, "MalformedXML", "/lock?object-lock", strings.Replace(config(""), ">Enabled<", ">Disabled<", 1), "", false},
		{400, "MalformedXML", "/lock?object-lock", config("<Rule/>"), "", false},
		{400, "MalformedXML", "/lock?object-lock", rule(""), "", false},
		{400, "MalformedXML", "/lock?object-lock", rule("<Days>1</Days>"), "", false},
		{400, "MalformedXML", "/lock?object-lock", rule("<Mode>GOVERNANCE</Mode>"), "", false},
		{400, "MalformedXML", "/lock?object-lock", rule("<Mode>governance</Mode><Days>1</Days>"), "", false},
		{400, "MalformedXML", "/lock?object-lock", rule("<Mode>GOVERNANCE</Mode><Days>1</Days><Years>1</Years>"), "", false},
		{400, "InvalidArgument", "/lock?object-lock", rule("<Mode>GOVERNANCE</Mode><Days>0</Days>"), "Default retention period must be a positive integer value.", false},
		{400, "InvalidArgument", "/lock?object-lock", rule("<Mode>GOVERNANCE</Mode><Days>36501</Days>"), "Default retention period too large.", false},
		{400, "InvalidArgument", "/lock?object-lock", rule("<Mode>COMPLIANCE</Mode><Years>101</Years>"), "Default retention period too large.", false},
		{400, "InvalidRequest", "/lock?object-lock", config(""), "", true},
	} {
		body, sum := summed(tt.body)
		headers := []string{sum}
		if tt.withoutSum {
			headers = nil
		}
		r := w.refused(root, tt.status, tt.code, "PUT", tt.path, body, headers...)
		if tt.text != "" {
			w.says(r, tt.text)
		}
	}
	lockUntil := "x-amz-object-lock-retain-until-date: "
	for _, tt := range []struct {
		code, bucket, text string
		headers            []string
	}{
		{"InvalidRequest", "bkt", notTaken, []string{"x-amz-object-lock-legal-hold: ON"}},
		{"InvalidRequest", "bkt", notTaken, []string{"x-amz-object-lock-mode: GOVERNANCE", lockUntil + hour.UTC().Format(time.RFC3339)}},
		{"InvalidArgument", "lock", "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied.", []string{"x-amz-object-lock-mode: GOVERNANCE"}},
		{"InvalidArgument", "lock", "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied.", []string{lockUntil + hour.UTC().Format(time.RFC3339)}},
		{"InvalidArgument", "lock", future, []string{"x-amz-object-lock-mode: GOVERNANCE", lockUntil + past.UTC().Format(time.RFC3339)}},
		{"InvalidArgument", "bkt", "The retain until date must be provided in ISO 8601 format", []string{"x-amz-object-lock-mode: GOVERNANCE", lockUntil + "abc"}},
		{"InvalidArgument", "lock", "Unknown wormMode directive.", []string{"x-amz-object-lock-mode: X", lockUntil + hour.UTC().Format(time.RFC3339)}},
		{"InvalidArgument", "bkt", "Legal Hold must be either of 'ON' or 'OFF'", []string{"x-amz-object-lock-legal-hold: on"}},
	} {
		for _, how := range []struct{ method, path, header string }{
			{"PUT", "/" + tt.bucket + "/new", "Content-MD5: " + md5Of(nil)},
			{"PUT", "/" + tt.bucket + "/new", "x-amz-copy-source: bkt/k"},
			{"POST", "/" + tt.bucket + "/new?uploads", "Accept: */*"},
		} {
			w.says(w.refused(root, 400, tt.code, how.method, how.path, nil, append(tt.headers, how.header)...), tt.text)
		}
	}
	w.refused(root, 400, "InvalidRequest", "GET", "/bkt/k?retention", nil)
	body, sum := summed("<LegalHold><Status>OFF</Status></LegalHold>")
	w.must("PUT", "/lock/k?legal-hold&versionId=", body, sum)
	w.must("GET", "/lock/k?legal-hold&versionId=", nil)
	w.refused(root, 404, "NoSuchKey", "GET", "/bkt/none?legal-hold", nil)
	if page, err := w.catalog.List(t.Context(), metadata.ListQuery{Bucket: "lock", Prefix: "new", Limit: 1}); err != nil || len(page.Versions) != 0 {
		t.Errorf("a refused request left %+v, %v", page, err)
	}
}

// between is what stands between two texts.
func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return s
}

// Who may read an object is told of its lock if they may ask for it.
func TestLocksAreToldToWhoMayAsk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.can(alice, "PUT", "/bkt", nil, "x-amz-bucket-object-lock-enabled: true")
	body, sum := summed("x")
	w.can(alice, "PUT", "/bkt/k", body, sum, "x-amz-object-lock-mode: GOVERNANCE", "x-amz-object-lock-legal-hold: ON",
		"x-amz-object-lock-retain-until-date: "+time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	for actions, want := range map[string][2]string{
		"s3:GetObject": {}, "s3:GetObject s3:GetObjectRetention": {"GOVERNANCE", ""}, "s3:GetObject s3:GetObjectLegalHold": {"", "ON"},
		"s3:GetObject s3:GetObjectRetention s3:GetObjectLegalHold": {"GOVERNANCE", "ON"},
	} {
		w.can(alice, "PUT", "/bkt?policy", policyOf(allow("bob", actions, "bkt/*")))
		h := w.can(bob, "HEAD", "/bkt/k", nil).header
		until := h.Get("X-Amz-Object-Lock-Retain-Until-Date")
		if got := [2]string{h.Get("X-Amz-Object-Lock-Mode"), h.Get("X-Amz-Object-Lock-Legal-Hold")}; got != want || (until == "") != (want[0] == "") {
			t.Errorf("%s: %q, until %q", actions, got, until)
		}
	}
}
