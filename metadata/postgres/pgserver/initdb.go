package pgserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// superuser is the one user of the server.
const superuser = "meridian"

// password returns the password of the superuser, made at the first start. The
// file belongs to the account, which has to read it when it makes the database.
func (s *Server) password() (string, error) {
	path := filepath.Join(s.dir, "password")
	text, err := os.ReadFile(path)
	if err == nil {
		if secret := strings.TrimSpace(string(text)); secret != "" {
			return secret, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if _, err := os.Stat(s.data()); err == nil {
		return "", fmt.Errorf("%s is missing, without which the database in %s cannot be opened", path, s.data())
	}
	secret := rand.Text()
	return secret, writeSynced(path, secret+"\n", s.account)
}

// writeSynced writes a private file of the account, whole or not at all.
func writeSynced(path, text string, owner account) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close(), owner.own(path+".new")); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// initialise makes the data directory unless it is there. It is made under
// another name: what a crash leaves behind is never taken for a database.
func (s *Server) initialise(ctx context.Context) error {
	if _, err := os.Stat(s.data()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fresh := s.data() + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.binaries.Dir, "initdb"),
		"--pgdata", fresh,
		"--username", superuser,
		"--pwfile", filepath.Join(s.dir, "password"),
		"--auth", "scram-sha-256",
		"--encoding", "UTF8",
		"--locale", "C",
		"--data-checksums")
	s.account.prepare(cmd, s.dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, lastLines(string(out), 5))
	}
	if err := os.Rename(fresh, s.data()); err != nil {
		return err
	}
	return syncDir(s.dir)
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}
