package notify

import (
	"fmt"
	"slices"
	"strings"
)

// supported are the types of events that there are here.
var supported = []string{
	"s3:ObjectCreated:*", "s3:ObjectCreated:Put", "s3:ObjectCreated:Post", "s3:ObjectCreated:Copy", "s3:ObjectCreated:CompleteMultipartUpload",
	"s3:ObjectRemoved:*", "s3:ObjectRemoved:Delete", "s3:ObjectRemoved:DeleteMarkerCreated",
	"s3:ObjectTagging:*", "s3:ObjectTagging:Put", "s3:ObjectTagging:Delete", "s3:ObjectAcl:Put",
	"s3:LifecycleExpiration:*", "s3:LifecycleExpiration:Delete", "s3:LifecycleExpiration:DeleteMarkerCreated",
}

// RefusedError says why a configuration is refused, with the code by which S3
// says so. Name and Value are the argument that is wrong, where it is one.
type RefusedError struct{ Code, Text, Name, Value string }

func (r *RefusedError) Error() string { return r.Code + ": " + r.Text }

func refuse(name, value, format string, args ...any) error {
	return &RefusedError{"InvalidArgument", fmt.Sprintf(format, args...), name, value}
}

var errMalformed = &RefusedError{Code: "MalformedXML"}

const (
	maxRules   = 100
	maxID      = 255
	maxFilter  = 1024
	unreadable = "Unable to validate the following destination configurations"
)

// Check refuses what S3 refuses, in its words. known says whether there is a
// webhook of that ID.
func (c *Config) Check(known func(id string) (bool, error)) error {
	if c.EventBridge != nil {
		return &RefusedError{Code: "NotImplemented", Text: "There is no EventBridge here: name a webhook in a QueueConfiguration."}
	}
	rules := c.Rules()
	if len(rules) > maxRules {
		return refuse("", "", "The configuration has %d rules, more than %d.", len(rules), maxRules)
	}
	seen := map[string]bool{}
	for _, r := range rules {
		if len(r.ID) > maxID {
			return refuse("Id", r.ID, "ID length should not exceed allowed limit of %d", maxID)
		}
		if r.ID != "" && seen[r.ID] {
			return refuse("Id", r.ID, "Configuration ID must be unique. Found same ID for more than one configuration.")
		}
		seen[r.ID] = true
		if err := r.check(known); err != nil {
			return err
		}
	}
	return overlaps(rules)
}

func (r *Rule) check(known func(string) (bool, error)) error {
	if len(r.Events) == 0 || r.ARN() == "" {
		return errMalformed
	}
	for _, e := range r.Events {
		if !slices.Contains(supported, e) {
			return refuse("Event", e, "The event '%s' is not supported for notifications. Supported are %s; with mc: --event put,delete", e, strings.Join(supported, ", "))
		}
	}
	if r.Filter != nil {
		if err := r.Filter.check(); err != nil {
			return err
		}
	}
	id, ok := Webhook(r.ARN())
	if !ok {
		return refuse(r.ARN(), "The ARN does not name a webhook; it has the form "+ARN("ID"), unreadable)
	}
	there, err := known(id)
	if err != nil {
		return err
	}
	if !there {
		return refuse(r.ARN(), "There is no webhook with the ID "+id+"; the metadata API makes some at /v1/webhooks", unreadable)
	}
	return nil
}

func (f *Filter) check() error {
	names := map[string]bool{}
	for _, rule := range f.Rules {
		name := strings.ToLower(rule.Name)
		switch {
		case name != "prefix" && name != "suffix":
			return refuse("FilterRule.Name", rule.Name, "filter rule name must be either prefix or suffix")
		case names[name]:
			return refuse("FilterRule.Name", rule.Name, "Cannot specify more than one %s rule in a filter.", name)
		case len(rule.Value) > maxFilter:
			return refuse("FilterRule.Value", rule.Value, "Size of filter rule value cannot exceed %d bytes in UTF-8 representation", maxFilter)
		}
		names[name] = true
	}
	return nil
}

// overlaps refuses rules of which an event could fit two.
func overlaps(rules []*Rule) error {
	for i, a := range rules {
		for _, b := range rules[:i] {
			prefixA, suffixA := a.affixes()
			prefixB, suffixB := b.affixes()
			if !strings.HasPrefix(prefixA, prefixB) && !strings.HasPrefix(prefixB, prefixA) ||
				!strings.HasSuffix(suffixA, suffixB) && !strings.HasSuffix(suffixB, suffixA) {
				continue
			}
			for _, e := range a.Events {
				if slices.ContainsFunc(b.Events, func(f string) bool { return covers(e, f) || covers(f, e) }) {
					return refuse("", "", "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are overlapping for the same event type.")
				}
			}
		}
	}
	return nil
}
