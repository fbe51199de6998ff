package postgres

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"meridian/metadata"
)

func TestSearchWords(t *testing.T) {
	t.Parallel()
	for q, want := range map[string]string{
		"beach":           "beach*",
		" two  words ":    "two words*",
		`"a phrase"`:      `"a phrase"`,
		`"an open phrase`: `"an open phrase"*`,
		`"ab"cd`:          "ab cd*",
		"-no":             "-no",
		"yes -no":         "yes -no",
		"-no yes":         "-no yes*",
		`-"no way"`:       `-"no way"`,
		"a or b":          "a or b*",
		"a OR b":          "a or b*",
		"or":              "or*",
		`"or"`:            `"or"`,
		"a.b-c":           `"a b c"*`,
		"-a.b":            `-"a b"`,
		"- a":             "a*",
		"--a":             "-a",
		"d'été":           `"d été"*`,
		"日本語":             "日本語*",
		"!?":              "",
		"":                "",
	} {
		words, prefix := searchWords(q)
		if prefix && words != "" {
			words += "*"
		}
		if words != want {
			t.Errorf("searchWords(%q) = %q, want %q", q, words, want)
		}
	}
}

func FuzzSearchWords(f *testing.F) {
	f.Add(`a -"b c" or d'e "`)
	f.Fuzz(func(t *testing.T, q string) {
		words, _ := searchWords(q)
		if utf8.ValidString(q) && !utf8.ValidString(words) {
			t.Errorf("searchWords(%q) = %q is not UTF-8", q, words)
		}
		if strings.Count(words, `"`)%2 != 0 {
			t.Errorf("searchWords(%q) = %q leaves a quote open", q, words)
		}
		if again, _ := searchWords(words); again != words {
			t.Errorf("searchWords(%q) = %q, which it reads as %q", q, words, again)
		}
	})
}

func FuzzParseCursor(f *testing.F) {
	f.Add(formatCursor(metadata.Media{ID: "01ARZ3NDEKTSV4RRFFQ69G5FAV", Created: time.Unix(1, 2000)}))
	f.Add("MSAx")
	f.Fuzz(func(t *testing.T, cursor string) {
		created, id, err := parseCursor(cursor)
		if err != nil {
			return
		}
		again, same, err := parseCursor(formatCursor(metadata.Media{ID: id, Created: created}))
		if err != nil || !again.Equal(created) || same != id {
			t.Errorf("cursor %q is %s, %q and then %s, %q, %v", cursor, created, id, again, same, err)
		}
	})
}
