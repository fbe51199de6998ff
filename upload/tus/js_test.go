package tus_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// js runs a scenario of testdata/js, which uploads with tus-js-client, and
// returns what it says of it.
func (n *node) js(t *testing.T, endpoint, scenario string) (result struct {
	Offsets  []int64
	Statuses []string
	Object   string
	URL      string
	Pauses   int
	Same     bool
	Refused  int
}) {
	t.Helper()
	const dir = "testdata/js"
	program, err := exec.LookPath("node")
	if err != nil {
		t.Skip("Node is not installed: tus-js-client is not run")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "tus-js-client")); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("tus-js-client is not installed: make test does that")
	}
	k := n.keys["ada"]
	cmd := exec.CommandContext(t.Context(), program, "scenario.mjs", endpoint+"/v1/tus/", "Bearer "+k.ID+":"+k.Secret, scenario)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", scenario, err, stderr.String())
	}
	if err := json.Unmarshal(out, &result); err != nil {
		t.Fatalf("%s: %v in %q", scenario, err, out)
	}
	return result
}

// jsFile is the file that the scenarios send.
func jsFile() []byte {
	b := make([]byte, 3_000_000)
	x := uint32(1)
	for i := range b {
		x = x*1103515245 + 12345
		b[i] = byte(x >> 24)
	}
	return b
}

func TestTusJSClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.start("europe", "origin-europe")
	front := w.front("us-west") // which speaks for ada
	for _, scenario := range []string{"pause", "resume", "offset", "checksum", "stream"} {
		t.Run(scenario, func(t *testing.T) {
			for name, endpoint := range map[string]string{"at the origin": n.url, "handed on": front} {
				r := n.js(t, endpoint, scenario)
				v := w.object(scenario+".mp4", jsFile())
				if r.Object != "/films/"+scenario+".mp4" || v.ContentType != "video/mp4" {
					t.Errorf("%s: the last answer names %q, of type %s", name, r.Object, v.ContentType)
				}
				switch scenario {
				case "pause":
					if r.Pauses != 2 || !slices.Contains(r.Statuses, "HEAD 200") {
						t.Errorf("%s: %+v", name, r)
					}
				case "resume":
					if !r.Same || r.Offsets[0] < 1_000_000 {
						t.Errorf("%s: began again at %v", name, r.Offsets)
					}
				case "offset":
					if !slices.Contains(r.Statuses, "PATCH 409") {
						t.Errorf("%s: nobody refused the wrong offset: %v", name, r.Statuses)
					}
				case "checksum":
					if r.Refused != 460 || r.Offsets[0] != 1_000_000 {
						t.Errorf("%s: refused with %d, went on from %v", name, r.Refused, r.Offsets)
					}
				}
			}
		})
	}
	t.Run("terminate", func(t *testing.T) {
		r := n.js(t, n.url, "terminate")
		if a := w.ask("ada", http.MethodHead, r.URL, nil, nil); a.StatusCode != http.StatusNotFound {
			t.Errorf("HEAD of what was taken back: %s", a.Status)
		}
		w.nothing("terminate.mp4")
	})
}
