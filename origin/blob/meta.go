package blob

import (
	"fmt"
	"io/fs"
	"strings"
)

// Meta is kept with a blob, so that the record of an object can be rebuilt from
// what lies in a store; origin/record says what it holds. A store keeps it as it
// is, and neither reads nor changes it. S3 sets its limits: it travels as headers
// x-amz-meta-<name>.
type Meta map[string]string

// MaxMeta is the greatest Size of a Meta. S3 allows 2 KB; the rest is for what
// a store notes for itself.
const MaxMeta = 2000

// MetaContentType is the name under which a Meta holds the type of the content.
// A store that has types of its own gives the blob this one.
const MetaContentType = "content-type"

// metaPrefix is what S3 puts before each name; some servers count it.
const metaPrefix = "x-amz-meta-"

// reserved begins the names that stores use for themselves.
const reserved = "meridian-"

// Size is the room in bytes that S3 says it takes, at worst.
func (m Meta) Size() (n int) {
	for name, value := range m {
		n += MetaSize(name, value)
	}
	return n
}

// MetaSize is the part of one entry in Size.
func MetaSize(name, value string) int { return len(metaPrefix) + len(name) + len(value) }

// Check refuses what could not be kept everywhere, by fs.ErrInvalid: names are
// lower-case words joined by hyphens and do not begin with "meridian-", values
// visible ASCII and not empty, and all of it within MaxMeta.
func (m Meta) Check() error {
	for name, value := range m {
		if name == "" || strings.HasPrefix(name, reserved) || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return fmt.Errorf("blob metadata has the name %q: %w", name, fs.ErrInvalid)
		}
		if value == "" || strings.ContainsFunc(value, invisible) {
			return fmt.Errorf("blob metadata %s has the value %q: %w", name, value, fs.ErrInvalid)
		}
	}
	if n := m.Size(); n > MaxMeta {
		return fmt.Errorf("blob metadata has %d bytes of at most %d: %w", n, MaxMeta, fs.ErrInvalid)
	}
	return nil
}

func invisible(r rune) bool { return r <= ' ' || r > '~' }
