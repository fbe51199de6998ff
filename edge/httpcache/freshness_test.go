package httpcache

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// header makes a header of lines; "<n>" in one is the date n seconds from now.
func header(lines ...string) http.Header {
	h := http.Header{}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		if rest, ok := strings.CutPrefix(value, "<"); ok {
			d, err := time.ParseDuration(strings.TrimSuffix(rest, ">") + "s")
			if err != nil {
				panic(err)
			}
			value = now.Add(d).Format(http.TimeFormat)
		}
		h.Add(name, value)
	}
	return h
}

const (
	day = 24 * time.Hour
	sec = time.Second
)

func TestJudge(t *testing.T) {
	t.Parallel()
	bucket := Rules{TTL: day, NegativeTTL: 5 * sec, StaleIfError: 60 * sec}
	zone := Rules{Heuristic: true}
	authorized := Rules{TTL: day, Authorized: true}
	for name, c := range map[string]struct {
		status int
		header http.Header
		age    time.Duration
		rules  Rules
		want   Freshness
	}{
		"bucket's own":           {200, header(), 0, bucket, Freshness{Lifetime: day, StaleIfError: 60 * sec, Storable: true}},
		"bucket's own, aged":     {200, header(), 10 * sec, bucket, Freshness{Lifetime: day + 10*sec, StaleIfError: 60 * sec, Storable: true}},
		"negative":               {404, header(), 0, bucket, Freshness{Lifetime: 5 * sec, StaleIfError: 60 * sec, Storable: true}},
		"gone":                   {410, header(), 0, bucket, Freshness{Lifetime: 5 * sec, StaleIfError: 60 * sec, Storable: true}},
		"failure":                {503, header(), 0, bucket, Freshness{StaleIfError: 60 * sec}},
		"failure, allowed":       {503, header("Cache-Control: max-age=9"), 0, zone, Freshness{Lifetime: 9 * sec, Storable: true}},
		"partial":                {206, header("Cache-Control: max-age=9"), 0, zone, Freshness{Lifetime: 9 * sec}},
		"max-age":                {200, header("Cache-Control: max-age=60"), 0, bucket, Freshness{Lifetime: 60 * sec, StaleIfError: 60 * sec, Storable: true}},
		"s-maxage":               {200, header("Cache-Control: max-age=60, s-maxage=70"), 0, zone, Freshness{Lifetime: 70 * sec, MustRevalidate: true, Storable: true}},
		"s-maxage and stale":     {200, header("Cache-Control: s-maxage=70, stale-if-error=5"), 0, zone, Freshness{Lifetime: 70 * sec, StaleIfError: 5 * sec, Storable: true}},
		"expires":                {200, header("Date: <-10>", "Expires: <50>"), 0, zone, Freshness{Lifetime: 60 * sec, Storable: true}},
		"expires, no date":       {200, header("Expires: <50>"), 0, zone, Freshness{Lifetime: 50 * sec, Storable: true}},
		"expires 0":              {200, header("Expires: 0"), 0, bucket, Freshness{StaleIfError: 60 * sec}},
		"expires twice":          {200, header("Expires: <50>", "Expires: <500>"), 0, zone, Freshness{Lifetime: 50 * sec, Storable: true}},
		"max-age over expires":   {200, header("Cache-Control: max-age=5", "Expires: <50>"), 0, zone, Freshness{Lifetime: 5 * sec, Storable: true}},
		"expired, has validator": {200, header("Cache-Control: max-age=0", `ETag: "a"`), 0, zone, Freshness{Storable: true}},
		"unreadable":             {200, header("Cache-Control: max-age=soon", `ETag: "a"`), 0, bucket, Freshness{StaleIfError: 60 * sec, Storable: true}},
		"no-store":               {200, header("Cache-Control: no-store, max-age=60"), 0, zone, Freshness{Lifetime: 60 * sec}},
		"must-understand":        {200, header("Cache-Control: must-understand, no-store, max-age=60"), 0, zone, Freshness{Lifetime: 60 * sec, Storable: true}},
		"not understood":         {299, header("Cache-Control: must-understand, no-store, max-age=60"), 0, zone, Freshness{Lifetime: 60 * sec}},
		"private":                {200, header("Cache-Control: private, max-age=60"), 0, zone, Freshness{Lifetime: 60 * sec}},
		"private field":          {200, header(`Cache-Control: private="set-cookie", max-age=60`), 0, zone, Freshness{Lifetime: 60 * sec, Storable: true}},
		"no-cache":               {200, header("Cache-Control: no-cache, max-age=60"), 0, bucket, Freshness{Lifetime: 60 * sec, NoCache: true, Storable: true}},
		"must-revalidate":        {200, header("Cache-Control: must-revalidate, stale-if-error=9"), 0, bucket, Freshness{Lifetime: day, MustRevalidate: true, Storable: true}},
		"stale":                  {200, header("Cache-Control: max-age=1, stale-while-revalidate=2, stale-if-error=3"), 0, bucket, Freshness{Lifetime: sec, StaleWhileRevalidate: 2 * sec, StaleIfError: 3 * sec, Storable: true}},
		"authorized":             {200, header("Cache-Control: max-age=60"), 0, authorized, Freshness{Lifetime: 60 * sec}},
		"authorized, public":     {200, header("Cache-Control: max-age=60, public"), 0, authorized, Freshness{Lifetime: 60 * sec, Storable: true}},
		"authorized, s-maxage":   {200, header("Cache-Control: s-maxage=60"), 0, authorized, Freshness{Lifetime: 60 * sec, MustRevalidate: true, Storable: true}},
		"heuristic":              {200, header("Date: <0>", "Last-Modified: <-1000>"), 0, zone, Freshness{Lifetime: 100 * sec, Storable: true}},
		"heuristic, not found":   {404, header("Date: <0>", "Last-Modified: <-1000>"), 0, zone, Freshness{Lifetime: 100 * sec, Storable: true}},
		"heuristic, public":      {599, header("Date: <0>", "Last-Modified: <-1000>", "Cache-Control: public"), 0, zone, Freshness{Lifetime: 100 * sec, Storable: true}},
		"expires, like a date":   {200, header("Expires: Thu, 18 Aug 2050 2:01:18 GMT"), 0, zone, Freshness{}},
		"heuristic, a day":       {200, header("Date: <0>", "Last-Modified: <-9000000>"), 0, zone, Freshness{Lifetime: day, Storable: true}},
		"heuristic, future":      {200, header("Date: <0>", "Last-Modified: <1000>"), 0, zone, Freshness{Storable: true}},
		"heuristic, other":       {201, header("Date: <0>", "Last-Modified: <-1000>"), 0, zone, Freshness{}},
		"nothing said":           {200, header(), 0, zone, Freshness{}},
		"cdn":                    {200, header("CDN-Cache-Control: max-age=60", "Cache-Control: no-store"), 0, zone, Freshness{Lifetime: 60 * sec, Storable: true}},
		"cdn no-store":           {200, header("CDN-Cache-Control: no-store", "Cache-Control: max-age=60"), 0, zone, Freshness{}},
		"cdn private":            {200, header("CDN-Cache-Control: private", "Cache-Control: max-age=60"), 0, zone, Freshness{}},
		"cdn no-cache":           {200, header("CDN-Cache-Control: no-cache", "Cache-Control: max-age=60", `ETag: "a"`), 0, zone, Freshness{NoCache: true, Storable: true}},
		"cdn, expires ignored":   {200, header("CDN-Cache-Control: public", "Expires: 0"), 0, bucket, Freshness{Lifetime: day, StaleIfError: 60 * sec, Storable: true}},
		"cdn malformed":          {200, header("CDN-Cache-Control: max-age=60,,", "Cache-Control: max-age=5"), 0, zone, Freshness{Lifetime: 5 * sec, Storable: true}},
		"cdn over surrogate":     {200, header("CDN-Cache-Control: max-age=60", "Surrogate-Control: max-age=5"), 0, zone, Freshness{Lifetime: 60 * sec, Storable: true}},
		"surrogate":              {200, header("Surrogate-Control: max-age=60+9", "Cache-Control: max-age=5"), 0, zone, Freshness{Lifetime: 60 * sec, StaleWhileRevalidate: 9 * sec, Storable: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Judge(c.header, c.status, c.age, now, c.rules); got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestInitialAge(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header http.Header
		took   time.Duration
		want   time.Duration
	}{
		"fresh":          {header("Date: <0>"), 0, 0},
		"no date":        {header(), 2 * sec, 2 * sec},
		"age and travel": {header("Age: 10", "Date: <0>"), 2 * sec, 12 * sec},
		"old date":       {header("Age: 10", "Date: <-30>"), 2 * sec, 30 * sec},
		"future date":    {header("Date: <30>"), 0, 0},
		"first of two":   {header("Age: 10, 20"), 0, 10 * sec},
		"of two lines":   {header("Age: 10", "Age: 20"), 0, 10 * sec},
		"negative":       {header("Age: -10"), 0, 0},
		"no number":      {header("Age: old"), 0, 0},
		"with parameter": {header("Age: 10;a=b"), 0, 0},
		"too large":      {header("Age: 99999999999"), sec, MaxDelta},
	} {
		if got := InitialAge(c.header, now.Add(-c.took), now); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// The age that a client is told grows over tiers and never starts anew.
func TestAgeOverTiers(t *testing.T) {
	t.Parallel()
	regional := Head{Received: now, Age: InitialAge(header("Date: <0>"), now, now), Freshness: Freshness{Lifetime: day}}
	at := now.Add(100 * sec) // an edge asks, and the answer takes a second
	told := header("Date: <0>", "Age: 100")
	if got := regional.CurrentAge(at); got != 100*sec {
		t.Fatalf("regional tells %v", got)
	}
	edge := Head{Received: at.Add(sec), Age: InitialAge(told, at, at.Add(sec)), Freshness: Freshness{Lifetime: day}}
	if got := edge.CurrentAge(at.Add(11 * sec)); got != 111*sec {
		t.Errorf("edge tells %v after 111 s", got)
	}
	if got := edge.TTL(at.Add(11 * sec)); got != day-111*sec {
		t.Errorf("edge keeps it for %v", got)
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	fresh := Freshness{Lifetime: 60 * sec, StaleWhileRevalidate: 10 * sec, StaleIfError: 100 * sec}
	strict := Freshness{Lifetime: 60 * sec, MustRevalidate: true}
	for name, c := range map[string]struct {
		head      Head
		after     time.Duration
		untrusted bool
		want      Decision
	}{
		"fresh":                 {Head{Status: 200, Freshness: fresh}, 59 * sec, false, Serve},
		"at its end":            {Head{Status: 200, Freshness: fresh}, 60 * sec, false, ServeStale},
		"stale":                 {Head{Status: 200, Freshness: fresh}, 69 * sec, false, ServeStale},
		"too stale":             {Head{Status: 200, Freshness: fresh}, 70 * sec, false, RevalidateOrServe},
		"of no use":             {Head{Status: 200, Freshness: fresh}, 160 * sec, false, Revalidate},
		"came old":              {Head{Status: 200, Age: 60 * sec, Freshness: fresh}, 0, false, ServeStale},
		"clock went back":       {Head{Status: 200, Freshness: fresh}, -time.Hour, false, RevalidateOrServe},
		"clock was set right":   {Head{Status: 200, Freshness: fresh}, -sec, false, Serve},
		"no lease":              {Head{Status: 200, Freshness: fresh}, 0, true, RevalidateOrServe},
		"no lease, nor allowed": {Head{Status: 200, Freshness: Freshness{Lifetime: 60 * sec}}, 0, true, Revalidate},
		"must revalidate":       {Head{Status: 200, Freshness: strict}, 60 * sec, false, Revalidate},
		"no-cache":              {Head{Status: 200, Freshness: Freshness{Lifetime: 60 * sec, NoCache: true}}, 0, false, Revalidate},
		"purged softly":         {Head{Status: 200, Suspect: true, Freshness: fresh}, 0, false, Revalidate},
		"negative":              {Head{Status: 404, Freshness: fresh}, 0, false, Serve},
		"negative, stale":       {Head{Status: 404, Freshness: fresh}, 61 * sec, false, Revalidate},
	} {
		c.head.Received = now
		if got := Decide(&c.head, now.Add(c.after), !c.untrusted); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
