// Package internal_test holds the tests of the tree as a whole.
package internal_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// layers says which packages of ours each package may import, tests apart. A
// name ending in /... stands for all packages below it too. A package that is
// not listed may import nothing of ours: whoever adds one decides its place.
// cmd/... names every implementation and is imported by nobody.
var layers = map[string][]string{
	"internal/cors":      {},
	"internal/hop":       {},
	"internal/iam":       {},
	"internal/checksum":  {"internal/md5lanes"},
	"internal/md5lanes":  {},
	"internal/faultlink": {},
	"internal/filelock":  {},
	"internal/h1":        {},
	"internal/httpserve": {"internal/h1"},
	"internal/seal":      {},
	"internal/sse":       {"internal/seal"},
	"internal/session":   {"internal/seal"},
	"internal/sigv4":     {},
	"internal/signedurl": {},
	"internal/wan":       {},
	"internal/edgebench": {"internal/program", "internal/sigv4"},
	"internal/hitbench":  {"edge/cache", "edge/cache/memory", "edge/cache/policy", "internal/program"},

	"internal/devserver":   {},
	"internal/conformance": {"internal/devserver", "internal/program"},
	"internal/clients":     {"internal/devserver", "internal/program"},
	"internal/program":     {},
	"internal/s3bench":     {"internal/devserver", "internal/program", "internal/sigv4"},
	"internal/sigv2":       {},

	"metadata":                   {},
	"metadata/access":            {"metadata", "internal/iam"},
	"metadata/tally":             {"metadata"},
	"metadata/lifecycle":         {"metadata"},
	"metadata/notify":            {"metadata"},
	"metadata/notify/webhook":    {"metadata", "metadata/notify"},
	"metadata/lifecycle/expire":  {"metadata", "metadata/lifecycle"},
	"metadata/client":            {"metadata", "internal/hop", "internal/sigv4"},
	"metadata/catalogtest":       {"metadata"},
	"metadata/postgres":          {"metadata", "internal/hop", "internal/seal", "internal/session", "internal/sigv4"},
	"metadata/postgres/pgserver": {"internal/filelock"},
	"metadata/postgres/pgtest":   {"metadata/postgres", "metadata/postgres/pgserver"},
	"metadata/media":             {"metadata", "metadata/media/faststart", "metadata/media/probe", "internal/hop", "internal/sigv4"},
	"metadata/media/faststart":   {},
	"metadata/media/probe":       {"metadata"},
	"metadata/admit":             {"metadata", "metadata/media/probe"},
	"metadata/api":               {"metadata", "metadata/access", "metadata/admit", "metadata/lifecycle", "metadata/media/probe", "metadata/notify", "metadata/notify/webhook", "upload/presign", "internal/hop", "internal/httpserve", "internal/sigv4", "internal/signedurl", "internal/seal"},

	"console": {},

	"origin/blob":           {},
	"origin/blob/blobtest":  {"origin/blob", "internal/checksum"},
	"origin/blob/disk":      {"origin/blob", "internal/checksum", "internal/filelock"},
	"origin/blob/bucket":    {"origin/blob", "internal/checksum"},
	"origin/blob/minio":     {"origin/blob", "origin/blob/bucket"},
	"origin/blob/aws":       {"origin/blob", "origin/blob/bucket"},
	"origin/blob/miniotest": {},
	"origin/record":         {"origin/blob", "metadata"},
	"origin/crypt":          {"metadata", "internal/sse"},
	"origin":                {"origin/blob", "origin/crypt", "origin/record", "metadata", "metadata/admit", "internal/checksum", "internal/sse"},
	"origin/peer":           {"origin", "metadata", "internal/hop", "internal/sigv4"},
	"origin/sweep":          {"origin/blob", "metadata"},
	"origin/s3api":          {"origin", "origin/blob", "origin/crypt", "internal/sse", "upload", "metadata", "metadata/access", "metadata/lifecycle", "metadata/notify", "internal/checksum", "internal/cors", "internal/hop", "internal/iam", "internal/httpserve", "internal/session", "internal/sigv2", "internal/sigv4"},
	"upload":                {"origin/blob", "origin/crypt", "origin/record", "internal/sse", "metadata", "metadata/admit", "metadata/media/probe", "internal/checksum"},
	"upload/presign":        {"metadata"},
	"origin/replicate":      {"origin/blob", "origin/record", "metadata", "internal/checksum"},
	"upload/relay":          {"metadata", "internal/hop", "internal/httpserve", "internal/sigv4"},
	"upload/tus":            {"upload", "upload/relay", "origin/blob", "metadata", "metadata/media/probe", "internal/hop", "internal/httpserve", "internal/sigv4"},

	"edge/cache":           {},
	"edge/cache/cachetest": {"edge/cache"},
	"edge/cache/policy":    {},
	"edge/cache/memory":    {"edge/cache", "edge/cache/policy"},
	"edge/cache/disk":      {"edge/cache", "edge/cache/policy", "internal/filelock"},
	"edge/httpcache":       {},
	"edge/balance":         {"edge/cache"},
	"edge/limit":           {},
	"edge/fetch":           {"edge/balance", "edge/cache", "edge/limit", "metadata", "internal/hop", "internal/sigv4"},
	"edge/pull":            {"edge/cache", "edge/httpcache", "edge/limit", "metadata", "internal/hop", "internal/sigv4"},
	"edge/popular":         {},
	"edge/purge":           {"metadata"},
	"edge":                 {"edge/...", "metadata", "metadata/access", "metadata/tally", "metadata/client", "internal/cors", "internal/h1", "internal/hop", "internal/httpserve", "internal/iam", "internal/session", "internal/sigv4", "internal/signedurl"},
}

