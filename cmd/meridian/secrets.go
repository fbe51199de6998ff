package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// credentials are an access key and its secret.
type credentials struct {
	accessKey, secretKey string
}

// newCredentials are random, in the lengths that AWS uses: some tools check.
func newCredentials() credentials {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	id, secret := make([]byte, 16), make([]byte, 30)
	_, _ = rand.Read(id) // never fails: crypto/rand ends the program instead
	_, _ = rand.Read(secret)
	for i := range id {
		id[i] = alphabet[id[i]%32]
	}
	// Without + and /, which people forget to escape in URLs and shells.
	text := strings.NewReplacer("+", "p", "/", "s").Replace(base64.StdEncoding.EncodeToString(secret))
	return credentials{accessKey: "MRDN" + string(id), secretKey: text}
}

// readCredentials reads the [default] profile of a file in the AWS
// shared-credentials format.
func readCredentials(path string) (credentials, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return credentials{}, err
	}
	var c credentials
	profile := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			profile = strings.Trim(line, "[] ")
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		if profile != "default" {
			continue
		}
		switch strings.TrimSpace(name) {
		case "aws_access_key_id":
			c.accessKey = strings.TrimSpace(value)
		case "aws_secret_access_key":
			c.secretKey = strings.TrimSpace(value)
		}
	}
	if c.accessKey == "" || c.secretKey == "" {
		return credentials{}, fmt.Errorf("%s: no aws_access_key_id and aws_secret_access_key under [default]", path)
	}
	return c, nil
}

func (c credentials) format() string {
	return fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", c.accessKey, c.secretKey)
}

// keepSecret returns the secret kept in path, made by fresh and synced to disk
// the first time. Losing the master key would lose every access key.
func keepSecret(path string, fresh func() string) (string, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		return string(text), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	value := fresh()
	if err := writeSynced(path, value); err != nil {
		return "", err
	}
	return value, nil
}

// writeSynced replaces a file by rename, readable by its owner only, so that a
// crash leaves the old content or the new.
func writeSynced(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // fails after the rename, which is right
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func randomHex() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// masterKey turns what the operator gave into a key: 64 hex digits as they are,
// any other text of at least 16 characters by its SHA-256.
func masterKey(text string) ([32]byte, error) {
	var key [32]byte
	if raw, err := hex.DecodeString(text); err == nil && len(raw) == len(key) {
		return [32]byte(raw), nil
	}
	if len(text) < 16 {
		return key, usagef("--master-key needs 64 hex digits, or a passphrase of at least 16 characters")
	}
	return sha256.Sum256([]byte(text)), nil
}
