package main

import (
	"slices"
	"testing"
)

func TestCleanDomains(t *testing.T) {
	t.Parallel()
	got, err := cleanDomains([]string{"S3.Example.com.", "localhost", "a-b.c1"})
	if want := []string{"s3.example.com", "localhost", "a-b.c1"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{
		"", ".", ".s3.example.com", "*.s3.example.com", "s3.example.com:9000", "https://s3.example.com", "s3.example.com/", "127.0.0.1", "::1", "a..b", "-a.b", "a b",
	} {
		if _, err := cleanDomains([]string{"fine.test", bad}); err == nil {
			t.Errorf("%q is taken for a domain", bad)
		}
	}
}
