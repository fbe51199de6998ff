package metadata

import (
	"context"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Purge asks every cache node to forget, or with Soft to revalidate before the
// next use, what it selects. It travels as the Data of an event.
type Purge struct {
	ID            string   `json:"id"`
	URLs          []string `json:"urls,omitempty"` // absolute, or /bucket/key
	Prefixes      []string `json:"prefixes,omitempty"`
	SurrogateKeys []string `json:"surrogate_keys,omitempty"`
	Bucket        string   `json:"bucket,omitempty"`
	Everything    bool     `json:"everything,omitempty"`
	Soft          bool     `json:"soft,omitempty"`
}

// MaxPurgeSelectors is how many URLs, prefixes and surrogate keys together a
// Purge may name: it travels to every node as one event.
const MaxPurgeSelectors = 10_000

// Check refuses a purge that selects nothing, or names something that no cache
// could hold, with ErrInvalid.
func (p Purge) Check() error {
	n := len(p.URLs) + len(p.Prefixes) + len(p.SurrogateKeys)
	switch {
	case n == 0 && p.Bucket == "" && !p.Everything:
		return Invalidf("purge selects nothing: name urls, prefixes, surrogate_keys, a bucket or everything")
	case n > MaxPurgeSelectors:
		return Invalidf("purge names %d things, more than %d", n, MaxPurgeSelectors)
	}
	if p.Bucket != "" {
		if err := CheckBucketName(p.Bucket); err != nil {
			return err
		}
	}
	for _, u := range p.URLs {
		if bucket, ok := purgePath(u); bucket == "" || !ok {
			return Invalidf("purge URL %q is neither absolute nor of the form /bucket/key", u)
		}
	}
	for _, u := range p.Prefixes {
		if bucket, _ := purgePath(u); bucket == "" {
			return Invalidf("purge prefix %q is neither absolute nor of the form /bucket/prefix", u)
		}
	}
	for _, k := range p.SurrogateKeys {
		if k == "" || len(k) > 1024 || !utf8.ValidString(k) || strings.ContainsFunc(k, func(r rune) bool {
			return unicode.IsSpace(r) || unicode.IsControl(r)
		}) {
			return Invalidf("surrogate key %q is empty, too long or holds spaces or control characters", k)
		}
	}
	return nil
}

// purgePath takes an absolute http URL or a path apart: bucket is empty where
// raw is neither, ok says whether a slash follows it, behind which an empty key
// is the front page of a pull zone. The host of an absolute URL may be the
// bucket itself (virtual-host style), so its path need not name one.
func purgePath(raw string) (bucket string, ok bool) {
	if len(raw) > 8192 || !utf8.ValidString(raw) {
		return "", false
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "", false
	}
	if u.IsAbs() {
		if u.Scheme != "http" && u.Scheme != "https" {
			return "", false
		}
		return u.Hostname(), u.Path != ""
	}
	// What begins with // is an authority, not a bucket.
	if u.Host != "" || !strings.HasPrefix(u.Path, "/") {
		return "", false
	}
	// Behind the bucket any byte may be escaped: names of a web server need not be
	// UTF-8.
	bucket, _, ok = strings.Cut(u.Path[1:], "/")
	if !utf8.ValidString(bucket) || strings.ContainsRune(bucket, 0) {
		return "", false
	}
	return bucket, ok
}

// PurgeAck says that a node has applied a purge.
type PurgeAck struct {
	ID      string    `json:"id"`
	Node    string    `json:"node,omitempty"` // set by the catalogue
	Applied time.Time `json:"applied"`
	Entries int       `json:"entries"` // heads it dropped or marked
}

// PurgeStatus is what is known of a purge.
type PurgeStatus struct {
	Purge
	Asked time.Time  `json:"asked"`
	Acks  []PurgeAck `json:"acks"`
	// Waiting are the live cache nodes that have not acknowledged it yet.
	Waiting []string `json:"waiting"`
}

// Purges keeps purges and who has applied them.
type Purges interface {
	// AskPurge records p under a new ID and writes its event. What Check
	// refuses is refused.
	AskPurge(ctx context.Context, p Purge) (PurgeStatus, Seq, error)
	// PurgeStatus tells who has applied a purge; ErrNoSuchPurge if it is
	// unknown or too long ago.
	PurgeStatus(ctx context.Context, id string) (PurgeStatus, error)
}
