package notify

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"meridian/metadata"
)

// EventName is how S3 calls an event of the feed, and its data; empty where S3
// has no name for it, or nobody is told.
func EventName(e metadata.Event) (name string, data metadata.ObjectData) {
	switch e.Type {
	case metadata.ObjectCreated, metadata.ObjectUpdated, metadata.ObjectDeleted:
	default:
		return "", data
	}
	if len(e.Data) > 0 && json.Unmarshal(e.Data, &data) != nil {
		return "", data
	}
	if e.Type == metadata.ObjectUpdated {
		switch {
		case slices.Contains(data.Changed, metadata.ChangedTags):
			return "ObjectTagging:Put", data
		case slices.Contains(data.Changed, metadata.ClearedTags):
			return "ObjectTagging:Delete", data
		case slices.Contains(data.Changed, metadata.ChangedACL):
			return "ObjectAcl:Put", data
		}
		return "", data
	}
	if e.Type == metadata.ObjectCreated {
		if e.Cause.Operation == "" {
			return "ObjectCreated:Put", data
		}
		return "ObjectCreated:" + e.Cause.Operation, data
	}
	kind := "ObjectRemoved:"
	if e.Cause.Operation == metadata.ByLifecycle {
		kind = "LifecycleExpiration:"
	}
	if data.Marker && !data.Permanent {
		return kind + "DeleteMarkerCreated", data
	}
	return kind + "Delete", data
}

// Records is the message that tells of an event, in the form of S3.
type Records struct {
	Records []Record
}

// Record tells of one event.
type Record struct {
	EventVersion      string       `json:"eventVersion"`
	EventSource       string       `json:"eventSource"`
	Region            string       `json:"awsRegion"`
	EventTime         string       `json:"eventTime"`
	EventName         string       `json:"eventName"`
	User              principal    `json:"userIdentity"`
	RequestParameters requestSays  `json:"requestParameters"`
	ResponseElements  responseSays `json:"responseElements"`
	S3                recordS3     `json:"s3"`
}

type principal struct {
	ID string `json:"principalId"`
}

type requestSays struct {
	Address string `json:"sourceIPAddress"`
}

type responseSays struct {
	Request string `json:"x-amz-request-id"`
	Host    string `json:"x-amz-id-2"`
}

type recordS3 struct {
	Version string       `json:"s3SchemaVersion"`
	Rule    string       `json:"configurationId"`
	Bucket  recordBucket `json:"bucket"`
	Object  recordObject `json:"object"`
}

type recordBucket struct {
	Name  string    `json:"name"`
	Owner principal `json:"ownerIdentity"`
	ARN   string    `json:"arn"`
}

type recordObject struct {
	Key       string `json:"key"` // as in a query: escaped, with + for a blank
	Size      *int64 `json:"size,omitempty"`
	ETag      string `json:"eTag,omitempty"`
	VersionID string `json:"versionId,omitempty"`
	Sequencer string `json:"sequencer"`
}

// NewRecord tells of an event by a rule of its bucket. Its Sequencer grows, as
// text, with the events of one key.
func NewRecord(e metadata.Event, name string, data metadata.ObjectData, b metadata.NotifyingBucket, rule string) Record {
	o := recordObject{Key: escapeKey(e.Key), Sequencer: fmt.Sprintf("%016X", e.Seq.ID)}
	if e.Type != metadata.ObjectDeleted {
		o.Size, o.ETag = &data.Size, data.ETag
	}
	if b.Versioning != "" {
		o.VersionID = e.VersionID
	}
	return Record{
		EventVersion: "2.1", EventSource: "aws:s3", Region: e.Region, EventTime: e.Time.UTC().Format("2006-01-02T15:04:05.000Z"), EventName: name,
		User: principal{e.Cause.User}, RequestParameters: requestSays{e.Cause.Address}, ResponseElements: responseSays{Request: e.Cause.Request},
		S3: recordS3{
			Version: "1.0", Rule: rule, Object: o,
			Bucket: recordBucket{Name: e.Bucket, Owner: principal{b.Owner}, ARN: "arn:aws:s3:::" + e.Bucket},
		},
	}
}

// escapeKey leaves the slashes, as S3 does.
func escapeKey(key string) string { return strings.ReplaceAll(url.QueryEscape(key), "%2F", "/") }

// MediaEvents are the types of events of the feed that a webhook may ask for by
// itself.
func MediaEvents() []string { return []string{metadata.MediaDone, metadata.MediaBroken} }

// MediaMessage tells of an event about a media record, in the form that Standard
// Webhooks proposes. GET /v1/media/{id} tells the rest.
type MediaMessage struct {
	Type      string     `json:"type"`
	Timestamp time.Time  `json:"timestamp"`
	Data      mediaAbout `json:"data"`
}

type mediaAbout struct {
	metadata.MediaData
	Bucket    string `json:"bucket"`
	Key       string `json:"key"`
	VersionID string `json:"version_id"`
}

// NewMediaMessage tells of e.
func NewMediaMessage(e metadata.Event) (MediaMessage, error) {
	m := MediaMessage{Type: e.Type, Timestamp: e.Time.UTC(), Data: mediaAbout{Bucket: e.Bucket, Key: e.Key, VersionID: e.VersionID}}
	err := json.Unmarshal(e.Data, &m.Data.MediaData)
	return m, err
}

// TestMessage is what S3 sends to try whether somebody listens.
func TestMessage(now time.Time, request string) json.RawMessage {
	text, err := json.Marshal(map[string]string{
		"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": now.UTC().Format("2006-01-02T15:04:05.000Z"), "Bucket": "", "RequestId": request, "HostId": "",
	})
	if err != nil {
		return nil // strings have their JSON
	}
	return text
}
