package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"meridian/internal/hop"
	"meridian/metadata"
)

var _ metadata.Keys = (*Store)(nil)

const keyColumns = `id, secret, "user", role, created, expires, policy`

// PutKey implements metadata.Keys. It is called for the root key at every start
// of every role, so that most calls find the key as it shall be.
func (s *Store) PutKey(ctx context.Context, k metadata.AccessKey) error {
	if err := checkKey(k); err != nil {
		return err
	}
	changed := false
	err := retry(ctx, true, func() error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
			if changed, err = s.putKey(ctx, tx, k); err != nil || !changed {
				return err
			}
			return s.emitKey(ctx, tx, k.ID)
		})
	})
	if err != nil {
		return fmt.Errorf("put access key %q: %w", k.ID, err)
	}
	if changed {
		s.ring()
	}
	return nil
}

// putKey says whether it changed anything. When somebody else inserts the key
// at the same moment, the insertion waits for them, and the next look finds
// their row.
func (s *Store) putKey(ctx context.Context, tx pgx.Tx, k metadata.AccessKey) (changed bool, err error) {
	for {
		old, err := s.scanKey(tx.QueryRow(ctx, `SELECT `+keyColumns+` FROM access_key WHERE id = $1 FOR UPDATE`, k.ID))
		if err == nil {
			return s.replaceKey(ctx, tx, old, k)
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return false, err
		}
		if inserted, err := s.insertKey(ctx, tx, k); inserted || err != nil {
			return inserted, err
		}
	}
}

// checkKey refuses what S3 tools could not send or what would shadow a key of
// the cluster.
func checkKey(k metadata.AccessKey) error {
	switch {
	case len(k.ID) < 3 || len(k.ID) > 128 || strings.ContainsFunc(k.ID, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`/,:="`, r)
	}):
		return metadata.Invalidf("access key ID %q must have 3 to 128 visible ASCII characters other than / , : = and \"", k.ID)
	case k.ID == hop.NodeAccessKey:
		return metadata.Invalidf("access key ID %q belongs to the cluster", k.ID)
	case len(k.Secret) < 8 || len(k.Secret) > 1024:
		return metadata.Invalidf("secret of access key %q must have 8 to 1024 bytes", k.ID)
	case len(k.Policy) > metadata.MaxKeyPolicy:
		return metadata.Invalidf("policy of access key %q has more than %d bytes", k.ID, metadata.MaxKeyPolicy)
	case len(k.Policy) > 0 && !json.Valid(k.Policy):
		return metadata.Invalidf("policy of access key %q is not JSON", k.ID)
	case k.User == "" || len(k.User) > 256 || !isText(k.User):
		return metadata.Invalidf("user of access key %q must have 1 to 256 bytes of text", k.ID)
	}
	switch k.Role {
	case metadata.RoleAdmin, metadata.RoleReadWrite, metadata.RoleReadOnly, metadata.RoleUser:
		return nil
	}
	return metadata.Invalidf("role %q of access key %q is unknown", k.Role, k.ID)
}

func (s *Store) insertKey(ctx context.Context, tx pgx.Tx, k metadata.AccessKey) (bool, error) {
	tag, err := tx.Exec(ctx, `
		INSERT INTO access_key (`+keyColumns+`) VALUES ($1, $2, $3, $4, coalesce($5, now()), $6, $7)
		ON CONFLICT (id) DO NOTHING`,
		k.ID, s.seal.Seal([]byte(k.Secret), k.ID), k.User, k.Role, timeOrNull(k.Created), k.Expires, policyOrNull(k.Policy))
	return tag.RowsAffected() > 0, err
}

// replaceKey writes k over old, a locked row, unless they say the same.
func (s *Store) replaceKey(ctx context.Context, tx pgx.Tx, old, k metadata.AccessKey) (bool, error) {
	if k.Created.IsZero() {
		k.Created = old.Created
	}
	if sameKey(old, k) {
		return false, nil
	}
	_, err := tx.Exec(ctx, `
		UPDATE access_key SET secret = $2, "user" = $3, role = $4, created = $5, expires = $6, policy = $7 WHERE id = $1`,
		k.ID, s.seal.Seal([]byte(k.Secret), k.ID), k.User, k.Role, k.Created, k.Expires, policyOrNull(k.Policy))
	return err == nil, err
}

// sameKey compares times as Postgres keeps them, in microseconds.
func sameKey(a, b metadata.AccessKey) bool {
	same := func(a, b time.Time) bool { return a.Truncate(time.Microsecond).Equal(b.Truncate(time.Microsecond)) }
	return a.Secret == b.Secret && a.User == b.User && a.Role == b.Role && same(a.Created, b.Created) &&
		bytes.Equal(a.Policy, b.Policy) && (a.Expires == nil) == (b.Expires == nil) && (a.Expires == nil || same(*a.Expires, *b.Expires))
}

