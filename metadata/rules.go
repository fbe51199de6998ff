package metadata

import (
	"errors"
	"fmt"
	"mime"
	"slices"
	"strings"
)

// Why something may not come into a bucket: it breaks one of its UploadRules.
// The message names the rule.
var (
	ErrTooLarge    = errors.New("larger than the bucket takes")
	ErrTypeRefused = errors.New("of a type that the bucket does not take")
	ErrQuota       = errors.New("the bucket's quota is used up")
)

// UploadRules say what may come into a bucket, by whatever way. The zero value
// lets everything in, as does a zero or empty field. What is in the bucket when
// a rule is made stays.
type UploadRules struct {
	MaxSize int64 `json:"max_size,omitempty"` // of one object, in bytes
	// Types are content types such as image/* or video/mp4, in lower case. Both
	// what an object's first bytes are and what it says of itself must be among
	// them.
	Types []string `json:"types,omitempty"`
	// The quotas count every version that is kept, noncurrent ones too, but no
	// uploads in progress.
	QuotaBytes   int64 `json:"quota_bytes,omitempty"`
	QuotaObjects int64 `json:"quota_objects,omitempty"`
}

// maxTypes is how many types the rules of a bucket may list.
const maxTypes = 100

// HasQuota says whether what the bucket holds is limited.
func (r UploadRules) HasQuota() bool { return r.QuotaBytes > 0 || r.QuotaObjects > 0 }

// Check tells add of each rule, by its name in JSON, that cannot be.
func (r UploadRules) Check(add func(rule, reason string)) {
	for rule, n := range map[string]int64{"max_size": r.MaxSize, "quota_bytes": r.QuotaBytes, "quota_objects": r.QuotaObjects} {
		if n < 0 {
			add(rule, fmt.Sprintf("%d is negative; 0 is no limit", n))
		}
	}
	if len(r.Types) > maxTypes {
		add("types", fmt.Sprintf("lists %d types, more than %d", len(r.Types), maxTypes))
		return
	}
	for i, t := range r.Types {
		base, sub, _ := strings.Cut(t, "/")
		parsed, params, err := mime.ParseMediaType(t)
		switch {
		case err != nil || base == "" || sub == "" || len(params) > 0 || parsed != t ||
			strings.Contains(base, "*") || strings.Contains(sub, "*") && sub != "*":
			add("types", fmt.Sprintf("%.60q is not a type such as image/* or video/mp4, in lower case", t))
		case slices.Contains(r.Types[:i], t):
			add("types", fmt.Sprintf("lists %q twice", t))
		}
	}
}

// AllowSize refuses an object of n bytes with ErrTooLarge.
func (r UploadRules) AllowSize(n int64) error {
	if r.MaxSize > 0 && n > r.MaxSize {
		return fmt.Errorf("%w: %d bytes, where its rule max_size allows %d", ErrTooLarge, n, r.MaxSize)
	}
	return nil
}

// AllowType refuses with ErrTypeRefused an object whose content is of the type
// sniffed, or which claims, by its Content-Type, to be something else that the
// rules do not list. Claims that say nothing, such as application/octet-stream,
// are no lies.
func (r UploadRules) AllowType(claim, sniffed string) error {
	if len(r.Types) == 0 {
		return nil
	}
	if !r.lists(sniffed) {
		return fmt.Errorf("%w: by its first bytes it is %s, where its rule types allows %s", ErrTypeRefused, sniffed, strings.Join(r.Types, ", "))
	}
	return r.AllowClaim(claim)
}

// AllowClaim is what AllowType says before the first byte is known.
func (r UploadRules) AllowClaim(claim string) error {
	claim = baseType(claim)
	if len(r.Types) == 0 || claim == "" || strings.HasSuffix(claim, "/octet-stream") || r.lists(claim) {
		return nil
	}
	return fmt.Errorf("%w: it says that it is %.60s, where its rule types allows %s", ErrTypeRefused, claim, strings.Join(r.Types, ", "))
}

func (r UploadRules) lists(contentType string) bool {
	contentType = baseType(contentType)
	return slices.ContainsFunc(r.Types, func(t string) bool {
		family, all := strings.CutSuffix(t, "*")
		return t == contentType || all && strings.HasPrefix(contentType, family)
	})
}

// baseType is a content type without its parameters, in lower case.
func baseType(contentType string) string {
	t, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// Allow refuses with ErrQuota what would take a bucket that uses u further over
// its quota: objects and bytes more than now. What makes it smaller is let in.
func (r UploadRules) Allow(u Usage, objects, bytes int64) error {
	switch {
	case r.QuotaBytes > 0 && bytes > 0 && u.Bytes+bytes > r.QuotaBytes:
		return fmt.Errorf("%w: %d bytes more than the %d there, where its rule quota_bytes allows %d", ErrQuota, bytes, u.Bytes, r.QuotaBytes)
	case r.QuotaObjects > 0 && objects > 0 && u.Objects+objects > r.QuotaObjects:
		return fmt.Errorf("%w: one object more than the %d there, where its rule quota_objects allows %d", ErrQuota, u.Objects, r.QuotaObjects)
	}
	return nil
}

// Usage is what a bucket holds: every version that is kept, delete markers
// apart.
type Usage struct {
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
}
