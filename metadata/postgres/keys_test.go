package postgres_test

import (
	"bytes"
	"errors"
	"testing"

	"meridian/internal/seal"
	"meridian/metadata"
	"meridian/metadata/postgres"
	"meridian/metadata/postgres/pgtest"
)

func TestSecretsAreSealed(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s, conn := open(t, url), connect(t, url)
	ctx := t.Context()
	for _, id := range []string{"AKIAONE", "AKIATWO"} {
		err := s.PutKey(ctx, metadata.AccessKey{ID: id, Secret: "very-secret-" + id, User: "ann", Role: metadata.RoleAdmin})
		if err != nil {
			t.Fatal(err)
		}
	}
	var sealed []byte
	if err := conn.QueryRow(ctx, `SELECT secret FROM access_key WHERE id = 'AKIAONE'`).Scan(&sealed); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("very-secret")) {
		t.Error("the database holds the secret")
	}
	// The secret of one key in the row of another is not taken for its own.
	if _, err := conn.Exec(ctx, `UPDATE access_key SET secret = $1 WHERE id = 'AKIATWO'`, sealed); err != nil {
		t.Fatal(err)
	}
	if k, err := s.Key(ctx, "AKIATWO"); !errors.Is(err, seal.ErrDamaged) || k.Secret != "" {
		t.Errorf("Key with another's secret = %+v, %v; want ErrDamaged", k, err)
	}
}

func TestAnotherMasterKeyIsToldClearly(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s, wrong := open(t, url), open(t, url, func(c *postgres.Config) { c.MasterKey[0]++ })
	ctx := t.Context()
	k := metadata.AccessKey{ID: "AKIAROOT", Secret: "very-secret", User: "root", Role: metadata.RoleAdmin}
	if err := s.PutKey(ctx, k); err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.Key(ctx, k.ID); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("Key: %v, want ErrWrongKey", err)
	}
	// To seal it again would lock out everybody who has the right master key.
	if err := wrong.PutKey(ctx, k); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("PutKey: %v, want ErrWrongKey", err)
	}
	if _, err := wrong.Snapshot(ctx); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("Snapshot: %v, want ErrWrongKey", err)
	}
	for _, err := range wrong.Keys(ctx) {
		if !errors.Is(err, seal.ErrWrongKey) {
			t.Errorf("Keys: %v, want ErrWrongKey", err)
		}
	}
	if got, err := s.Key(ctx, k.ID); err != nil || got.Secret != k.Secret {
		t.Errorf("Key = %+v, %v after another tried", got, err)
	}
	// A key whose master key is lost can be removed, and made anew.
	if err := wrong.DeleteKey(ctx, k.ID); err != nil {
		t.Fatal(err)
	}
	if err := wrong.PutKey(ctx, k); err != nil {
		t.Error(err)
	}
}
