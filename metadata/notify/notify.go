// Package notify is what a bucket's notification configuration means: which
// events it asks for, who is to be told, and the records that tell of them, as S3
// has them. Package metadata/notify/webhook sends them.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventNotifications.html
package notify

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ConfigName is the subresource of a bucket that holds its Config as JSON.
const ConfigName = "notification"

// Config is the notification configuration of a bucket. S3 tells topics, queues
// and functions; here each of them is a webhook, named by its ARN.
type Config struct {
	XMLName     xml.Name  `json:"-"`
	Topics      []Rule    `xml:"TopicConfiguration" json:"topics,omitempty"`
	Queues      []Rule    `xml:"QueueConfiguration" json:"queues,omitempty"`
	Functions   []Rule    `xml:"CloudFunctionConfiguration" json:"functions,omitempty"`
	EventBridge *struct{} `xml:"EventBridgeConfiguration" json:"-"`
}

// Rule asks for events about some keys.
type Rule struct {
	ID string `xml:"Id" json:"id"`
	// One of the three is the ARN of who is told.
	Topic    string   `xml:"Topic,omitempty" json:"topic,omitempty"`
	Queue    string   `xml:"Queue,omitempty" json:"queue,omitempty"`
	Function string   `xml:"CloudFunction,omitempty" json:"function,omitempty"`
	Events   []string `xml:"Event" json:"events"`
	Filter   *Filter  `xml:"Filter" json:"filter,omitempty"`
}

// Filter selects keys.
type Filter struct {
	Rules []FilterRule `xml:"S3Key>FilterRule" json:"rules,omitempty"`
}

// FilterRule is a prefix or a suffix that a key must have.
type FilterRule struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Parse reads a configuration that was kept as JSON. Nothing is an empty one.
func Parse(document json.RawMessage) (*Config, error) {
	var c Config
	if len(document) == 0 {
		return &c, nil
	}
	if err := json.Unmarshal(document, &c); err != nil {
		return nil, fmt.Errorf("notification configuration: %w", err)
	}
	return &c, nil
}

// Rules are the rules of all kinds.
func (c *Config) Rules() []*Rule {
	var all []*Rule
	for _, list := range [][]Rule{c.Topics, c.Queues, c.Functions} {
		for i := range list {
			all = append(all, &list[i])
		}
	}
	return all
}

// ARN is that of who is told.
func (r *Rule) ARN() string {
	for _, arn := range []string{r.Topic, r.Queue, r.Function} {
		if arn != "" {
			return arn
		}
	}
	return ""
}

var webhookID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// IsWebhookID says whether a webhook can have that ID: it is a part of an ARN.
func IsWebhookID(id string) bool { return webhookID.MatchString(id) }

// ARN is the name by which configurations mean a webhook.
func ARN(webhook string) string { return "arn:meridian:sqs::" + webhook + ":webhook" }

// Webhook is the ID of the webhook that an ARN names: arn:meridian:sqs::ID:webhook.
// The form of MinIO, arn:minio:sqs:REGION:ID:webhook, means the same.
func Webhook(arn string) (id string, ok bool) {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[0] != "arn" || parts[1] != "meridian" && parts[1] != "minio" || parts[5] != "webhook" {
		return "", false
	}
	return parts[4], slices.Contains([]string{"sqs", "sns", "lambda"}, parts[2]) && IsWebhookID(parts[4])
}

// affixes are what keys must begin and end with.
func (r *Rule) affixes() (prefix, suffix string) {
	if r.Filter == nil {
		return "", ""
	}
	for _, f := range r.Filter.Rules {
		if strings.EqualFold(f.Name, "prefix") {
			prefix = f.Value
		} else {
			suffix = f.Value
		}
	}
	return prefix, suffix
}

// Asks says whether the rule asks for an event about a key. event is as in
// Record.EventName.
func (r *Rule) Asks(event, key string) bool {
	prefix, suffix := r.affixes()
	return strings.HasPrefix(key, prefix) && strings.HasSuffix(key, suffix) &&
		slices.ContainsFunc(r.Events, func(asked string) bool { return covers(asked, "s3:"+event) })
}

// covers says whether a type of events, which may end in an asterisk, is or
// contains another.
func covers(asked, event string) bool {
	all, many := strings.CutSuffix(asked, "*")
	return asked == event || many && strings.HasPrefix(event, all)
}
