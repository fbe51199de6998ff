package main

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tool runs a command with an environment and returns its exit code and what it
// printed to either output.
func tool(t *testing.T, env map[string]string, args ...string) (int, string) {
	t.Helper()
	var out strings.Builder
	lookup := func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	code := run(t.Context(), args, process{stdout: &out, stderr: &out, env: lookup})
	return code, out.String()
}

// files are the contents of all files below dir, by path.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, path))
		all[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSecretsAreMadeOnceAndKept(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "secrets")
	if code, out := tool(t, nil, "secrets", dir, "--mode", "0444"); code != 0 || out != "" {
		t.Fatalf("exit code %d, printed %q", code, out)
	}
	made := files(t, dir)
	for _, name := range []string{"cluster/cluster-secret", "master/master-key", "encryption/encryption-key", "database/password", "database/pgpass", "store/secret-key", "grafana/password", "root/credentials"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if len(made[name]) < 32 || info.Mode().Perm() != 0o444 {
			t.Errorf("%s: %d bytes, mode %v", name, len(made[name]), info.Mode())
		}
	}
	if made["cluster/cluster-secret"] == made["master/master-key"] {
		t.Error("two secrets are the same")
	}

	// Empty variables, as compose files pass them on, change nothing.
	empty := map[string]string{"MERIDIAN_CLUSTER_SECRET": "", "MERIDIAN_ROOT_ACCESS_KEY": "", "MERIDIAN_ROOT_SECRET_KEY": "", "MERIDIAN_MASTER_KEY": ""}
	if code, out := tool(t, empty, "secrets", "--mode", "0444", dir); code != 0 {
		t.Fatalf("second run: exit code %d, %q", code, out)
	}
	for name, text := range files(t, dir) {
		if text != made[name] {
			t.Errorf("%s has changed", name)
		}
	}

	ring := "# new\n" + strings.Repeat("ab", 32) + "\n" + made["encryption/encryption-key"]
	if code, out := tool(t, map[string]string{"MERIDIAN_ENCRYPTION_KEY": ring}, "secrets", dir); code != 0 {
		t.Fatalf("a new key before the old one: exit code %d, %q", code, out)
	}
	if now := files(t, dir)["encryption/encryption-key"]; now != ring {
		t.Errorf("the ring is %q", now)
	}

	given := map[string]string{"MERIDIAN_DATABASE_PASSWORD": `a:b\c`, "MERIDIAN_ROOT_ACCESS_KEY": "operator", "MERIDIAN_ROOT_SECRET_KEY": "it's a secret"}
	if code, out := tool(t, given, "secrets", dir); code != 0 {
		t.Fatalf("with given ones: exit code %d, %q", code, out)
	}
	now := files(t, dir)
	if now["database/password"] != `a:b\c` || now["database/pgpass"] != `*:*:*:*:a\:b\\c`+"\n" {
		t.Errorf("password %q, pgpass %q", now["database/password"], now["database/pgpass"])
	}
	if now["cluster/cluster-secret"] != made["cluster/cluster-secret"] {
		t.Error("a secret that was not given has changed")
	}
	credentials := map[string]string{"MERIDIAN_CREDENTIALS": filepath.Join(dir, "root", "credentials")}
	if _, out := tool(t, credentials, "credentials", "--export"); out != `export AWS_ACCESS_KEY_ID='operator' AWS_SECRET_ACCESS_KEY='it'\''s a secret'`+"\n" {
		t.Errorf("credentials --export printed %q", out)
	}
	if _, out := tool(t, credentials, "credentials"); out != now["root/credentials"] {
		t.Errorf("credentials printed %q, the file holds %q", out, now["root/credentials"])
	}
}

func TestSecretsThatCannotBeAreRefusedBeforeAnythingChanges(t *testing.T) {
	t.Parallel()
	kept := filepath.Join(t.TempDir(), "kept")
	if code, out := tool(t, nil, "secrets", kept); code != 0 {
		t.Fatal(out)
	}
	before := files(t, kept)
	for _, c := range []struct {
		env  map[string]string
		args []string
		says string
	}{
		{nil, []string{"--mode", "0999"}, "--mode"},
		{nil, []string{"more"}, "unexpected argument"},
		{map[string]string{"MERIDIAN_CLUSTER_SECRET": "short"}, nil, "16 characters"},
		{map[string]string{"MERIDIAN_ROOT_ACCESS_KEY": "alone"}, nil, "go together"},
		{map[string]string{"MERIDIAN_MASTER_KEY": "a key that is another one", "MERIDIAN_CLUSTER_SECRET": "a secret that is long enough"}, nil, "another master key"},
		{map[string]string{"MERIDIAN_ENCRYPTION_KEY": "too short"}, nil, "64 hex digits"},
		{map[string]string{"MERIDIAN_ENCRYPTION_KEY": strings.Repeat("ab", 32)}, nil, "could no longer be read"},
	} {
		for _, dir := range []string{kept, filepath.Join(t.TempDir(), "new")} {
			if (c.says == "another master key" || c.says == "could no longer be read") && dir != kept {
				continue
			}
			code, out := tool(t, c.env, append([]string{"secrets", dir}, c.args...)...)
			if code == 0 || !strings.Contains(out, c.says) {
				t.Errorf("%v %v: exit code %d, %q", c.env, c.args, code, out)
			}
			if _, err := os.Stat(dir); dir != kept && err == nil {
				t.Errorf("%v %v left %s behind", c.env, c.args, dir)
			}
		}
	}
	for name, text := range files(t, kept) {
		if text != before[name] {
			t.Errorf("%s has changed", name)
		}
	}
}

// Options that follow a verb are parsed after those before it, and find the
// secret that a file held already read.
func TestClientCommandsTakeASecretFromAFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("a long secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"MERIDIAN_ROOT_ACCESS_KEY": "operator", "MERIDIAN_ROOT_SECRET_KEY_FILE": path}
	lookup := func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	s := newSettings("key", lookup, io.Discard)
	var api apiOptions
	api.declare(s)
	rest, err := s.parse([]string{"list", "--api", "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := subcommand(rest, "list"); err != nil {
		t.Fatal(err)
	}
	if api.secretKey != "a long secret" || api.url != "http://127.0.0.1:1" {
		t.Errorf("secret %q, API %q", api.secretKey, api.url)
	}
}
