package pgserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Binaries are the programs of an installed Postgres.
type Binaries struct {
	Dir   string // holds postgres and initdb
	Major int
}

// minMajor is the oldest Postgres whose SQL the schema can be written in.
const minMajor = 14

// ErrNotInstalled says that no usable Postgres was found, and what to do.
var ErrNotInstalled = errors.New("no Postgres found")

// FindBinaries returns the newest Postgres that is installed here. It looks at
// PATH, at where Debian, Red Hat and Homebrew install, and asks pg_config.
// ErrNotInstalled names every way out.
func FindBinaries(ctx context.Context) (Binaries, error) {
	all := installed(ctx)
	if len(all) == 0 {
		return Binaries{}, notInstalled(fmt.Sprintf("version %d or newer", minMajor))
	}
	return all[0], nil
}

func notInstalled(version string) error {
	return fmt.Errorf("%w (%s is needed): name a database with --database-url, or with DATABASE_URL in the environment, "+
		"or install the server: apt-get install postgresql, dnf install postgresql-server, brew install postgresql",
		ErrNotInstalled, version)
}

// installed lists what there is, newest first; of one version the first found.
func installed(ctx context.Context) []Binaries {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		if target, err := filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(target))
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",                 // Debian
		"/usr/pgsql-*/bin",                          // packages of postgresql.org for Red Hat
		"/opt/homebrew/opt/postgresql@*/bin",        // Homebrew on ARM
		"/usr/local/opt/postgresql@*/bin",           // Homebrew on Intel
		"/home/linuxbrew/.linuxbrew/opt/postg*/bin", // Homebrew on Linux
		"/usr/libexec/postgresql*",                  // Alpine
		"/usr/local/pgsql/bin",                      // built from source
		"/usr/bin",
	} {
		found, err := filepath.Glob(pattern)
		if err == nil {
			dirs = append(dirs, found...)
		}
	}
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	var all []Binaries
	for _, dir := range dirs {
		if major, ok := majorOf(ctx, dir); ok && major >= minMajor {
			all = append(all, Binaries{Dir: dir, Major: major})
		}
	}
	slices.SortStableFunc(all, func(a, b Binaries) int { return cmp.Compare(b.Major, a.Major) })
	return all
}

// versionOutput is what "postgres --version" prints; betas have no dot.
var versionOutput = regexp.MustCompile(`PostgreSQL\) (\d+)`)

func majorOf(ctx context.Context, dir string) (int, bool) {
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return 0, false
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0, false
	}
	match := versionOutput.FindSubmatch(out)
	if match == nil {
		return 0, false
	}
	major, err := strconv.Atoi(string(match[1]))
	return major, err == nil
}

// binariesFor returns the newest Postgres, or for a data directory that exists
// one of the version that made it: another cannot read it.
func binariesFor(ctx context.Context, data string) (Binaries, error) {
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return FindBinaries(ctx)
	}
	if err != nil {
		return Binaries{}, err
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return Binaries{}, fmt.Errorf("%s holds no version of Postgres: %w", filepath.Join(data, "PG_VERSION"), err)
	}
	for _, b := range installed(ctx) {
		if b.Major == major {
			return b, nil
		}
	}
	return Binaries{}, notInstalled(fmt.Sprintf("version %d, which made %s,", major, data))
}
