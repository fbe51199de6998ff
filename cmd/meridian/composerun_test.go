package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/minio/minio-go/v7"
	miniocredentials "github.com/minio/minio-go/v7/pkg/credentials"

	"meridian/metadata/postgres/pgserver"
	"meridian/origin/blob/miniotest"
)

// TestComposeRunsOutsideDocker starts what the compose files describe, with the
// same command lines and environments, waits with their own health checks, runs
// the demo against it and stops it as Docker would. Each container becomes a
// loopback address of its own, each volume a directory.
func TestComposeRunsOutsideDocker(t *testing.T) {
	t.Parallel()
	if os.Getenv("TEST_LONG") == "" {
		t.Skip("starts some twenty processes; TEST_LONG=1 runs it")
	}
	program, err := miniotest.Program()
	if err != nil {
		missing(t, err.Error())
	}
	requirePostgres(t)
	binary := buildMeridian(t)
	for _, v := range variants {
		if v.name == "demo" { // the same services as minio
			continue
		}
		t.Run(v.name, func(t *testing.T) { // one after the other: they are large
			var elsewhere *miniotest.Server
			if v.name == "s3" {
				elsewhere = miniotest.New(t)
				v.env = []string{"S3_ENDPOINT=" + elsewhere.URL, "S3_ACCESS_KEY=" + miniotest.AccessKey, "S3_SECRET_KEY=" + miniotest.SecretKey}
			}
			s := newStack(t, v.load(t), map[string]string{"meridian": binary, "meridian-minio": program})
			s.up()
			out := s.demo(t, 60)
			for _, want := range []string{"60 answers with 200", "has the new photo", "origin"} {
				if !strings.Contains(out, want) {
					t.Errorf("the demo does not print %q", want)
				}
			}
			s.down()
			s.assertBlobs(elsewhere)
		})
	}
}

// stack is a compose project that runs without containers.
type stack struct {
	t        *testing.T
	project  *types.Project
	programs map[string]string // by image without its tag
	dir      string
	address  map[string]string // IP address by service
	database *url.URL
	running  []*stackProcess // in the order of their start
}

type stackProcess struct {
	name string
	cmd  *exec.Cmd
	done chan error
}

