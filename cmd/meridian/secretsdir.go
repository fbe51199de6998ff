package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"meridian/internal/sse"
)

// secretsCommand makes the secrets of a cluster that runs as several processes,
// one folder for each circle of those who must know: an edge gets the cluster's
// secret, and neither the database's password nor the key that opens access
// keys. What is there stays, so it can run before every start.
func secretsCommand(s *settings, p process) func(context.Context, []string) error {
	var given givenSecrets
	mode := s.flags.String("mode", "0600", "`mode` of the files; 0444 where each folder is a volume that only its readers mount")
	s.flags.StringVar(&given.root.accessKey, "root-access-key", "", "access `key` of the root user, instead of a random one")
	s.secret(&given.root.secretKey, "root-secret-key", "its `secret`")
	s.secret(&given.cluster, "cluster-secret", "`secret` by which the cluster's processes know each other")
	s.secret(&given.master, "master-key", "`key` that encrypts access keys at rest; it cannot be changed later")
	s.secret(&given.encryption, "encryption-key", "master `keys` of encrypted objects, the current one first")
	s.secret(&given.database, "database-password", "`password` of Postgres")
	s.secret(&given.store, "store-secret-key", "`secret` of the origin stores")
	s.secret(&given.grafana, "grafana-password", "`password` of Grafana's user admin")
	s.flags.Usage = usageWith(s, p.stdout, "meridian secrets DIR [options]")
	return func(_ context.Context, args []string) error {
		if len(args) == 0 {
			return usagef("usage: meridian secrets DIR [options]")
		}
		if err := noArguments(args[1:]); err != nil {
			return err
		}
		bits, err := strconv.ParseUint(*mode, 8, 32)
		if err != nil || bits&^0o777 != 0 || bits&0o400 == 0 {
			return usagef("--mode is octal and lets the owner read, like 0600; not %q", *mode)
		}
		if err := given.check(); err != nil {
			return err
		}
		return given.keep(args[0], fs.FileMode(bits))
	}
}

// givenSecrets are what the operator chose; what is empty stays as it is, or is
// made at random.
type givenSecrets struct {
	root                                      rootOptions
	cluster, master, database, store, grafana string
	encryption                                string
}

func (g givenSecrets) check() error {
	if err := g.root.check(); err != nil {
		return err
	}
	if g.cluster != "" {
		if err := (&clusterOptions{secret: g.cluster}).check(); err != nil {
			return err
		}
	}
	if g.master != "" {
		if _, err := masterKey(g.master); err != nil {
			return err
		}
	}
	if g.encryption != "" {
		if _, err := sse.ParseRing(g.encryption); err != nil {
			return usagef("--encryption-key: %v", err)
		}
	}
	if strings.ContainsAny(g.database, "\r\n") {
		return usagef("--database-password must be one line")
	}
	if g.store != "" && len(g.store) < 8 {
		return usagef("--store-secret-key needs 8 characters or more")
	}
	return nil
}

// keep sees to it that dir holds every secret, readable with mode.
func (g givenSecrets) keep(dir string, mode fs.FileMode) error {
	master := filepath.Join(dir, "master", "master-key")
	if kept, err := os.ReadFile(master); err == nil && g.master != "" && string(kept) != g.master {
		return fmt.Errorf("%s holds another master key than the given one; access keys that were stored with it could no longer be read. "+
			"Give that one, or remove the file if the database is empty", master)
	}
	if err := g.keepsRing(filepath.Join(dir, "encryption", "encryption-key")); err != nil {
		return err
	}
	secrets := []struct{ file, given string }{
		{"cluster/cluster-secret", g.cluster},
		{"master/master-key", g.master},
		{"encryption/encryption-key", g.encryption},
		{"database/password", g.database},
		{"store/secret-key", g.store},
		{"grafana/password", g.grafana},
	}
	for _, s := range secrets {
		value, err := keepOne(filepath.Join(dir, s.file), s.given, mode)
		if err != nil {
			return err
		}
		if s.file == "database/password" {
			// Clients of Postgres read it in the format of libpq.
			line := "*:*:*:*:" + strings.NewReplacer(`\`, `\\`, ":", `\:`).Replace(value) + "\n"
			if _, err := keepOne(filepath.Join(dir, "database", "pgpass"), line, mode); err != nil {
				return err
			}
		}
	}
	path := filepath.Join(dir, "root", "credentials")
	if err := makeFolder(path, mode); err != nil {
		return err
	}
	if _, err := keepCredentials(path, g.root.credentials); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// keepsRing refuses a key ring that lacks a key of the one that path holds. Which
// are needed no longer, only an origin can tell; whoever knows edits the file.
func (g givenSecrets) keepsRing(path string) error {
	kept, err := os.ReadFile(path)
	if err != nil || g.encryption == "" {
		return nil //nolint:nilerr // what cannot be read is told when it is written
	}
	before, err := sse.ParseRing(string(kept))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	given, err := sse.ParseRing(g.encryption)
	if err != nil {
		return err
	}
	marks := given.Marks()
	for _, m := range before.Marks() {
		if !slices.ContainsFunc(marks, func(o []byte) bool { return bytes.Equal(m, o) }) {
			return fmt.Errorf("%s holds an encryption key that the given ones lack; objects that it protects could no longer be read. "+
				"Give it too, behind the new one", path)
		}
	}
	return nil
}

// keepOne returns what path holds afterwards: given, else what was there, else
// a random secret.
func keepOne(path, given string, mode fs.FileMode) (string, error) {
	if err := makeFolder(path, mode); err != nil {
		return "", err
	}
	kept, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	value := string(kept)
	if given != "" {
		value = given
	}
	if value == "" {
		value = randomHex()
	}
	if value != string(kept) {
		if err := writeSynced(path, value); err != nil {
			return "", err
		}
	}
	return value, os.Chmod(path, mode)
}

// makeFolder makes the folder of path, to be entered by those who may read the
// files. One that exists, such as a mounted volume, is left as it is.
func makeFolder(path string, mode fs.FileMode) error {
	return os.MkdirAll(filepath.Dir(path), 0o700|mode&0o444|mode&0o444>>2)
}
