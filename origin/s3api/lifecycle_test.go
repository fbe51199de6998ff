package s3api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	miniolifecycle "github.com/minio/minio-go/v7/pkg/lifecycle"

	"meridian/metadata/lifecycle"
	"meridian/origin/s3api"
)

func TestLifecycleConfiguration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/logs", nil)
	c, bucket := w.aws(root), aws.String("logs")
	w.refused(root, 404, "NoSuchLifecycleConfiguration", "GET", "/logs?lifecycle", nil)
	put := func(rules ...types.LifecycleRule) error {
		out, err := c.PutBucketLifecycleConfiguration(t.Context(), &s3.PutBucketLifecycleConfigurationInput{
			Bucket: bucket, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: rules},
		})
		if err == nil && out.TransitionDefaultMinimumObjectSize != "all_storage_classes_128K" {
			t.Errorf("the least size of a transition is %q", out.TransitionDefaultMinimumObjectSize)
		}
		return err
	}
	err := put(types.LifecycleRule{
		ID: aws.String("all of it"), Status: types.ExpirationStatusEnabled,
		Filter: &types.LifecycleRuleFilter{And: &types.LifecycleRuleAndOperator{
			Prefix: aws.String("a/"), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}, ObjectSizeLessThan: aws.Int64(500),
		}},
		Expiration:                  &types.LifecycleExpiration{Date: aws.Time(time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC))},
		NoncurrentVersionExpiration: &types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(3), NewerNoncurrentVersions: aws.Int32(2)},
	}, types.LifecycleRule{
		Status: types.ExpirationStatusDisabled, Prefix: aws.String("old/"), //nolint:staticcheck // old tools send it
		AbortIncompleteMultipartUpload: &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: aws.Int32(7)},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.GetBucketLifecycleConfiguration(t.Context(), &s3.GetBucketLifecycleConfigurationInput{Bucket: bucket})
	if err != nil || len(got.Rules) != 2 {
		t.Fatalf("GetBucketLifecycleConfiguration = %+v, %v", got, err)
	}
	one, two := got.Rules[0], got.Rules[1]
	if aws.ToString(one.ID) != "all of it" || one.Filter.And == nil || aws.ToString(one.Filter.And.Prefix) != "a/" || len(one.Filter.And.Tags) != 1 ||
		aws.ToInt64(one.Filter.And.ObjectSizeLessThan) != 500 || !one.Expiration.Date.Equal(time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC)) ||
		aws.ToInt32(one.NoncurrentVersionExpiration.NewerNoncurrentVersions) != 2 {
		t.Errorf("the first rule came back as %+v", one)
	}
	if aws.ToString(two.ID) == "" || aws.ToString(two.Prefix) != "old/" || two.Filter != nil || aws.ToInt32(two.AbortIncompleteMultipartUpload.DaysAfterInitiation) != 7 { //nolint:staticcheck // as above
		t.Errorf("the second rule came back as %+v", two)
	}
	err = put(types.LifecycleRule{
		Status: types.ExpirationStatusEnabled, Filter: &types.LifecycleRuleFilter{},
		Transitions: []types.Transition{{Days: aws.Int32(30), StorageClass: types.TransitionStorageClassGlacier}},
	})
	if err == nil || !strings.Contains(err.Error(), "NotImplemented") || !strings.Contains(err.Error(), "no other storage class") {
		t.Errorf("a transition: %v", err)
	}
	w.refused(root, 400, "InvalidRequest", "PUT", "/logs?lifecycle", []byte(`<LifecycleConfiguration/>`)) // no Content-MD5
	w.refused(reader, 403, "AccessDenied", "DELETE", "/logs?lifecycle", nil)
	w.refused(root, 404, "NoSuchBucket", "GET", "/nowhere?lifecycle", nil)

	// Refused, and so unchanged.
	if got, err = c.GetBucketLifecycleConfiguration(t.Context(), &s3.GetBucketLifecycleConfigurationInput{Bucket: bucket}); err != nil || len(got.Rules) != 2 {
		t.Errorf("after refusals: %+v, %v", got, err)
	}
	m := miniolifecycle.NewConfiguration()
	m.Rules = []miniolifecycle.Rule{{ID: "minio", Status: "Enabled", RuleFilter: miniolifecycle.Filter{Prefix: "x"}, Expiration: miniolifecycle.Expiration{Days: 3}}}
	if err := w.minio(root).SetBucketLifecycle(t.Context(), "logs", m); err != nil {
		t.Fatal(err)
	}
	if back, err := w.minio(root).GetBucketLifecycle(t.Context(), "logs"); err != nil || len(back.Rules) != 1 || back.Rules[0].Expiration.Days != 3 || back.Rules[0].RuleFilter.Prefix != "x" {
		t.Errorf("minio-go reads %+v, %v", back, err)
	}
	w.must("DELETE", "/logs?lifecycle", nil)
	w.must("DELETE", "/logs?lifecycle", nil) // there is none any more, and that is fine
	w.refused(root, 404, "NoSuchLifecycleConfiguration", "GET", "/logs?lifecycle", nil)
}

func TestExpirationIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *s3api.Options) { o.LifecycleClock = lifecycle.Clock{} })
	w.must("PUT", "/logs", nil)
	if r := w.must("PUT", "/logs/tmp/a", []byte("x")); r.header.Get("X-Amz-Expiration") != "" {
		t.Errorf("without rules: %q", r.header.Get("X-Amz-Expiration"))
	}
	c := w.aws(root)
	_, err := c.PutBucketLifecycleConfiguration(t.Context(), &s3.PutBucketLifecycleConfigurationInput{
		Bucket: aws.String("logs"), LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{{
			ID: aws.String("one day"), Status: types.ExpirationStatusEnabled, Filter: &types.LifecycleRuleFilter{Prefix: aws.String("tmp/")},
			Expiration: &types.LifecycleExpiration{Days: aws.Int32(1)},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, r reply) {
		t.Helper()
		date, rest, ok := strings.Cut(strings.TrimPrefix(r.header.Get("X-Amz-Expiration"), `expiry-date="`), `", `)
		end, err := http.ParseTime(date)
		if !ok || err != nil || rest != `rule-id="one%20day"` || end.Hour() != 0 || time.Until(end) < 24*time.Hour || time.Until(end) > 48*time.Hour {
			t.Errorf("%s: X-Amz-Expiration is %q, %v", what, r.header.Get("X-Amz-Expiration"), err)
		}
	}
	check("PUT", w.must("PUT", "/logs/tmp/b", []byte("x")))
	check("copy", w.must("PUT", "/logs/tmp/c", nil, "X-Amz-Copy-Source: /logs/tmp/a"))
	check("GET", w.must("GET", "/logs/tmp/b", nil))
	check("HEAD of an older object", w.must("HEAD", "/logs/tmp/a", nil))
	if r := w.must("PUT", "/logs/other", []byte("x")); r.header.Get("X-Amz-Expiration") != "" {
		t.Errorf("of no rule: %q", r.header.Get("X-Amz-Expiration"))
	}
}