func newStack(t *testing.T, p *types.Project, programs map[string]string) *stack {
	t.Helper()
	s := &stack{t: t, project: p, programs: programs, dir: t.TempDir(), address: map[string]string{}}
	pg, err := pgserver.Start(t.Context(), pgserver.Config{Dir: filepath.Join(devDir(t), "postgres")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if s.database, err = url.Parse(pg.URL()); err != nil {
		t.Fatal(err)
	}
	network := fmt.Sprintf("127.%d.%d.", 16+rand.IntN(200), rand.IntN(250))
	for i, name := range slices.Sorted(maps.Keys(p.Services)) {
		s.address[name] = network + fmt.Sprint(i+1)
	}
	t.Cleanup(func() {
		for _, p := range s.running {
			_ = p.cmd.Process.Kill()
		}
	})
	return s
}

// here turns a value of the compose file into what it is outside Docker.
func (s *stack) here(service, value string) string {
	if u, err := url.Parse(value); err == nil && u.Scheme == "postgres" {
		return s.databaseURL(u)
	}
	value = regexp.MustCompile(`http://([a-z0-9.-]+):(\d+)`).ReplaceAllStringFunc(value, func(hostport string) string {
		host, port, _ := strings.Cut(strings.TrimPrefix(hostport, "http://"), ":")
		switch {
		case host == "127.0.0.1" && port != "9000": // of no container
			return hostport
		case host == "127.0.0.1":
			return "http://" + s.address[service] + ":" + port
		case host != "localhost":
			if s.address[host] == "" {
				s.t.Fatalf("%s names %s, which is no service", service, hostport)
			}
			return "http://" + s.address[host] + ":" + port
		}
		for name, other := range s.project.Services {
			for _, p := range other.Ports {
				if p.Published == port {
					return fmt.Sprintf("http://%s:%d", s.address[name], p.Target)
				}
			}
		}
		s.t.Fatalf("%s: nobody publishes the port of %s", service, hostport)
		return ""
	})
	if strings.HasPrefix(value, ":") {
		return s.address[service] + value
	}
	for _, m := range s.project.Services[service].Volumes {
		if strings.HasPrefix(value+"/", m.Target+"/") {
			return filepath.Join(s.dir, m.Source) + strings.TrimPrefix(value, m.Target)
		}
	}
	if value == "/secrets" || value == "/data" {
		return filepath.Join(s.dir, service+value)
	}
	return value
}

// databaseURL is that of the private server, by what stands in the compose file:
// user, options and password file.
func (s *stack) databaseURL(u *url.URL) string {
	pg := s.project.Services["postgres"].Environment
	if u.Host != "postgres:5432" || u.User.Username() != *pg["POSTGRES_USER"] || u.Path != "/"+*pg["POSTGRES_DB"] {
		s.t.Fatalf("%s does not fit the service postgres", u)
	}
	query := s.database.Query()
	for name, values := range u.Query() {
		query.Set(name, values[0])
	}
	query.Set("passfile", s.here("metadata", query.Get("passfile")))
	here := url.URL{Scheme: "postgres", User: url.User(s.database.User.Username()), Host: s.database.Host, Path: s.database.Path, RawQuery: query.Encode()}
	return here.String()
}

func imageName(s types.ServiceConfig) string { return strings.Split(s.Image, ":")[0] }

// ours reports whether a service is one that can run here.
func (s *stack) ours(name string) bool { return s.programs[imageName(s.project.Services[name])] != "" }

// up starts every service once what it waits for is healthy.
func (s *stack) up() {
	s.t.Helper()
	up := map[string]bool{"postgres": true}
	for len(up) < len(s.project.Services) {
		var wave []string
		for name, service := range s.project.Services {
			waits := func(on string) bool { return !up[on] }
			if !up[name] && !slices.ContainsFunc(slices.Collect(maps.Keys(service.DependsOn)), waits) {
				wave = append(wave, name)
			}
		}
		if len(wave) == 0 {
			s.t.Fatalf("the services wait for each other; only these started: %v", up)
		}
		slices.Sort(wave)
		for _, name := range wave {
			if s.ours(name) {
				s.start(name)
			}
		}
		for _, name := range wave {
			if s.ours(name) && name != "secrets" {
				eventually(s.t, time.Minute, name+" is healthy", func() bool { return s.healthy(name) })
			}
			up[name] = true
		}
	}
}

func (s *stack) environment(name string) []string {
	service := s.project.Services[name]
	env := map[string]string{}
	if isMeridian(service) {
		env = imageEnvironment(s.t)
	}
	for key, value := range service.Environment {
		if value != nil {
			env[key] = *value
		}
	}
	if name == "secrets" {
		env["MERIDIAN_DATABASE_PASSWORD"], _ = s.database.User.Password()
	}
	list := []string{"MINIO_UPDATE=off", "HOME=" + s.dir}
	for key, value := range env {
		list = append(list, key+"="+s.here(name, value))
	}
	return list
}

func (s *stack) start(name string) {
	s.t.Helper()
	service := s.project.Services[name]
	command := service.Command
	if imageName(service) == "meridian-minio" {
		command = []string{"server", "/data", "--address", ":9000", "--console-address", ":9001"} // as the image has it
	}
	for _, m := range service.Volumes {
		if m.Type == types.VolumeTypeVolume {
			if err := os.MkdirAll(filepath.Join(s.dir, m.Source), 0o755); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	var args []string
	for _, a := range command {
		args = append(args, s.here(name, a))
	}
	if name == "secrets" {
		// One directory holds what are volumes there.
		args[len(args)-1] = s.secretsDir()
	}
	cmd := exec.Command(s.programs[imageName(service)], args...)
	cmd.Env = s.environment(name)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = testLog{s.t}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	if name == "secrets" {
		if err := cmd.Wait(); err != nil {
			s.t.Fatalf("secrets: %v", err)
		}
		return
	}
	p := &stackProcess{name, cmd, make(chan error, 1)}
	go func() { p.done <- cmd.Wait() }()
	s.running = append(s.running, p)
}

// secretsDir has a link for each folder that is a volume of its own.
func (s *stack) secretsDir() string {
	dir := filepath.Join(s.dir, "secrets")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	for _, m := range s.project.Services["secrets"].Volumes {
		if err := os.Symlink(filepath.Join(s.dir, m.Source), filepath.Join(dir, filepath.Base(m.Target))); err != nil {
			s.t.Fatal(err)
		}
	}
	return dir
}

// healthy runs a service's health check where it runs.
func (s *stack) healthy(name string) bool {
	for _, p := range s.running {
		select {
		case err := <-p.done:
			s.t.Fatalf("%s has ended: %v", p.name, err)
		default:
		}
	}
	test := imageHealthCheck(s.t, s.project.Services[name])
	if len(test) == 0 {
		s.t.Fatalf("%s has no health check", name)
	}
	program := test[0]
	if filepath.Base(program) == "meridian" {
		program = s.programs["meridian"]
	}
	var args []string
	for _, a := range test[1:] {
		args = append(args, s.here(name, a))
	}
	cmd := exec.CommandContext(s.t.Context(), program, args...)
	cmd.Env = append(s.environment(name), "PATH="+os.Getenv("PATH"))
	return cmd.Run() == nil
}

func (s *stack) url(service string) string { return "http://" + s.address[service] + ":9000" }

func (s *stack) urls(tier string) string {
	var all []string
	for _, region := range devRegions {
		all = append(all, s.url(tier+"-"+region))
	}
	return strings.Join(all, " ")
}

// demo runs deploy/demo.sh with the program in the place of docker compose exec.
func (s *stack) demo(t *testing.T, requests int) string {
	t.Helper()
	return runDemo(t, requests, s.url("metadata"), s.urls("origin"), s.urls("edge"), s.programs["meridian"],
		s.here("metadata", "/secrets/root/credentials"))
}

// assertBlobs looks whether every region's store holds what the demo put there:
// elsewhere, or in a volume.
func (s *stack) assertBlobs(elsewhere *miniotest.Server) {
	s.t.Helper()
	for _, region := range devRegions {
		var paths []string
		if elsewhere != nil {
			paths = s.listBucket(elsewhere, "meridian-"+region)
		} else {
			volume := "minio-" + region
			if _, ok := s.project.Services[volume]; !ok {
				volume = "origin-" + region
			}
			err := filepath.WalkDir(filepath.Join(s.dir, volume), func(path string, _ os.DirEntry, err error) error {
				paths = append(paths, path)
				return err
			})
			if err != nil {
				s.t.Error(err)
			}
		}
		isMedia := func(path string) bool { return strings.HasSuffix(path, ".jpg") || strings.HasSuffix(path, ".mp4") }
		if !slices.ContainsFunc(paths, isMedia) {
			s.t.Errorf("no blob of the demo in the store of %s, but %v", region, paths)
		}
	}
}

func (s *stack) listBucket(server *miniotest.Server, bucket string) (keys []string) {
	s.t.Helper()
	client, err := minio.New(strings.TrimPrefix(server.URL, "http://"), &minio.Options{
		Creds: miniocredentials.NewStaticV4(miniotest.AccessKey, miniotest.SecretKey, ""),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	for o := range client.ListObjects(s.t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			s.t.Error(o.Err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

// down stops everything in reverse order, as Docker does, within the time that
// Docker grants.
func (s *stack) down() {
	s.t.Helper()
	for _, p := range slices.Backward(s.running) {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			s.t.Error(err)
		}
		grace := time.Duration(*s.project.Services[p.name].StopGracePeriod)
		select {
		case err := <-p.done:
			if err != nil {
				s.t.Errorf("%s ended with %v", p.name, err)
			}
		case <-time.After(grace):
			s.t.Errorf("%s has not ended in %v", p.name, grace)
		}
	}
	s.running = nil
}
