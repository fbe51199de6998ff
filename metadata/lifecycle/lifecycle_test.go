package lifecycle

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/metadata"
)

func parse(t *testing.T, rules string) *Config {
	t.Helper()
	var c Config
	if err := xml.Unmarshal([]byte("<LifecycleConfiguration>"+rules+"</LifecycleConfiguration>"), &c); err != nil {
		t.Fatal(err)
	}
	return &c
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	when, err := time.Parse(time.DateTime, text)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

func TestDaysEndAtTheMidnightThatFollows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		written string
		days    int
		end     string
	}{
		{"2014-01-15 10:30:00", 3, "2014-01-19 00:00:00"}, // the example of S3
		{"2014-01-15 00:00:00", 1, "2014-01-17 00:00:00"},
		{"2014-01-15 23:59:59", 1, "2014-01-17 00:00:00"},
		{"2024-02-28 12:00:00", 1, "2024-03-01 00:00:00"},
		{"2023-12-31 12:00:00", 365, "2024-12-31 00:00:00"},
	} {
		if got := (Clock{}).After(at(t, c.written), c.days); !got.Equal(at(t, c.end)) {
			t.Errorf("%d days after %s end at %s, want %s", c.days, c.written, got, c.end)
		}
	}
	// Wherever the server is: a day is one of UTC.
	zone := time.FixedZone("", 11*3600)
	if got := (Clock{}).After(at(t, "2014-01-15 23:00:00").In(zone), 1); !got.Equal(at(t, "2014-01-17 00:00:00")) {
		t.Errorf("in another time zone: %s", got)
	}
	if got := (Clock{Day: 10 * time.Second}).After(at(t, "2014-01-15 10:30:00"), 3); !got.Equal(at(t, "2014-01-15 10:30:30")) {
		t.Errorf("three short days: %s", got)
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	now := at(t, "2024-06-15 12:00:00")
	old, young := now.AddDate(0, 0, -40), now.AddDate(0, 0, -2)
	object := func(key string, size int64, modified time.Time, tags ...string) *metadata.Version {
		v := &metadata.Version{Key: key, Size: size, Modified: modified, Tags: map[string]string{}}
		for i := 0; i < len(tags); i += 2 {
			v.Tags[tags[i]] = tags[i+1]
		}
		return v
	}
	marker := func(modified time.Time) *metadata.Version {
		return &metadata.Version{Key: "logs/a", Modified: modified, DeleteMarker: true}
	}
	days := `<Rule><ID>r</ID><Status>Enabled</Status><Filter><Prefix>logs/</Prefix></Filter><Expiration><Days>30</Days></Expiration></Rule>`
	noncurrent := `<Rule><ID>r</ID><Status>Enabled</Status><Prefix/><NoncurrentVersionExpiration><NoncurrentDays>10</NoncurrentDays><NewerNoncurrentVersions>2</NewerNoncurrentVersions></NoncurrentVersionExpiration></Rule>`
	filter := func(f string) string {
		return `<Rule><ID>r</ID><Status>Enabled</Status><Filter>` + f + `</Filter><Expiration><Days>1</Days></Expiration></Rule>`
	}
	action := func(a string) string {
		return `<Rule><ID>r</ID><Status>Enabled</Status><Filter/>` + a + `</Rule>`
	}
	all := strings.Replace(days, "</Expiration>", "<ExpiredObjectAllVersions>true</ExpiredObjectAllVersions></Expiration>", 1)
	hidden := action("<DelMarkerExpiration><Days>30</Days></DelMarkerExpiration>")
	newest := action("<NoncurrentVersionExpiration><NewerNoncurrentVersions>2</NewerNoncurrentVersions></NoncurrentVersionExpiration>")
	for name, c := range map[string]struct {
		rules string
		item  Item
		want  Action
	}{
		"key, older version":       {all, Item{Version: object("logs/a", 1, old), Superseded: young, Current: object("logs/a", 1, old)}, RemoveNoncurrent},
		"key, current not alone":   {all, Item{Version: object("logs/a", 1, old), Latest: true}, Keep},
		"key, current alone":       {all, Item{Version: object("logs/a", 1, old), Latest: true, Alone: true}, RemoveLast},
		"key, young current":       {all, Item{Version: object("logs/a", 1, old), Superseded: old, Current: object("logs/a", 1, young)}, Keep},
		"key, hidden":              {all, Item{Version: object("logs/a", 1, old), Superseded: old, Current: marker(old)}, Keep},
		"key, also by days":        {strings.Replace(days, "<ID>", "<ID>other", 1) + all, Item{Version: object("logs/a", 1, old), Latest: true}, Keep},
		"hidden, version":          {hidden, Item{Version: object("logs/a", 1, old), Superseded: old, Current: marker(old)}, RemoveNoncurrent},
		"hidden, marker not alone": {hidden, Item{Version: marker(old), Latest: true}, Keep},
		"hidden, marker alone":     {hidden, Item{Version: marker(old), Latest: true, Alone: true}, RemoveMarker},
		"hidden, not for long":     {hidden, Item{Version: object("logs/a", 1, old), Superseded: young, Current: marker(young)}, Keep},
		"hidden, is not":           {hidden, Item{Version: object("logs/a", 1, old), Superseded: old, Current: object("logs/a", 1, old)}, Keep},
		"newest two":               {newest, Item{Version: object("x", 1, now), Superseded: now, Newer: 1}, Keep},
		"after the newest two":     {newest, Item{Version: object("x", 1, now), Superseded: now, Newer: 2}, RemoveNoncurrent},

		"old":                     {days, Item{Version: object("logs/a", 1, old), Latest: true}, Expire},
		"young":                   {days, Item{Version: object("logs/a", 1, young), Latest: true}, Keep},
		"elsewhere":               {days, Item{Version: object("log", 1, old), Latest: true}, Keep},
		"disabled":                {strings.Replace(days, "Enabled", "Disabled", 1), Item{Version: object("logs/a", 1, old), Latest: true}, Keep},
		"old prefix form":         {action("<Expiration><Days>30</Days></Expiration>"), Item{Version: object("x", 1, old), Latest: true}, Expire},
		"noncurrent is not":       {days, Item{Version: object("logs/a", 1, old), Superseded: old}, Keep},
		"marker of the rule":      {days, Item{Version: marker(old), Latest: true, Alone: true}, RemoveMarker},
		"young marker":            {days, Item{Version: marker(young), Latest: true, Alone: true}, Keep},
		"marker over versions":    {days, Item{Version: marker(old), Latest: true}, Keep},
		"expired marker":          {action("<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"), Item{Version: marker(now), Latest: true, Alone: true}, RemoveMarker},
		"marker, not asked for":   {action("<Expiration><ExpiredObjectDeleteMarker>false</ExpiredObjectDeleteMarker></Expiration>"), Item{Version: marker(old), Latest: true, Alone: true}, Keep},
		"date to come":            {action("<Expiration><Date>2024-06-16T00:00:00Z</Date></Expiration>"), Item{Version: object("x", 1, old), Latest: true}, Keep},
		"date gone":               {action("<Expiration><Date>2024-06-15T00:00:00.000Z</Date></Expiration>"), Item{Version: object("x", 1, now), Latest: true}, Expire},
		"noncurrent":              {noncurrent, Item{Version: object("x", 1, old), Superseded: old, Newer: 2}, RemoveNoncurrent},
		"noncurrent marker":       {noncurrent, Item{Version: marker(old), Superseded: old, Newer: 2}, RemoveNoncurrent},
		"among the newest":        {noncurrent, Item{Version: object("x", 1, old), Superseded: old, Newer: 1}, Keep},
		"only just noncurrent":    {noncurrent, Item{Version: object("x", 1, old), Superseded: young, Newer: 9}, Keep},
		"current is not":          {noncurrent, Item{Version: object("x", 1, old), Latest: true}, Keep},
		"tag":                     {filter("<Tag><Key>k</Key><Value>v</Value></Tag>"), Item{Version: object("x", 1, old, "k", "v", "l", "w"), Latest: true}, Expire},
		"other tag":               {filter("<Tag><Key>k</Key><Value>v</Value></Tag>"), Item{Version: object("x", 1, old, "k", "w"), Latest: true}, Keep},
		"empty tag is a tag":      {filter("<Tag><Key>k</Key><Value></Value></Tag>"), Item{Version: object("x", 1, old), Latest: true}, Keep},
		"just of the size":        {filter("<ObjectSizeGreaterThan>100</ObjectSizeGreaterThan>"), Item{Version: object("x", 100, old), Latest: true}, Keep},
		"greater":                 {filter("<ObjectSizeGreaterThan>100</ObjectSizeGreaterThan>"), Item{Version: object("x", 101, old), Latest: true}, Expire},
		"not less":                {filter("<ObjectSizeLessThan>100</ObjectSizeLessThan>"), Item{Version: object("x", 100, old), Latest: true}, Keep},
		"all of and":              {filter("<And><Prefix>x</Prefix><Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>b</Key><Value>2</Value></Tag></And>"), Item{Version: object("xy", 1, old, "a", "1", "b", "2"), Latest: true}, Expire},
		"one of and":              {filter("<And><Prefix>x</Prefix><Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>b</Key><Value>2</Value></Tag></And>"), Item{Version: object("xy", 1, old, "a", "1"), Latest: true}, Keep},
		"the second rule":         {strings.Replace(days, "30", "300", 1) + days, Item{Version: object("logs/a", 1, old), Latest: true}, Expire},
		"size of a delete marker": {filter("<ObjectSizeGreaterThan>100</ObjectSizeGreaterThan>"), Item{Version: marker(old), Latest: true, Alone: true}, Keep},
	} {
		config := parse(t, c.rules)
		if err := config.Check(); err != nil && name != "the second rule" {
			t.Errorf("%s: the rules are refused: %v", name, err)
		}
		// As it is kept, and read again.
		document, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		if config, err = Parse(document); err != nil {
			t.Fatal(err)
		}
		if got, _ := config.Decide(c.item, now, Clock{}); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestEarliestExpiryIsTold(t *testing.T) {
	t.Parallel()
	c := parse(t, `
		<Rule><ID>slow</ID><Status>Enabled</Status><Filter/><Expiration><Days>10</Days></Expiration></Rule>
		<Rule><ID>quick</ID><Status>Enabled</Status><Filter><Prefix>tmp/</Prefix></Filter><Expiration><Days>1</Days></Expiration></Rule>
		<Rule><ID>off</ID><Status>Disabled</Status><Filter/><Expiration><Date>2000-01-01</Date></Expiration></Rule>`)
	when, rule, ends := c.Expiry(&metadata.Version{Key: "tmp/x", Modified: at(t, "2014-01-15 10:30:00")}, Clock{})
	if !ends || rule != "quick" || !when.Equal(at(t, "2014-01-17 00:00:00")) {
		t.Errorf("Expiry = %s, %s, %t", when, rule, ends)
	}
	var none *Config
	if _, _, ends := none.Expiry(&metadata.Version{Key: "x"}, Clock{}); ends {
		t.Error("an object ends without rules")
	}
}

func TestUploadsAreAbandoned(t *testing.T) {
	t.Parallel()
	c := parse(t, `<Rule><ID>r</ID><Status>Enabled</Status><Filter><Prefix>a</Prefix></Filter><AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>`)
	u := &metadata.Upload{Template: metadata.Version{Key: "ab"}, Created: at(t, "2014-01-15 10:30:00")}
	if !c.AbortsUploads() || c.Abandoned(u, at(t, "2014-01-17 23:59:59"), Clock{}) != nil || c.Abandoned(u, at(t, "2014-01-18 00:00:00"), Clock{}) == nil {
		t.Error("an upload is not abandoned at the second midnight after a day")
	}
	u.Template.Key = "b"
	if c.Abandoned(u, at(t, "2024-01-01 00:00:00"), Clock{}) != nil {
		t.Error("an upload that no rule selects is abandoned")
	}
}

func TestPrefixesCoverTheRulesOnce(t *testing.T) {
	t.Parallel()
	rule := func(prefix, status string) string {
		return "<Rule><Status>" + status + "</Status><Filter><Prefix>" + prefix + "</Prefix></Filter></Rule>"
	}
	c := parse(t, rule("b/", Enabled)+rule("a/b", Enabled)+rule("a/", Enabled)+rule("c", Disabled)+rule("b/", Enabled))
	if got := c.Prefixes(); !slices.Equal(got, []string{"a/", "b/"}) {
		t.Errorf("Prefixes = %q", got)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	rule := func(inner string) string { return "<Rule><ID>r</ID><Status>Enabled</Status>" + inner + "</Rule>" }
	expire := "<Expiration><Days>1</Days></Expiration>"
	for name, c := range map[string]struct{ rules, code string }{
		"none":                   {"", malformed},
		"too many":               {strings.Repeat("<Rule><Status>Enabled</Status><Filter/>"+expire+"</Rule>", 1001), invalidRequest},
		"long ID":                {"<Rule><ID>" + strings.Repeat("x", 256) + "</ID><Status>Enabled</Status><Filter/>" + expire + "</Rule>", invalidArgument},
		"same ID":                {rule("<Filter/>"+expire) + rule("<Filter/>"+expire), invalidArgument},
		"status":                 {"<Rule><Status>enabled</Status><Filter/>" + expire + "</Rule>", malformed},
		"neither form":           {rule(expire), malformed},
		"both forms":             {rule("<Prefix/><Filter/>" + expire), malformed},
		"no action":              {rule("<Filter/>"), invalidRequest},
		"two properties":         {rule("<Filter><Prefix>a</Prefix><Tag><Key>k</Key><Value/></Tag></Filter>" + expire), malformed},
		"and of one":             {rule("<Filter><And><Prefix>a</Prefix></And></Filter>" + expire), malformed},
		"same tag":               {rule("<Filter><And><Tag><Key>k</Key><Value/></Tag><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter>" + expire), invalidRequest},
		"sizes":                  {rule("<Filter><And><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan><ObjectSizeLessThan>5</ObjectSizeLessThan></And></Filter>" + expire), invalidRequest},
		"no days":                {rule("<Filter/><Expiration><Days>0</Days></Expiration>"), invalidArgument},
		"days and date":          {rule("<Filter/><Expiration><Days>1</Days><Date>2024-01-01T00:00:00Z</Date></Expiration>"), malformed},
		"nothing expires":        {rule("<Filter/><Expiration/>"), malformed},
		"noon":                   {rule("<Filter/><Expiration><Date>2024-01-01T12:00:00Z</Date></Expiration>"), invalidArgument},
		"markers with tags":      {rule("<Filter><Tag><Key>k</Key><Value/></Tag></Filter><Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"), invalidRequest},
		"uploads with tags":      {rule("<Filter><Tag><Key>k</Key><Value/></Tag></Filter><AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>"), invalidRequest},
		"noncurrent of nothing":  {rule("<Filter/><NoncurrentVersionExpiration/>"), malformed},
		"hidden, no days":        {rule("<Filter/><DelMarkerExpiration/>"), malformed},
		"hidden by tag":          {rule("<Filter><Tag><Key>k</Key><Value/></Tag></Filter><DelMarkerExpiration><Days>1</Days></DelMarkerExpiration>"), invalidRequest},
		"all versions of none":   {rule("<Filter/><Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker><ExpiredObjectAllVersions>true</ExpiredObjectAllVersions></Expiration>"), malformed},
		"noncurrent, keeps many": {rule("<Filter/><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>101</NewerNoncurrentVersions></NoncurrentVersionExpiration>"), invalidArgument},
		"transition":             {rule("<Filter/><Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>"), notImplemented},
		"noncurrent transition":  {rule("<Filter/>" + expire + "<NoncurrentVersionTransition><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionTransition>"), notImplemented},
	} {
		var refused *RefusedError
		if err := parse(t, c.rules).Check(); !errors.As(err, &refused) || refused.Code != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`<LifecycleConfiguration><Rule><ID>r</ID><Status>Enabled</Status><Filter><And><Prefix>a</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter><Expiration><Date>2024-01-01T00:00:00Z</Date></Expiration></Rule></LifecycleConfiguration>`)
	f.Add(`<LifecycleConfiguration><Rule><Status>Enabled</Status><Prefix/><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration></Rule></LifecycleConfiguration>`)
	f.Fuzz(func(t *testing.T, text string) {
		var c Config
		if xml.Unmarshal([]byte(text), &c) != nil || c.Check() != nil {
			return
		}
		document, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := Parse(document)
		if err != nil {
			t.Fatal(err)
		}
		// What was accepted can be kept and decided by.
		now := time.Now()
		v := &metadata.Version{Key: "a", Size: 1, Modified: now}
		for _, latest := range []bool{true, false} {
			before, _ := c.Decide(Item{Version: v, Latest: latest, Superseded: now}, now, Clock{})
			after, _ := kept.Decide(Item{Version: v, Latest: latest, Superseded: now}, now, Clock{})
			if before != after {
				t.Errorf("decides %d, and %d once it was kept", before, after)
			}
		}
		c.Prefixes()
	})
}
