package httpcache

import (
	"net/http"
	"strings"
	"time"
)

// parseDate reads a date in one of the three forms of RFC 9110, section 5.6.7,
// whatever its letters' case (RFC 9111, section 4.2, asks for that), but to the
// digit: an Expires that is only like a date has expired.
func parseDate(s string) (time.Time, bool) {
	if zone := len(s) - len("GMT"); zone > 0 && strings.EqualFold(s[zone:], "GMT") {
		s = s[:zone] + "GMT"
	}
	t, err := http.ParseTime(s)
	if err != nil {
		return time.Time{}, false
	}
	for _, layout := range [...]string{http.TimeFormat, time.RFC850, time.ANSIC} {
		// Days of the week are not looked at; they say nothing more.
		_, written, _ := strings.Cut(t.UTC().Format(layout), " ")
		if _, given, _ := strings.Cut(s, " "); strings.EqualFold(strings.Replace(written, "UTC", "GMT", 1), given) {
			return t, true
		}
	}
	return time.Time{}, false
}
