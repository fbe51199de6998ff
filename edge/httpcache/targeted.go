package httpcache

import (
	"strconv"
	"strings"
)

// parseTargeted reads a targeted cache-control field (RFC 9213), which is a
// dictionary of structured fields. One that is empty or malformed is as good as
// absent. So is a member of the wrong type: max-age="60" says nothing.
func parseTargeted(lines []string) (Directives, bool) {
	members, err := parseDictionary(strings.Join(lines, ", "))
	if err != nil || len(members) == 0 {
		return nil, false
	}
	ds := make(Directives, 0, len(members))
	for _, m := range members {
		switch v := m.item.value.(type) {
		case bool:
			if v && !wantsSeconds(m.key) {
				ds = append(ds, Directive{Name: m.key})
			}
		case int64:
			if v >= 0 && wantsSeconds(m.key) {
				ds = append(ds, Directive{Name: m.key, Value: strconv.FormatInt(v, 10), HasArg: true})
			}
		case string:
			if !wantsSeconds(m.key) {
				ds = append(ds, Directive{Name: m.key, Value: v, HasArg: true})
			}
		}
	}
	return ds, true
}

func wantsSeconds(name string) bool {
	switch name {
	case "max-age", "s-maxage", "stale-while-revalidate", "stale-if-error":
		return true
	}
	return false
}

// parseSurrogate reads Surrogate-Control, the elder of CDN-Cache-Control: the
// syntax of Cache-Control, in which max-age=60+30 allows to serve 30 s longer
// while upstream is asked, and a member may be for one named cache only.
func parseSurrogate(lines []string) (Directives, bool) {
	all := ParseCacheControl(lines)
	ds := make(Directives, 0, len(all))
	for _, d := range all {
		if value, target, ok := strings.Cut(d.Value, ";"); ok {
			if strings.TrimSpace(target) != "" {
				continue // for another cache
			}
			d.Value = value
		}
		if d.Name == "max-age" {
			fresh, stale, extended := strings.Cut(d.Value, "+")
			if d.Value = fresh; extended {
				ds = append(ds, Directive{Name: "stale-while-revalidate", Value: stale, HasArg: true})
			}
		}
		ds = append(ds, d)
	}
	return ds, len(ds) > 0
}
