package pgtest_test

import (
	"testing"

	"meridian/metadata"
	"meridian/metadata/postgres/pgtest"
)

func TestEveryTestHasItsOwnDatabase(t *testing.T) {
	t.Parallel()
	for range 2 {
		s := pgtest.New(t)
		_, err := s.CreateBucket(t.Context(), metadata.Bucket{Name: "photos", Region: pgtest.Region})
		if err != nil {
			t.Fatalf("a fresh catalogue refused a bucket: %v", err)
		}
	}
}
