package metadata_test

import (
	"errors"
	"strings"
	"testing"

	"meridian/metadata"
)

func TestCheckBucketName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"abc", "a.b-c", "my-metrics", "metrics1", "1.2.3", strings.Repeat("a", 63)} {
		if err := metadata.CheckBucketName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{
		"", "ab", strings.Repeat("a", 64), "Abc", "a_b", "-abc", "abc.", "a..b", "1.2.3.4", "xn--abc", "abc-s3alias",
		"metrics", "healthz", "readyz", // every role has these paths
	} {
		if err := metadata.CheckBucketName(name); !errors.Is(err, metadata.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
