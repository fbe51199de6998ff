package s3api

import (
	"testing"
	"unicode/utf8"
)

// FuzzTagging reads tags as a header and as XML have them: what is taken can be
// kept, and holds to the limits.
func FuzzTagging(f *testing.F) {
	for _, s := range []string{
		"a=1&b=&c%20d=x%2By", "=1", "a=1&a=2", "%zz", "aws:x=1",
		"<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>", "<Tagging/>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		check := func(tags map[string]string, err error) {
			if err == nil && len(tags) > maxTags {
				t.Errorf("%d tags were taken", len(tags))
			}
			for k, v := range tags {
				if k == "" || !utf8.ValidString(k+v) || utf8.RuneCountInString(k) > maxTagKey || utf8.RuneCountInString(v) > maxTagValue {
					t.Errorf("tag %q: %q was taken", k, v)
				}
			}
		}
		check(parseTagging(s))
		var doc tagging
		if parseXML([]byte(s), "Tagging", &doc) == nil {
			check(doc.tags(maxTags))
		}
		var lock lockConfiguration
		if parseXML([]byte(s), "ObjectLockConfiguration", &lock) == nil {
			if l, err := lock.lock(); err == nil && (l.Mode == "") != (l.Days == 0 && l.Years == 0) {
				t.Errorf("object lock %+v was taken", l)
			}
		}
	})
}
