package metadata_test

import (
	"errors"
	"strings"
	"testing"

	"meridian/metadata"
)

func TestWhereUploadsAreTaken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bucket metadata.Bucket
		want   string
	}{
		"no rule":           {metadata.Bucket{}, "asia europe us-west"},
		"placed everywhere": {metadata.Bucket{Placement: metadata.Placement{metadata.PlacedAll}}, "asia europe us-west"},
		"placed":            {metadata.Bucket{Placement: metadata.Placement{"asia", "europe"}}, "asia europe"},
		"resident":          {metadata.Bucket{Residency: []string{"europe"}}, "europe"},
		"at home, resident": {metadata.Bucket{Placement: metadata.Placement{metadata.PlacedHome}, Residency: []string{"asia", "europe"}}, "asia europe"},
		"placed, resident":  {metadata.Bucket{Placement: metadata.Placement{"europe"}, Residency: []string{"asia", "europe"}}, "europe"},
	} {
		var got []string
		for _, r := range []string{"asia", "europe", "us-west"} {
			if c.bucket.Takes(r) {
				got = append(got, r)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %s", name, got, c.want)
		}
	}
}

func TestFileName(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"a.jpg": "a.jpg", "../../etc/x.txt": "x.txt", `C:\fakepath\y.jpg`: "y.jpg", "/a/": "", "": "", "a/..": "", ".": "", "..a": "..a",
	} {
		if got := metadata.FileName(path); got != want {
			t.Errorf("FileName(%q) = %q, want %q", path, got, want)
		}
	}
}

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
