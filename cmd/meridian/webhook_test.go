package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// TestRulesAndWebhooksSurviveAKill kills the program while a receiver refuses
// everything and objects wait for their end: afterwards both come about.
func TestRulesAndWebhooksSurviveAKill(t *testing.T) {
	t.Parallel()
	requirePostgres(t)
	var mu sync.Mutex
	told := map[string]int{}
	var refused atomic.Int32
	var open atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !open.Load() {
			refused.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var body struct {
			Records []struct {
				EventName string
				S3        struct{ Object struct{ Key string } }
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, rec := range body.Records {
			told[rec.EventName+" "+rec.S3.Object.Key]++
		}
	}))
	t.Cleanup(srv.Close)

	binary, dir := buildMeridian(t), devDir(t)
	c, cmd := startProcess(t, binary, dir, "--lifecycle-day", "3s")
	if out := c.cli("webhook", "create", "app", "--url", srv.URL); !strings.Contains(out, "arn:meridian:sqs::app:webhook") {
		t.Errorf("webhook create prints %q", out)
	}
	client := c.aws(c.s3(1))
	bucket := aws.String("logs")
	_, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: bucket})
	if err == nil {
		_, err = client.PutBucketNotificationConfiguration(t.Context(), &s3.PutBucketNotificationConfigurationInput{
			Bucket: bucket, NotificationConfiguration: &types.NotificationConfiguration{QueueConfigurations: []types.QueueConfiguration{{
				QueueArn: aws.String("arn:meridian:sqs::app:webhook"), Events: []types.Event{"s3:ObjectCreated:*", "s3:LifecycleExpiration:*"},
			}}},
		})
	}
	if err == nil {
		_, err = client.PutBucketLifecycleConfiguration(t.Context(), &s3.PutBucketLifecycleConfigurationInput{
			Bucket: bucket, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{{
				Status: types.ExpirationStatusEnabled, Filter: &types.LifecycleRuleFilter{Prefix: aws.String("k")}, Expiration: &types.LifecycleExpiration{Days: aws.Int32(1)},
			}}},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	const n = 20
	for i := range n {
		if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: aws.String(fmt.Sprint("k", i)), Body: strings.NewReader("x")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: aws.String("stays"), Body: strings.NewReader("x")}); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the receiver was asked", func() bool { return refused.Load() > 0 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	eventually(t, time.Minute, "Postgres is gone after kill -9", func() bool { return len(postgresOf(dir)) == 0 })

	open.Store(true)
	c, cmd = startProcess(t, binary, dir, "--lifecycle-day", "3s")
	eventually(t, time.Minute, "everything is told", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for i := range n {
			if told[fmt.Sprint("ObjectCreated:Put k", i)] == 0 || told[fmt.Sprint("LifecycleExpiration:Delete k", i)] == 0 {
				return false
			}
		}
		return told["ObjectCreated:Put stays"] > 0
	})
	list, err := c.aws(c.s3(0)).ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: bucket})
	if err != nil || len(list.Contents) != 1 || aws.ToString(list.Contents[0].Key) != "stays" {
		t.Errorf("left are %+v, %v", list, err)
	}
	if out := c.cli("webhook", "list"); !strings.Contains(out, "app") {
		t.Errorf("webhook list prints %q", out)
	}
	if out := c.cli("webhook", "dead", "app"); strings.Count(out, "\n") != 1 {
		t.Errorf("webhook dead prints %q", out)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
}
