package s3api_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"meridian/metadata"
)

func TestNotificationConfiguration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("PUT", "/photos", nil)
	if _, err := w.catalog.CreateWebhook(t.Context(), metadata.Webhook{ID: "app", URL: "https://example.com/", Secret: "whsec_"}); err != nil {
		t.Fatal(err)
	}
	c, bucket := w.aws(root), aws.String("photos")
	put := func(n types.NotificationConfiguration) error {
		_, err := c.PutBucketNotificationConfiguration(t.Context(), &s3.PutBucketNotificationConfigurationInput{Bucket: bucket, NotificationConfiguration: &n})
		return err
	}
	get := func() *s3.GetBucketNotificationConfigurationOutput {
		t.Helper()
		out, err := c.GetBucketNotificationConfiguration(t.Context(), &s3.GetBucketNotificationConfigurationInput{Bucket: bucket})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := get(); len(got.QueueConfigurations)+len(got.TopicConfigurations) != 0 {
		t.Errorf("before it was set: %+v", got)
	}
	const arn = "arn:meridian:sqs::app:webhook"
	queue := types.QueueConfiguration{
		Id: aws.String("new photos"), QueueArn: aws.String(arn), Events: []types.Event{"s3:ObjectCreated:*", "s3:LifecycleExpiration:Delete"},
		Filter: &types.NotificationConfigurationFilter{Key: &types.S3KeyFilter{FilterRules: []types.FilterRule{{Name: "prefix", Value: aws.String("a/")}, {Name: "suffix", Value: aws.String(".jpg")}}}},
	}
	topic := types.TopicConfiguration{TopicArn: aws.String(arn), Events: []types.Event{"s3:ObjectRemoved:Delete"}}
	if err := put(types.NotificationConfiguration{QueueConfigurations: []types.QueueConfiguration{queue}, TopicConfigurations: []types.TopicConfiguration{topic}}); err != nil {
		t.Fatal(err)
	}
	got := get()
	if len(got.QueueConfigurations) != 1 || len(got.TopicConfigurations) != 1 || aws.ToString(got.TopicConfigurations[0].Id) == "" {
		t.Fatalf("it came back as %+v", got)
	}
	if q := got.QueueConfigurations[0]; aws.ToString(q.Id) != "new photos" || aws.ToString(q.QueueArn) != arn || len(q.Events) != 2 || len(q.Filter.Key.FilterRules) != 2 ||
		aws.ToString(q.Filter.Key.FilterRules[1].Value) != ".jpg" {
		t.Errorf("the queue came back as %+v", q)
	}
	unknown := types.QueueConfiguration{QueueArn: aws.String("arn:meridian:sqs::none:webhook"), Events: queue.Events}
	if err := put(types.NotificationConfiguration{QueueConfigurations: []types.QueueConfiguration{unknown}}); err == nil ||
		!strings.Contains(err.Error(), "InvalidArgument: Unable to validate the following destination configurations") {
		t.Errorf("an unknown webhook: %v", err)
	}
	if err := put(types.NotificationConfiguration{QueueConfigurations: []types.QueueConfiguration{queue, queue}}); err == nil || !strings.Contains(err.Error(), "InvalidArgument") {
		t.Errorf("the same twice: %v", err)
	}
	if got := get(); len(got.QueueConfigurations) != 1 {
		t.Errorf("after refusals: %+v", got)
	}
	w.refused(reader, 403, "AccessDenied", "PUT", "/photos?notification", []byte(`<NotificationConfiguration/>`))
	w.refused(root, 404, "NoSuchBucket", "GET", "/nowhere?notification", nil)
	w.refused(root, 400, "MalformedXML", "PUT", "/photos?notification", []byte(`<Notification/>`))
	if err := put(types.NotificationConfiguration{}); err != nil {
		t.Fatal(err)
	}
	if got := get(); len(got.QueueConfigurations) != 0 {
		t.Errorf("after it was emptied: %+v", got)
	}
	b, err := w.catalog.Bucket(t.Context(), "photos")
	if err != nil || len(b.Config) != 0 {
		t.Errorf("an empty configuration is kept: %v, %v", b.Config, err)
	}
}
