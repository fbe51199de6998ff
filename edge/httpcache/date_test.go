package httpcache

import (
	"net/http"
	"testing"
	"time"
)

func TestParseDate(t *testing.T) {
	t.Parallel()
	want := time.Date(2050, 8, 18, 2, 1, 18, 0, time.UTC)
	for _, good := range []string{
		"Thu, 18 Aug 2050 02:01:18 GMT", "THU, 18 AUG 2050 02:01:18 gMT", "Thursday, 18-Aug-50 02:01:18 GMT", "Thu Aug 18 02:01:18 2050",
	} {
		if got, ok := parseDate(good); !ok || !got.Equal(want) {
			t.Errorf("%q reads as %v, %v", good, got, ok)
		}
	}
	if got, ok := parseDate("Mon Aug  8 02:01:18 2050"); !ok || got.Day() != 8 {
		t.Errorf("a day of one digit reads as %v, %v", got, ok)
	}
	for _, bad := range []string{
		"", "0", "-1", "GMT", "Thu, 18 Aug 2050 2:01:18 GMT", "Thu, 18  Aug  2050 02:01:18 GMT", "Thu, 18 Aug 2050 02:01:18 UTC",
		"Thu, 18 Aug 50 02:01:18 GMT", "Thu 18 Aug 2050 02:01:18 GMT", "Thu, 18-Aug-2050 02:01:18 GMT", "Thu, 18 Aug 2050 02:01:18 AEST",
	} {
		if got, ok := parseDate(bad); ok {
			t.Errorf("%q reads as %v", bad, got)
		}
	}
}

func FuzzParseDate(f *testing.F) {
	f.Add("Thu, 18 Aug 2050 02:01:18 GMT")
	f.Add("Thu Aug  8 02:01:18 2050")
	f.Fuzz(func(t *testing.T, s string) {
		// What is read here means the same to everybody else.
		if got, ok := parseDate(s); ok {
			if again, ok := parseDate(got.UTC().Format(http.TimeFormat)); got.Year() >= 1000 && (!ok || !again.Equal(got)) {
				t.Errorf("%q reads as %v, and that as %v", s, got, again)
			}
		}
	})
}
