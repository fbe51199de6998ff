package notify

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"strings"
	"testing"
	"time"

	"meridian/metadata"
)

func queue(id, arn, filter string, events ...string) string {
	var b strings.Builder
	for _, e := range events {
		b.WriteString("<Event>" + e + "</Event>")
	}
	if filter != "" {
		filter = "<Filter><S3Key>" + filter + "</S3Key></Filter>"
	}
	return "<QueueConfiguration><Id>" + id + "</Id><Queue>" + arn + "</Queue>" + b.String() + filter + "</QueueConfiguration>"
}

func affix(name, value string) string {
	return "<FilterRule><Name>" + name + "</Name><Value>" + value + "</Value></FilterRule>"
}

func check(text string) (*Config, error) {
	var c Config
	if err := xml.Unmarshal([]byte("<NotificationConfiguration>"+text+"</NotificationConfiguration>"), &c); err != nil {
		return nil, err
	}
	return &c, c.Check(func(id string) (bool, error) { return id == "app" || id == "other", nil })
}

func TestCheck(t *testing.T) {
	t.Parallel()
	const app, other, created = "arn:meridian:sqs::app:webhook", "arn:minio:sqs:us-east-1:other:webhook", "s3:ObjectCreated:*"
	for name, c := range map[string]struct{ config, code string }{
		"nothing":             {"", ""},
		"one":                 {queue("a", app, affix("Prefix", "x")+affix("suffix", ".jpg"), created), ""},
		"other events":        {queue("a", app, "", created) + queue("b", other, "", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:Delete"), ""},
		"apart by prefix":     {queue("a", app, affix("prefix", "x/"), created) + queue("b", other, affix("prefix", "y/"), created), ""},
		"apart by suffix":     {queue("a", app, affix("suffix", ".jpg"), created) + queue("b", other, affix("suffix", ".png"), created), ""},
		"a topic":             {"<TopicConfiguration><Topic>" + app + "</Topic><Event>" + created + "</Event></TopicConfiguration>", ""},
		"a function":          {"<CloudFunctionConfiguration><CloudFunction>" + app + "</CloudFunction><Event>" + created + "</Event></CloudFunctionConfiguration>", ""},
		"same event":          {queue("a", app, "", created) + queue("b", app, "", "s3:ObjectCreated:Put"), "InvalidArgument"},
		"overlapping affixes": {queue("a", app, affix("prefix", "x")+affix("suffix", "g"), created) + queue("b", app, affix("prefix", "xy")+affix("suffix", "jpg"), created), "InvalidArgument"},
		"same ID":             {queue("a", app, "", created) + queue("a", app, "", "s3:ObjectRemoved:*"), "InvalidArgument"},
		"unknown webhook":     {queue("a", "arn:meridian:sqs::nobody:webhook", "", created), "InvalidArgument"},
		"of AWS":              {queue("a", "arn:aws:sqs:us-east-1:123456789012:queue", "", created), "InvalidArgument"},
		"unknown event":       {queue("a", app, "", "s3:ObjectRestore:*"), "InvalidArgument"},
		"no event":            {queue("a", app, ""), "MalformedXML"},
		"no ARN":              {queue("a", "", "", created), "MalformedXML"},
		"two prefixes":        {queue("a", app, affix("prefix", "x")+affix("prefix", "y"), created), "InvalidArgument"},
		"filter":              {queue("a", app, affix("infix", "x"), created), "InvalidArgument"},
		"EventBridge":         {"<EventBridgeConfiguration/>", "NotImplemented"},
	} {
		_, err := check(c.config)
		var refused *RefusedError
		switch {
		case c.code == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.code != "" && (!errors.As(err, &refused) || refused.Code != c.code):
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

func TestAsks(t *testing.T) {
	t.Parallel()
	c, err := check(queue("a", ARN("app"), affix("prefix", "photos/")+affix("suffix", ".jpg"), "s3:ObjectCreated:*", "s3:ObjectRemoved:Delete"))
	if err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = Parse(document); err != nil || len(c.Rules()) != 1 {
		t.Fatalf("kept as %s: %v", document, err)
	}
	r := c.Rules()[0]
	for _, x := range []struct {
		event, key string
		want       bool
	}{
		{"ObjectCreated:Copy", "photos/a.jpg", true},
		{"ObjectRemoved:Delete", "photos/a.jpg", true},
		{"ObjectRemoved:DeleteMarkerCreated", "photos/a.jpg", false},
		{"ObjectCreated:Put", "photos/a.JPG", false},
		{"ObjectCreated:Put", "photo/a.jpg", false},
	} {
		if got := r.Asks(x.event, x.key); got != x.want {
			t.Errorf("asks for %s of %s: %t", x.event, x.key, got)
		}
	}
}

func TestRecord(t *testing.T) {
	t.Parallel()
	e := metadata.Event{
		Seq: metadata.Seq{Xid: 7, ID: 42}, Time: time.Date(2024, 1, 2, 3, 4, 5, 6e6, time.UTC), Type: metadata.ObjectCreated,
		Bucket: "b", Key: "a b/ü+", VersionID: "V", Region: "europe", Data: json.RawMessage(`{"size":0,"etag":"e"}`),
		Cause: metadata.Cause{Operation: metadata.ByCopy, User: "ada", Address: "192.0.2.1", Request: "R"},
	}
	name, data := EventName(e)
	text, err := json.Marshal(Records{[]Record{NewRecord(e, name, data, metadata.NotifyingBucket{Name: "b", Owner: "bob", Versioning: metadata.VersioningEnabled}, "rule")}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"europe","eventTime":"2024-01-02T03:04:05.006Z","eventName":"ObjectCreated:Copy",` +
		`"userIdentity":{"principalId":"ada"},"requestParameters":{"sourceIPAddress":"192.0.2.1"},"responseElements":{"x-amz-request-id":"R","x-amz-id-2":""},` +
		`"s3":{"s3SchemaVersion":"1.0","configurationId":"rule","bucket":{"name":"b","ownerIdentity":{"principalId":"bob"},"arn":"arn:aws:s3:::b"},` +
		`"object":{"key":"a+b/%C3%BC%2B","size":0,"eTag":"e","versionId":"V","sequencer":"000000000000002A"}}}]}`
	if string(text) != want {
		t.Errorf("record:\n got %s\nwant %s", text, want)
	}
	e.Type, e.Data = metadata.ObjectDeleted, json.RawMessage(`{"delete_marker":true}`)
	for operation, want := range map[string]string{metadata.ByDelete: "ObjectRemoved:DeleteMarkerCreated", metadata.ByLifecycle: "LifecycleExpiration:DeleteMarkerCreated"} {
		e.Cause.Operation = operation
		if name, _ := EventName(e); name != want {
			t.Errorf("a marker by %s: %s", operation, name)
		}
	}
	for data, want := range map[string]string{`{"changed":["tags"]}`: "ObjectTagging:Put", `{"changed":["tags-cleared","lock"]}`: "ObjectTagging:Delete", `{"changed":["acl"]}`: "ObjectAcl:Put", `{"changed":["lock"]}`: ""} {
		if name, _ := EventName(metadata.Event{Type: metadata.ObjectUpdated, Data: json.RawMessage(data)}); name != want {
			t.Errorf("%s: %s, want %s", data, name, want)
		}
	}
	e.Cause.Operation, e.Data = metadata.ByLifecycle, json.RawMessage(`{"delete_marker":true,"permanent":true}`)
	if name, _ := EventName(e); name != "LifecycleExpiration:Delete" {
		t.Errorf("a marker that is gone: %s", name)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add(queue("a", ARN("app"), affix("prefix", "x"), "s3:ObjectCreated:*"), "x")
	f.Add(queue("a", "arn:aws:sns:::", "", "s3:*"), "")
	f.Fuzz(func(t *testing.T, text, key string) {
		c, err := check(text)
		if err != nil {
			return
		}
		// No event is told twice by one configuration.
		for _, event := range supported {
			if strings.HasSuffix(event, "*") {
				continue
			}
			n := 0
			for _, r := range c.Rules() {
				if r.Asks(strings.TrimPrefix(event, "s3:"), key) {
					n++
				}
			}
			if n > 1 {
				t.Errorf("%d rules ask for %s of %q", n, event, key)
			}
		}
	})
}
