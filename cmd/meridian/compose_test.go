package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// variant is one way to start the compose file.
type variant struct {
	name     string
	files    []string
	profiles []string
	env      []string
}

var variants = []variant{
	{name: "minio", files: []string{"docker-compose.yml"}},
	{name: "demo", files: []string{"docker-compose.yml"}, profiles: []string{"demo"}},
	{name: "disk", files: []string{"docker-compose.yml", "deploy/compose.disk.yml"}},
	{
		name: "s3", files: []string{"docker-compose.yml", "deploy/compose.s3.yml"},
		env: []string{"S3_ENDPOINT=https://s3.example.com", "S3_ACCESS_KEY=someone", "S3_SECRET_KEY=not-so-secret", "S3_REGION_ASIA=ap-1"},
	},
}

// load reads the files as docker compose does, with no environment but the
// variant's.
func (v variant) load(t *testing.T) *types.Project {
	t.Helper()
	var files []string
	for _, f := range v.files {
		files = append(files, filepath.Join(repository, f))
	}
	options, err := cli.NewProjectOptions(files, cli.WithWorkingDirectory(repository), cli.WithEnv(v.env), cli.WithProfiles(v.profiles))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// everyVariant runs check on each, side by side.
func everyVariant(t *testing.T, check func(t *testing.T, v variant, p *types.Project)) {
	t.Parallel()
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			check(t, v, v.load(t))
		})
	}
}

func isMeridian(s types.ServiceConfig) bool { return strings.HasPrefix(s.Image, "meridian:") }

func TestComposeFilesHoldTogether(t *testing.T) {
	everyVariant(t, func(t *testing.T, v variant, p *types.Project) {
		built := map[string]bool{}
		for _, s := range p.Services {
			if s.Build != nil {
				built[s.Image] = true
				if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
					t.Error(err)
				}
			}
		}
		ports := map[string]string{}
		for name, s := range p.Services {
			image, tag, tagged := strings.Cut(s.Image, ":")
			if !tagged || tag == "" || tag == "latest" {
				t.Errorf("%s: image %s is not pinned by a tag", name, s.Image)
			}
			if strings.HasPrefix(image, "meridian") && !built[s.Image] {
				t.Errorf("%s: no service builds %s", name, s.Image)
			}
			if s.Logging == nil || s.Logging.Options["max-size"] == "" {
				t.Errorf("%s: its log grows without end", name)
			}
			oneShot := name == "secrets" || name == "demo"
			if want := map[bool]string{true: "no", false: "unless-stopped"}[oneShot]; s.Restart != want {
				t.Errorf("%s: restart is %q, want %q", name, s.Restart, want)
			}
			if !oneShot && s.MemLimit == 0 {
				t.Errorf("%s: its memory has no limit", name)
			}
			for _, port := range s.Ports {
				if other := ports[port.Published]; other != "" {
					t.Errorf("%s and %s both publish port %s", name, other, port.Published)
				}
				ports[port.Published] = name
				if port.HostIP != "127.0.0.1" {
					t.Errorf("%s: port %s can be reached from elsewhere without being asked for", name, port.Published)
				}
			}
			for _, m := range s.Volumes {
				switch {
				case m.Type == types.VolumeTypeVolume && m.Source == "":
					t.Errorf("%s: the volume at %s has no name", name, m.Target)
				case m.Type == types.VolumeTypeVolume && strings.HasPrefix(m.Target, "/secrets/") && name != "secrets" && !m.ReadOnly:
					t.Errorf("%s may write to %s", name, m.Target)
				case m.Type == types.VolumeTypeBind:
					if _, err := os.Stat(m.Source); err != nil || !m.ReadOnly {
						t.Errorf("%s: %s must be in the repository, and mounted read-only (%v)", name, m.Source, err)
					}
				}
			}
			for on, d := range s.DependsOn {
				switch {
				case on == "secrets" && d.Condition != types.ServiceConditionCompletedSuccessfully:
					t.Errorf("%s does not wait until the secrets are made", name)
				case on != "secrets" && (d.Condition != types.ServiceConditionHealthy || !hasHealthCheck(t, p.Services[on])):
					t.Errorf("%s waits for %s, which cannot say that it is healthy", name, on)
				}
			}
			if cache := s.Environment["MERIDIAN_CACHE_MEMORY"]; cache != nil {
				var n size
				if err := n.UnmarshalText([]byte(*cache)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				need := int64(n)*5/4 + 100<<20
				if onDisk := s.Environment["MERIDIAN_CACHE_DISK_SIZE"]; onDisk != nil {
					if err := n.UnmarshalText([]byte(*onDisk)); err != nil {
						t.Errorf("%s: %v", name, err)
					}
					need += 32<<20 + int64(n)*3/1000
				}
				if int64(s.MemLimit) < need {
					t.Errorf("%s: a cache of %s needs up to %d bytes, the limit is %d", name, *cache, need, s.MemLimit)
				}
			}
		}
		for _, region := range devRegions {
			if _, ok := p.Services["minio-"+region]; ok != (v.name == "minio" || v.name == "demo") {
				t.Errorf("MinIO of %s runs: %v", region, ok)
			}
			if store := *p.Services["origin-"+region].Environment["MERIDIAN_STORE"]; v.name != "demo" && store != v.name {
				t.Errorf("the store of %s is %s", region, store)
			}
		}
	})
}

