package httpcache

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Vary returns the request fields by which an answer varies, in canonical form
// and sorted. star says that it varies by more than those: "*", which no later
// request matches (RFC 9111, section 4.1).
func Vary(h http.Header) (names []string, star bool) {
	for _, line := range h["Vary"] {
		for name := range strings.SplitSeq(line, ",") {
			switch name = trimSpace(name); {
			case name == "*":
				star = true
			case isToken(name):
				names = append(names, http.CanonicalHeaderKey(name))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), star
}

// Variant tells the requests apart that an answer which varies by names is not
// the same for. Lines of one field are joined and blanks taken out; languages
// and encodings are put in the order of their weights, in lower case (RFC 9111,
// section 4.1, allows what the field's own definition does).
func Variant(names []string, req http.Header) string {
	return variant(names, req, "")
}

// LanguageVariant is the Variant of a request that wants language above all
// others, whatever else it would take. An answer that varies by Accept-Language
// is found under it, too, where it says that it is in that language: whoever
// prefers the language would be given it.
func LanguageVariant(names []string, req http.Header, language string) string {
	if language == "" || !slices.Contains(names, "Accept-Language") {
		return ""
	}
	return variant(names, req, strings.ToLower(language))
}

func variant(names []string, req http.Header, language string) string {
	var b strings.Builder
	for _, name := range names {
		lines, sent := req[name]
		b.WriteString(name)
		switch {
		case name == "Accept-Language" && language != "":
			b.WriteString("~" + language)
		case !sent:
		case name == "Accept-Language" || name == "Accept-Encoding":
			b.WriteString("=" + strings.Join(preferences(lines), ","))
		default:
			b.WriteString("=" + tidyList(lines))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// tidyList joins the lines of a field and takes the blanks around commas out.
func tidyList(lines []string) string {
	var members []string
	for _, line := range lines {
		for line != "" {
			var member string
			member, line = cutMember(line)
			if member = trimSpace(member); member != "" {
				members = append(members, member)
			}
		}
	}
	return strings.Join(members, ",")
}

// PreferredLanguage is the one language that the request prefers to all others,
// or "".
func PreferredLanguage(req http.Header) string {
	list := weighted(req["Accept-Language"])
	if len(list) == 0 || list[0].weight == 0 || list[0].value == "*" || len(list) > 1 && list[1].weight == list[0].weight {
		return ""
	}
	return list[0].value
}

// ContentLanguage is the one language that an answer is in, or "".
func ContentLanguage(h http.Header) string {
	if lines := h["Content-Language"]; len(lines) == 1 && isToken(lines[0]) {
		return strings.ToLower(lines[0])
	}
	return ""
}

type preference struct {
	value  string
	weight int // of 1000
}

// weighted reads a list with weights (RFC 9110, section 12.4.2), the greatest
// first. A weight that cannot be read is one of its own, so that nothing is
// taken for the same that is not.
func weighted(lines []string) []preference {
	var list []preference
	for _, line := range lines {
		for line != "" {
			var member string
			member, line = cutMember(line)
			value, params, _ := strings.Cut(member, ";")
			p := preference{strings.ToLower(trimSpace(value)), 1000}
			if p.value == "" {
				continue
			}
			if params != "" {
				q, ok := strings.CutPrefix(strings.ToLower(trimSpace(params)), "q=")
				weight, err := strconv.ParseFloat(q, 64)
				if !ok || err != nil || !(weight >= 0 && weight <= 1) {
					p.value += ";" + trimSpace(params)
				} else {
					p.weight = int(weight * 1000)
				}
			}
			list = append(list, p)
		}
	}
	slices.SortStableFunc(list, func(a, b preference) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.value, b.value))
	})
	return list
}

func preferences(lines []string) []string {
	list := weighted(lines)
	out := make([]string, len(list))
	for i, p := range list {
		if out[i] = p.value; p.weight != 1000 {
			out[i] += ";" + strconv.Itoa(p.weight)
		}
	}
	return out
}
