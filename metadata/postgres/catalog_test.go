package postgres_test

import (
	"testing"

	"meridian/metadata"
	"meridian/metadata/catalogtest"
	"meridian/metadata/postgres/pgtest"
)

func TestCatalog(t *testing.T) {
	t.Parallel()
	catalogtest.Catalog(t, func(t *testing.T) metadata.Store { return pgtest.New(t) })
}
