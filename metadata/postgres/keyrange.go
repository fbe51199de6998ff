package postgres

import (
	"strings"
	"unicode/utf8"

	"meridian/metadata"
)

// beyondKeys sorts behind every key there can be.
var beyondKeys = strings.Repeat(string(utf8.MaxRune), metadata.MaxKeyLength/utf8.UTFMax+1)

// afterAll is the least string behind everything that begins with s, in the
// byte order of UTF-8, or one behind all keys that do where there is no least.
func afterAll(s string) string {
	for end := len(s); end > 0; {
		r, size := utf8.DecodeLastRuneInString(s[:end])
		end -= size
		switch {
		case r == utf8.MaxRune:
			continue // has no successor: the one before it moves on
		case r == 0xD7FF:
			r = 0xE000 // those between are halves of UTF-16 pairs, no characters
		default:
			r++
		}
		return s[:end] + string(r)
	}
	return s + beyondKeys
}

// next is the least key behind key. There is no NUL in keys.
func next(key string) string { return key + "\x01" }

// fold returns the common prefix that key falls under: up to and including the
// first delimiter behind prefix, with which key begins.
func fold(key, prefix, delimiter string) (common string, folds bool) {
	if delimiter == "" {
		return "", false
	}
	i := strings.Index(key[len(prefix):], delimiter)
	if i < 0 {
		return "", false
	}
	return key[:len(prefix)+i+len(delimiter)], true
}
