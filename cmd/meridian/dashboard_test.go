package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// repository is where deploy and the compose file are, from this folder.
const repository = "../.."

// runDemo runs deploy/demo.sh and returns what it printed.
func runDemo(t *testing.T, requests int, api, origins, edges, program, credentials string) string {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		missing(t, "curl is not installed: apt-get install curl")
	}
	cmd := exec.CommandContext(t.Context(), "sh", filepath.Join(demoImage(t), "demo", "demo.sh"))
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), fmt.Sprint("REQUESTS=", requests), "API=" + api, "ORIGINS=" + origins, "EDGES=" + edges,
		"MERIDIAN=" + program, "MERIDIAN_CREDENTIALS=" + credentials,
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("demo.sh: %v\n%s", err, out)
	}
	t.Logf("%s", out)
	return string(out)
}

// demoImage lays the script and its media out as the stage demo of deploy/Dockerfile
// does, and returns the root of that.
func demoImage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "deploy", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	_, stage, ok := strings.Cut(string(text), " AS demo\n")
	stage, _, _ = strings.Cut(stage, "\nFROM ")
	if !ok || !strings.Contains(stage, `ENTRYPOINT ["sh", "/demo/demo.sh"]`) {
		t.Fatalf("deploy/Dockerfile has no stage demo that runs /demo/demo.sh:\n%s", stage)
	}
	root := t.TempDir()
	for line := range strings.Lines(stage) {
		f := strings.Fields(line)
		if len(f) != 3 || f[0] != "COPY" {
			continue
		}
		from, to := filepath.Join(repository, f[1]), filepath.Join(root, f[2])
		if info, err := os.Stat(from); err == nil && info.IsDir() {
			err = os.CopyFS(to, os.DirFS(from))
			if err != nil {
				t.Fatal(err)
			}
			continue
		}
		script, err := os.ReadFile(from)
		if err == nil {
			err = errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, script, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestDashboardAndAlertsAskForMetricsThatExist compares the names in them with
// what the roles tell after the demo has run against meridian dev.
func TestDashboardAndAlertsAskForMetricsThatExist(t *testing.T) {
	t.Parallel()
	c := startDev(t)
	list := func(url func(int) string) string { return url(0) + " " + url(1) + " " + url(2) }
	out := runDemo(t, 40, c.api(), list(c.s3), list(c.edge), buildMeridian(t), filepath.Join(c.dir, "credentials"))
	if !strings.Contains(out, "40 answers with 200") {
		t.Error("the demo does not tell of its traffic")
	}
	eventually(t, time.Minute, "us-west has copies of what the demo put elsewhere", func() bool {
		return strings.Contains(string(get(t, c.s3(0)+"/metrics").body), "meridian_replication_bytes_total{")
	})
	// By Prometheus itself, and by edges that cooperate, which those of dev do not.
	told := map[string]bool{"up": true, "meridian_cache_peer_fetches_total": true}
	for _, node := range []string{c.api(), c.s3(0), c.regional(0), c.edge(0)} {
		a := get(t, node+"/metrics")
		if a.status != http.StatusOK {
			t.Fatalf("%s/metrics answers %d", node, a.status)
		}
		for line := range strings.Lines(string(a.body)) {
			name, _, _ := strings.Cut(strings.TrimPrefix(line, "# TYPE "), " ")
			if strings.HasPrefix(line, "# TYPE ") {
				told[name] = true
			}
		}
	}
	expressions := dashboardExpressions(t)
	alerts, err := os.ReadFile(filepath.Join(repository, "deploy", "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	expressions = append(expressions, string(alerts))
	asked := 0
	metric := regexp.MustCompile(`\b(?:meridian|process|go)_[a-z0-9_]+`)
	for _, e := range expressions {
		for _, name := range metric.FindAllString(e, -1) {
			asked++
			family := name
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if base, ok := strings.CutSuffix(name, suffix); ok && told[base] {
					family = base
				}
			}
			if !told[family] {
				t.Errorf("no role tells %s, which is asked for in %s", name, strings.TrimSpace(e[:min(len(e), 200)]))
			}
		}
	}
	if asked < 40 {
		t.Errorf("only %d metrics are asked for; are the files still read right?", asked)
	}
}

// dashboardExpressions are all queries of the Grafana dashboard.
func dashboardExpressions(t *testing.T) []string {
	t.Helper()
	f, err := os.Open(filepath.Join(repository, "deploy", "grafana", "dashboards", "meridian.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, p := range d.Panels {
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q is wider than the dashboard", p.Title)
		}
		for _, target := range p.Targets {
			all = append(all, target.Expr)
		}
	}
	return all
}