func policyOrNull(policy json.RawMessage) *string {
	if len(policy) == 0 {
		return nil
	}
	text := string(policy)
	return &text
}

func (s *Store) emitKey(ctx context.Context, tx pgx.Tx, id string) error {
	data, err := json.Marshal(metadata.KeyData{AccessKey: id})
	if err != nil {
		return err
	}
	_, err = s.emit(ctx, tx, metadata.Event{Type: metadata.KeyChanged, Data: data})
	return err
}

// Key implements metadata.Keys.
func (s *Store) Key(ctx context.Context, id string) (metadata.AccessKey, error) {
	k, err := s.liveKey(ctx, s.pool, id, "")
	if err != nil {
		return metadata.AccessKey{}, fmt.Errorf("access key %q: %w", id, err)
	}
	return k, nil
}

func (s *Store) liveKey(ctx context.Context, db querier, id, lock string) (metadata.AccessKey, error) {
	if !isText(id) {
		return metadata.AccessKey{}, metadata.ErrNoSuchAccess
	}
	k, err := s.scanKey(db.QueryRow(ctx, `
		SELECT `+keyColumns+` FROM access_key WHERE id = $1 AND (expires IS NULL OR expires > now())`+lock, id))
	if errors.Is(err, pgx.ErrNoRows) {
		err = metadata.ErrNoSuchAccess
	}
	return k, err
}

// Keys implements metadata.Keys, in order of their IDs. It holds no connection
// while it yields: there are few keys, and the caller may need the pool.
func (s *Store) Keys(ctx context.Context) iter.Seq2[metadata.AccessKey, error] {
	return func(yield func(metadata.AccessKey, error) bool) {
		keys, err := s.liveKeys(ctx, s.pool)
		if err != nil {
			yield(metadata.AccessKey{}, fmt.Errorf("access keys: %w", err))
			return
		}
		for _, k := range keys {
			if !yield(k, nil) {
				return
			}
		}
	}
}

func (s *Store) liveKeys(ctx context.Context, db querier) ([]metadata.AccessKey, error) {
	rows, err := db.Query(ctx, `
		SELECT `+keyColumns+` FROM access_key WHERE expires IS NULL OR expires > now() ORDER BY id`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (metadata.AccessKey, error) { return s.scanKey(row) })
}

// UpdateKey implements metadata.Keys.
func (s *Store) UpdateKey(ctx context.Context, id string, change func(*metadata.AccessKey) error) (k metadata.AccessKey, err error) {
	changed := false
	err = retry(ctx, false, func() error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			old, err := s.liveKey(ctx, tx, id, " FOR UPDATE")
			if err != nil {
				return err
			}
			k = old
			if err := change(&k); err != nil {
				return err
			}
			k.ID, k.Secret, k.Created = old.ID, old.Secret, old.Created
			if err := checkKey(k); err != nil {
				return err
			}
			if changed, err = s.replaceKey(ctx, tx, old, k); err != nil || !changed {
				return err
			}
			return s.emitKey(ctx, tx, id)
		})
	})
	if err != nil {
		return metadata.AccessKey{}, fmt.Errorf("update access key %q: %w", id, err)
	}
	if changed {
		s.ring()
	}
	return k, nil
}

// DeleteKey implements metadata.Keys. It needs no secret, so that also a key
// that was sealed under a lost master key can be removed.
func (s *Store) DeleteKey(ctx context.Context, id string) error {
	if !isText(id) {
		return fmt.Errorf("delete access key %q: %w", id, metadata.ErrNoSuchAccess)
	}
	err := retry(ctx, false, func() error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			tag, err := tx.Exec(ctx, `DELETE FROM access_key WHERE id = $1`, id)
			if err != nil {
				return err
			}
			if tag.RowsAffected() == 0 {
				return metadata.ErrNoSuchAccess
			}
			return s.emitKey(ctx, tx, id)
		})
	})
	if err != nil {
		return fmt.Errorf("delete access key %q: %w", id, err)
	}
	s.ring()
	return nil
}

// scanKey reads keyColumns and opens the secret.
func (s *Store) scanKey(row pgx.Row) (metadata.AccessKey, error) {
	var k metadata.AccessKey
	var sealed, policy []byte
	if err := row.Scan(&k.ID, &sealed, &k.User, &k.Role, &k.Created, &k.Expires, &policy); err != nil {
		return metadata.AccessKey{}, err
	}
	k.Policy = policy
	secret, err := s.seal.Open(sealed, k.ID)
	if err != nil {
		return metadata.AccessKey{}, fmt.Errorf("secret of access key %q: %w", k.ID, err)
	}
	k.Secret = string(secret)
	return k, nil
}
