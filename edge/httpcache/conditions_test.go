package httpcache

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestCheckConditions(t *testing.T) {
	t.Parallel()
	// Modified 1000 s ago, answered now.
	current := Validators{ETag: `"a,b"`, LastModified: now.Add(-1000 * time.Second), Date: now}
	weak := current
	weak.ETag = `W/"a,b"`
	young := current
	young.Date = current.LastModified
	none := Validators{}
	const get = http.MethodGet
	for name, c := range map[string]struct {
		method    string
		request   http.Header
		current   Validators
		status    int
		withRange bool
	}{
		"nothing":                    {get, header(), current, 0, false},
		"range":                      {get, header("Range: bytes=0-1"), current, 0, true},
		"range of HEAD":              {http.MethodHead, header("Range: bytes=0-1"), current, 0, false},
		"two ranges":                 {get, header("Range: bytes=0-1", "Range: bytes=5-6"), current, 0, false},
		"none match":                 {get, header(`If-None-Match: "a,b"`), current, 304, false},
		"none match, HEAD":           {http.MethodHead, header(`If-None-Match: "a,b"`), current, 304, false},
		"none match, PUT":            {http.MethodPut, header(`If-None-Match: "a,b"`), current, 412, false},
		"none match, list":           {get, header(`If-None-Match: "x", W/"y" ,"a,b"`), current, 304, false},
		"none match, lines":          {get, header(`If-None-Match: "x"`, `If-None-Match: "a,b"`), current, 304, false},
		"none match, weak":           {get, header(`If-None-Match: W/"a,b"`), current, 304, false},
		"none match, weak here":      {get, header(`If-None-Match: "a,b"`), weak, 304, false},
		"none match, star":           {get, header("If-None-Match: *"), current, 304, false},
		"none match, star in list":   {get, header(`If-None-Match: "x", *`), current, 0, false},
		"none match, part of a tag":  {get, header(`If-None-Match: "a"`), current, 0, false},
		"none match, comma in a tag": {get, header(`If-None-Match: "x,"a,b""`), current, 0, false},
		"none match, no quotes":      {get, header("If-None-Match: a"), Validators{ETag: `"a"`}, 304, false},
		"none match, no end":         {get, header(`If-None-Match: "a,b`), current, 0, false},
		"none match, after nonsense": {get, header(`If-None-Match: "x" "a,b"`), current, 0, false},
		"none match, empty":          {get, header("If-None-Match: "), current, 0, false},
		"none match, lower w":        {get, header(`If-None-Match: w/"a,b"`), current, 0, false},
		"none match beats modified":  {get, header(`If-None-Match: "x"`, "If-Modified-Since: <0>"), current, 0, false},
		"none match, no tag here":    {get, header(`If-None-Match: "a,b"`), none, 0, false},
		"match":                      {get, header(`If-Match: "a,b"`), current, 0, false},
		"match, list":                {get, header(`If-Match: "x", "a,b"`), current, 0, false},
		"match, star":                {get, header("If-Match: *"), none, 0, false},
		"match fails":                {get, header(`If-Match: "x"`), current, 412, false},
		"match is strong":            {get, header(`If-Match: W/"a,b"`), current, 412, false},
		"match is strong here":       {get, header(`If-Match: W/"a,b"`), weak, 412, false},
		"match beats none match":     {get, header(`If-Match: "x"`, `If-None-Match: "a,b"`), current, 412, false},
		"match and none match":       {get, header(`If-Match: "a,b"`, `If-None-Match: "a,b"`), current, 304, false},
		"match beats unmodified":     {get, header(`If-Match: "a,b"`, "If-Unmodified-Since: <-2000>"), current, 0, false},
		"unmodified":                 {get, header("If-Unmodified-Since: <-1000>"), current, 0, false},
		"unmodified fails":           {get, header("If-Unmodified-Since: <-1001>"), current, 412, false},
		"unmodified, no date":        {get, header("If-Unmodified-Since: never"), current, 0, false},
		"unmodified, none here":      {get, header("If-Unmodified-Since: <-1001>"), none, 0, false},
		"modified":                   {get, header("If-Modified-Since: <-1001>"), current, 0, false},
		"not modified":               {get, header("If-Modified-Since: <-1000>"), current, 304, false},
		"not modified, other format": {get, header("If-Modified-Since: " + now.Format("Monday, 02-Jan-06 15:04:05 GMT")), current, 304, false},
		"not modified, PUT":          {http.MethodPut, header("If-Modified-Since: <0>"), current, 0, false},
		"modified, no date":          {get, header("If-Modified-Since: 0"), current, 0, false},
		"modified, twice":            {get, header("If-Modified-Since: <0>", "If-Modified-Since: <0>"), current, 0, false},
		"modified, none here":        {get, header("If-Modified-Since: <0>"), none, 0, false},
		"if range":                   {get, header("Range: bytes=0-1", `If-Range: "a,b"`), current, 0, true},
		"if range, other":            {get, header("Range: bytes=0-1", `If-Range: "x"`), current, 0, false},
		"if range, weak":             {get, header("Range: bytes=0-1", `If-Range: W/"a,b"`), weak, 0, false},
		"if range, weak here":        {get, header("Range: bytes=0-1", `If-Range: "a,b"`), weak, 0, false},
		"if range, list":             {get, header("Range: bytes=0-1", `If-Range: "a,b", "c"`), current, 0, false},
		"if range, date":             {get, header("Range: bytes=0-1", "If-Range: <-1000>"), current, 0, true},
		"if range, later date":       {get, header("Range: bytes=0-1", "If-Range: <-999>"), current, 0, false},
		"if range, date is weak":     {get, header("Range: bytes=0-1", "If-Range: <-1000>"), young, 0, false},
		"if range, nonsense":         {get, header("Range: bytes=0-1", "If-Range: yes"), current, 0, false},
		"if range, not modified":     {get, header("Range: bytes=0-1", `If-Range: "a,b"`, `If-None-Match: "a,b"`), current, 304, false},
	} {
		status, withRange := CheckConditions(c.method, c.request, c.current)
		if status != c.status || withRange != c.withRange {
			t.Errorf("%s: %d, range %v, want %d, range %v", name, status, withRange, c.status, c.withRange)
		}
	}
}

func FuzzMatchETag(f *testing.F) {
	for _, s := range []string{`"a"`, `W/"a"`, `*`, `"a","b"`, `a, b`, `"a" "b"`, `"`, `W/`} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, list, etag string) {
		strong := matchETag([]string{list}, etag, true)
		if strong && !matchETag([]string{list}, etag, false) {
			t.Errorf("%q has %q strongly, not weakly", list, etag)
		}
		if tag, rest, ok := cutETag(etag); ok && rest == "" {
			if !matchETag([]string{`"other", ` + tag}, tag, false) && tag == etag {
				t.Errorf("%q is not found in a list of it", tag)
			}
		}
		if strong && list != "*" && !strings.Contains(list, strings.Trim(etag, `"`)) && trimSpace(list) != "*" {
			t.Errorf("%q is found in %q", etag, list)
		}
	})
}