// hasHealthCheck looks at the service and at the Dockerfile of its image.
func hasHealthCheck(t *testing.T, s types.ServiceConfig) bool {
	t.Helper()
	if s.HealthCheck != nil {
		return !s.HealthCheck.Disable && len(s.HealthCheck.Test) > 0
	}
	return len(imageHealthCheck(t, s)) > 0
}

// imageHealthCheck is the health check of an image that the repository builds.
func imageHealthCheck(t *testing.T, s types.ServiceConfig) []string {
	t.Helper()
	file := map[string]string{"meridian": "Dockerfile", "meridian-minio": "minio.Dockerfile"}[strings.Split(s.Image, ":")[0]]
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(repository, "deploy", file))
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "HEALTHCHECK")
	_, list, isList := strings.Cut(after, "CMD [")
	list, _, closed := strings.Cut(list, "]")
	if !ok || !isList || !closed {
		return nil
	}
	var test []string
	for word := range strings.SplitSeq(list, ",") {
		test = append(test, strings.Trim(strings.TrimSpace(word), `"`))
	}
	return test
}

// TestComposeGivesNobodyASecretItDoesNotNeed holds secrets to the volumes, and
// the volumes to those who need them.
func TestComposeGivesNobodyASecretItDoesNotNeed(t *testing.T) {
	readers := map[string][]string{
		"cluster":    {"metadata", "origin", "regional", "edge"},
		"master":     {"metadata", "origin"},
		"database":   {"postgres", "metadata", "origin"},
		"encryption": {"origin"},
		"root":       {"metadata", "demo"},
		"store":      {"minio", "origin"},
		"grafana":    {"grafana"},
	}
	everyVariant(t, func(t *testing.T, v variant, p *types.Project) {
		for name, s := range p.Services {
			kind, _, _ := strings.Cut(name, "-")
			for _, m := range s.Volumes {
				secret, ok := strings.CutPrefix(m.Target, "/secrets/")
				if ok && name != "secrets" && !slices.Contains(readers[secret], kind) {
					t.Errorf("%s can read the secrets of %s", name, secret)
				}
			}
			for key, value := range s.Environment {
				secret := strings.Contains(key, "SECRET") || strings.Contains(key, "PASSWORD") || strings.Contains(key, "MASTER_KEY") || strings.Contains(key, "ENCRYPTION_KEY")
				if secret && value != nil && *value != "" && !strings.HasPrefix(*value, "/secrets/") && v.name != "s3" {
					t.Errorf("%s: %s holds a secret that stands in the repository", name, key)
				}
			}
		}
		for _, n := range []string{"nodes", "default"} {
			for name, s := range p.Services {
				if _, on := s.Networks[n]; on && (strings.HasPrefix(name, "minio-") || name == "postgres") {
					t.Errorf("every node can reach %s", name)
				}
			}
		}
	})
}

// TestComposeCommandsAreAccepted hands command and environment of each of our
// services to the parser of options.
func TestComposeCommandsAreAccepted(t *testing.T) {
	secrets := t.TempDir()
	if code, out := tool(t, nil, "secrets", secrets); code != 0 {
		t.Fatal(out)
	}
	everyVariant(t, func(t *testing.T, _ variant, p *types.Project) {
		for name, s := range p.Services {
			if !isMeridian(s) {
				continue
			}
			env := imageEnvironment(t)
			var environ []string
			for key, value := range s.Environment {
				if value != nil {
					env[key] = strings.ReplaceAll(*value, "/secrets/", secrets+"/")
				}
			}
			for key, value := range env {
				environ = append(environ, key+"="+value)
			}
			if err := accepts(s.Command, env, environ); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// accepts parses a command line as run does, without running it.
func accepts(args []string, env map[string]string, environ []string) error {
	cmd, ok := roles()[args[0]]
	if !ok {
		cmd, ok = tools()[args[0]]
	}
	if !ok {
		return fmt.Errorf("unknown command %q", args[0])
	}
	lookup := func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	s := newSettings(args[0], lookup, io.Discard)
	cmd.options(s, process{stdout: io.Discard, stderr: io.Discard, env: lookup})
	if _, err := s.parse(args[1:]); err != nil {
		return err
	}
	return checkEnvironment(environ)
}

// imageEnvironment are the variables that our image sets.
func imageEnvironment(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "deploy", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for line := range strings.Lines(string(text)) {
		list, ok := strings.CutPrefix(strings.TrimSpace(line), "ENV ")
		if !ok {
			continue
		}
		for _, pair := range strings.Fields(list) {
			key, value, _ := strings.Cut(pair, "=")
			env[key] = value
		}
	}
	if len(env) == 0 {
		t.Fatal("the Dockerfile sets no variable")
	}
	return env
}

// TestImageIsBuiltFromAllItNeeds looks whether the folders of every package of
// the program are let through to the build.
func TestImageIsBuiltFromAllItNeeds(t *testing.T) {
	t.Parallel()
	ignore, err := os.ReadFile(filepath.Join(repository, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range strings.Lines(string(out)) {
		path, ours := strings.CutPrefix(strings.TrimSpace(pkg), "meridian/")
		if folder, _, _ := strings.Cut(path, "/"); ours && !strings.Contains(string(ignore), "\n!"+folder+"\n") {
			t.Errorf(".dockerignore keeps %s out of the image's build", folder)
		}
	}
}
