// Package lifecycle is what a bucket's lifecycle configuration means: the rules
// as S3 has them, when they fall due, and for which versions. It changes nothing;
// package metadata/lifecycle/expire does what the rules say.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lifecycle-mgmt.html
package lifecycle

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
)

// ConfigName is the subresource of a bucket that holds its Config as JSON.
const ConfigName = "lifecycle"

// Values of Rule.Status.
const (
	Enabled  = "Enabled"
	Disabled = "Disabled"
)

// Config is the lifecycle configuration of a bucket. All its rules apply.
type Config struct {
	XMLName xml.Name `json:"-"`
	Rules   []Rule   `xml:"Rule" json:"rules"`
	// MinimumTransition is x-amz-transition-default-minimum-object-size, which is
	// given back as it came: there are no transitions.
	MinimumTransition string `xml:"-" json:"minimum_transition,omitempty"`
}

// Rule says what becomes of some versions, and when.
type Rule struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	// Prefix is how older tools select keys; a rule has it or a Filter.
	Prefix     *string               `json:"prefix,omitempty"`
	Filter     *Filter               `json:"filter,omitempty"`
	Expiration *Expiration           `json:"expiration,omitempty"`
	Noncurrent *NoncurrentExpiration `xml:"NoncurrentVersionExpiration" json:"noncurrent,omitempty"`
	Abort      *Abort                `xml:"AbortIncompleteMultipartUpload" json:"abort,omitempty"`
	// Hidden is an extension of MinIO.
	Hidden *HiddenExpiration `xml:"DelMarkerExpiration" json:"hidden,omitempty"`

	// What would move objects to another storage class, which is refused.
	Transitions           []struct{} `xml:"Transition" json:"-"`
	NoncurrentTransitions []struct{} `xml:"NoncurrentVersionTransition" json:"-"`
}

// Filter selects versions by one property, or by several in And; empty, all.
type Filter struct {
	Prefix      *string `json:"prefix,omitempty"`
	Tag         *Tag    `json:"tag,omitempty"`
	GreaterThan *int64  `xml:"ObjectSizeGreaterThan" json:"greater_than,omitempty"` // bytes
	LessThan    *int64  `xml:"ObjectSizeLessThan" json:"less_than,omitempty"`       // bytes
	And         *And    `json:"and,omitempty"`
}

// And is a filter all of whose properties must hold.
type And struct {
	Prefix      *string `json:"prefix,omitempty"`
	Tags        []Tag   `xml:"Tag" json:"tags,omitempty"`
	GreaterThan *int64  `xml:"ObjectSizeGreaterThan" json:"greater_than,omitempty"`
	LessThan    *int64  `xml:"ObjectSizeLessThan" json:"less_than,omitempty"`
}

// Tag is a tag that an object must have.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Expiration ends current versions, by age or from a day on, or removes delete
// markers below which nothing is left.
type Expiration struct {
	Days         *int  `json:"days,omitempty"`
	Date         *Date `json:"date,omitempty"`
	DeleteMarker *bool `xml:"ExpiredObjectDeleteMarker" json:"delete_marker,omitempty"`
	// AllVersions, an extension of MinIO, has Days and Date end the whole key with
	// its current version, and leave no delete marker.
	AllVersions *bool `xml:"ExpiredObjectAllVersions" json:"all_versions,omitempty"`
}

// HiddenExpiration ends the whole key so many days after a delete marker hid it.
type HiddenExpiration struct {
	Days *int `json:"days,omitempty"`
}

// NoncurrentExpiration removes versions that have been noncurrent for so many
// days, all but the newest Newer of a key. Without Days, which S3 asks for and
// MinIO does not, they go as soon as there are newer ones enough.
type NoncurrentExpiration struct {
	Days  *int `xml:"NoncurrentDays" json:"days,omitempty"`
	Newer *int `xml:"NewerNoncurrentVersions" json:"newer,omitempty"`
}

// Abort ends multipart uploads that were begun so many days ago.
type Abort struct {
	Days *int `xml:"DaysAfterInitiation" json:"days,omitempty"`
}

// Parse reads a configuration that was kept as JSON. Nothing is nil.
func Parse(document json.RawMessage) (*Config, error) {
	if len(document) == 0 || string(document) == "null" {
		return nil, nil //nolint:nilnil // nil has no rules
	}
	var c Config
	if err := json.Unmarshal(document, &c); err != nil {
		return nil, fmt.Errorf("lifecycle configuration: %w", err)
	}
	return &c, nil
}

// selection is what a rule selects, in whichever form it says so.
type selection struct {
	prefix            string
	tags              []Tag
	greater, lessThan *int64
}

func (r *Rule) selection() selection {
	f := r.Filter
	switch {
	case f == nil:
		return selection{prefix: deref(r.Prefix)}
	case f.And != nil:
		return selection{deref(f.And.Prefix), f.And.Tags, f.And.GreaterThan, f.And.LessThan}
	}
	s := selection{prefix: deref(f.Prefix), greater: f.GreaterThan, lessThan: f.LessThan}
	if f.Tag != nil {
		s.tags = []Tag{*f.Tag}
	}
	return s
}

func deref[T any](p *T) T {
	if p == nil {
		var none T
		return none
	}
	return *p
}

// Prefixes are those under which an enabled rule selects keys, without those
// that lie under another: what must be walked.
func (c *Config) Prefixes() []string {
	var all []string
	for i := range c.Rules {
		if c.Rules[i].Status == Enabled {
			all = append(all, c.Rules[i].selection().prefix)
		}
	}
	slices.Sort(all)
	var least []string
	for _, p := range all {
		if n := len(least); n == 0 || !strings.HasPrefix(p, least[n-1]) {
			least = append(least, p)
		}
	}
	return least
}