// confined are the libraries that one part alone may know; the rest sees them
// through an interface of ours.
var confined = map[string][]string{
	"github.com/gin-gonic/gin":          {"metadata/api"},
	"github.com/jackc/pgx/v5":           {"metadata/postgres"},
	"github.com/dgraph-io/ristretto/v2": {"edge/cache/memory", "internal/hitbench"},
	"github.com/minio/minio-go/v7":      {"origin/blob/minio", "internal/conformance", "internal/clients"},
	"github.com/aws/aws-sdk-go-v2":      {"origin/blob/aws", "upload/presign", "internal/clients"},
	"github.com/quic-go/quic-go":        {"internal/httpserve"},
	"github.com/tus/tusd/v2":            {"upload/tus"},
	"go.yaml.in/yaml/v3":                {"cmd/meridian"},
}

type goPackage struct {
	ImportPath string
	Doc        string
	Name       string
	GoFiles    []string
	Imports    []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,Name,GoFiles,Imports", "meridian/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImportsPointDownwards(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		path := strings.TrimPrefix(p.ImportPath, "meridian/")
		if len(p.GoFiles) == 0 {
			continue
		}
		allowed, listed := layers[path]
		if !listed && !strings.HasPrefix(path, "cmd/") {
			t.Errorf("package %s has no place in the layers", path)
		}
		for _, imp := range p.Imports {
			own, ours := strings.CutPrefix(imp, "meridian/")
			switch {
			case ours && strings.HasPrefix(own, "cmd/"):
				t.Errorf("%s imports %s: nobody imports a command", path, own)
			case ours && !strings.HasPrefix(path, "cmd/") && !permitted(allowed, own):
				t.Errorf("%s imports %s, which is not below it", path, own)
			}
			for library, homes := range confined {
				if (imp == library || strings.HasPrefix(imp, library+"/")) && !slices.Contains(homes, path) {
					t.Errorf("%s imports %s, which stays in %v", path, imp, homes)
				}
			}
		}
	}
}

func permitted(allowed []string, imp string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool {
		below, all := strings.CutSuffix(a, "/...")
		return a == imp || all && strings.HasPrefix(imp, below+"/")
	})
}

func TestEveryPackageHasAComment(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("package %s has no comment", p.ImportPath)
		}
	}
}
