package lifecycle

import (
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// Limits of S3.
const (
	maxRules = 1000
	maxID    = 255
	maxNewer = 100
	maxTag   = 128 // characters of a key
	maxValue = 256
	maxDays  = math.MaxInt32
)

// RefusedError says why a configuration is refused, with the code by which S3
// says so; where Text is empty the standard text of the code says enough.
type RefusedError struct{ Code, Text string }

func (r *RefusedError) Error() string { return r.Code + ": " + r.Text }

func refuse(code, format string, args ...any) error {
	return &RefusedError{code, fmt.Sprintf(format, args...)}
}

const (
	malformed       = "MalformedXML"
	invalidArgument = "InvalidArgument"
	invalidRequest  = "InvalidRequest"
	notImplemented  = "NotImplemented"
)

// Check refuses what S3 refuses, mostly in its words, and transitions.
func (c *Config) Check() error {
	switch {
	case len(c.Rules) == 0:
		return refuse(malformed, "")
	case len(c.Rules) > maxRules:
		return refuse(invalidRequest, "The configuration has %d rules, more than %d.", len(c.Rules), maxRules)
	}
	seen := map[string]bool{}
	for i := range c.Rules {
		r := &c.Rules[i]
		if utf8.RuneCountInString(r.ID) > maxID {
			return refuse(invalidArgument, "ID length should not exceed allowed limit of %d", maxID)
		}
		if r.ID != "" && seen[r.ID] {
			return refuse(invalidArgument, "Rule ID must be unique. Found same ID for one or more rules")
		}
		seen[r.ID] = true
		if err := r.check(); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rule) check() error {
	switch {
	case r.Status != Enabled && r.Status != Disabled, (r.Prefix == nil) == (r.Filter == nil):
		return refuse(malformed, "")
	case len(r.Transitions) > 0, len(r.NoncurrentTransitions) > 0:
		return refuse(notImplemented, "There is no other storage class to which objects could move: leave out Transition and NoncurrentVersionTransition.")
	case r.Expiration == nil && r.Noncurrent == nil && r.Abort == nil && r.Hidden == nil:
		return refuse(invalidRequest, "At least one action needs to be specified in a rule")
	}
	if r.Filter != nil {
		if err := r.Filter.check(); err != nil {
			return err
		}
	}
	s := r.selection()
	if err := s.check(); err != nil {
		return err
	}
	if r.Expiration != nil {
		if err := r.Expiration.check(&s); err != nil {
			return err
		}
	}
	if r.Noncurrent != nil {
		if err := r.Noncurrent.check(); err != nil {
			return err
		}
	}
	if r.Hidden != nil {
		if err := s.prefixOnly("DelMarkerExpiration"); err != nil {
			return err
		}
		if err := checkDays("Days", "DelMarkerExpiration", r.Hidden.Days); err != nil {
			return err
		}
	}
	if r.Abort == nil {
		return nil
	}
	if err := s.prefixOnly("AbortIncompleteMultipartUpload"); err != nil {
		return err
	}
	return checkDays("DaysAfterInitiation", "AbortIncompleteMultipartUpload", r.Abort.Days)
}

// check refuses a filter of several properties that are not in And.
func (f *Filter) check() error {
	n := 0
	for _, there := range []bool{f.Prefix != nil, f.Tag != nil, f.GreaterThan != nil, f.LessThan != nil, f.And != nil} {
		if there {
			n++
		}
	}
	if n > 1 {
		return refuse(malformed, "")
	}
	if a := f.And; a != nil {
		n = len(a.Tags)
		for _, there := range []bool{a.Prefix != nil, a.GreaterThan != nil, a.LessThan != nil} {
			if there {
				n++
			}
		}
		if n < 2 {
			return refuse(malformed, "")
		}
	}
	return nil
}

func (s *selection) check() error {
	if len(s.prefix) > 1024 {
		return refuse(invalidRequest, "The maximum size of a prefix is 1024.")
	}
	for i, t := range s.tags {
		switch {
		case t.Key == "" || utf8.RuneCountInString(t.Key) > maxTag:
			return refuse("InvalidTag", "The TagKey you have provided is invalid")
		case utf8.RuneCountInString(t.Value) > maxValue:
			return refuse("InvalidTag", "The TagValue you have provided is invalid")
		case slices.ContainsFunc(s.tags[:i], func(o Tag) bool { return o.Key == t.Key }):
			return refuse(invalidRequest, "Duplicate Tag Keys are not allowed.")
		}
	}
	switch {
	case s.greater != nil && *s.greater < 0:
		return refuse(invalidRequest, "'ObjectSizeGreaterThan' should be 0 or greater.")
	case s.lessThan != nil && *s.lessThan < 1:
		return refuse(invalidRequest, "'ObjectSizeLessThan' should be greater than 0.")
	case s.greater != nil && s.lessThan != nil && *s.lessThan <= *s.greater:
		return refuse(invalidRequest, "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.")
	}
	return nil
}

// prefixOnly refuses an action that does not go with tags or sizes: what it is
// about has none.
func (s *selection) prefixOnly(action string) error {
	switch {
	case len(s.tags) > 0:
		return refuse(invalidRequest, "%s cannot be specified with Tags.", action)
	case s.greater != nil || s.lessThan != nil:
		return refuse(invalidRequest, "%s cannot be specified with Object Size.", action)
	}
	return nil
}

func (e *Expiration) check(s *selection) error {
	n := 0
	for _, there := range []bool{e.Days != nil, e.Date != nil, e.DeleteMarker != nil} {
		if there {
			n++
		}
	}
	switch {
	case n != 1:
		return refuse(malformed, "")
	case deref(e.AllVersions) && e.DeleteMarker != nil:
		return refuse(malformed, "")
	case e.Date != nil && !e.Date.Equal(e.Date.Truncate(day)):
		return refuse(invalidArgument, "'Date' must be at midnight GMT")
	case e.DeleteMarker != nil:
		return s.prefixOnly("ExpiredObjectDeleteMarker")
	case e.Days != nil:
		return checkDays("Days", "Expiration", e.Days)
	}
	return nil
}

func (n *NoncurrentExpiration) check() error {
	if n.Newer != nil && (*n.Newer < 1 || *n.Newer > maxNewer) {
		return refuse(invalidArgument, "'NewerNoncurrentVersions' for NoncurrentVersionExpiration action must be a positive integer up to %d", maxNewer)
	}
	if n.Days == nil && n.Newer != nil {
		return nil
	}
	return checkDays("NoncurrentDays", "NoncurrentVersionExpiration", n.Days)
}

func checkDays(name, action string, days *int) error {
	switch {
	case days == nil:
		return refuse(malformed, "")
	case *days < 1 || *days > maxDays:
		return refuse(invalidArgument, "'%s' for %s action must be a positive integer", name, action)
	}
	return nil
}

// CheckMinimumTransition refuses a value of the header of that name.
func CheckMinimumTransition(value string) error {
	if value == "" || slices.Contains([]string{MinimumDefault, "varies_by_storage_class"}, value) {
		return nil
	}
	return refuse(invalidRequest, "The value of x-amz-transition-default-minimum-object-size is not one of %s, varies_by_storage_class.", MinimumDefault)
}

// MinimumDefault is x-amz-transition-default-minimum-object-size where a
// configuration does not say.
const MinimumDefault = "all_storage_classes_128K"
