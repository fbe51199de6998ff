package main

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// parseAs declares one option of each kind, as command edge, and parses.
func parseAs(t *testing.T, args []string, env map[string]string, config string) (size, secret string, list []string, err error) {
	t.Helper()
	lookup := func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	s := newSettings("edge", lookup, io.Discard)
	s.flags.StringVar(&size, "cache-memory", "256MiB", "")
	s.secret(&secret, "cluster-secret", "")
	s.list(&list, "metadata", "")
	if config != "" {
		path := filepath.Join(t.TempDir(), "meridian.yaml")
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"--config", path}, args...)
	}
	_, err = s.parse(args)
	return size, secret, list, err
}

func TestFlagsComeBeforeEnvironmentBeforeFile(t *testing.T) {
	t.Parallel()
	const file = "cache-memory: from-file\nedge:\n  metadata: [http://a, http://b]\norigin:\n  region: asia\n"
	size, _, list, err := parseAs(t, nil, nil, file)
	if err != nil || size != "from-file" || len(list) != 2 || list[1] != "http://b" {
		t.Fatalf("file: size %q, list %v, error %v", size, list, err)
	}
	env := map[string]string{"MERIDIAN_CACHE_MEMORY": "from-env", "MERIDIAN_METADATA": "http://c"}
	size, _, list, err = parseAs(t, nil, env, file)
	if err != nil || size != "from-env" || len(list) != 1 || list[0] != "http://c" {
		t.Fatalf("environment over file: size %q, list %v, error %v", size, list, err)
	}
	size, _, _, err = parseAs(t, []string{"--cache-memory", "from-flag"}, env, file)
	if err != nil || size != "from-flag" {
		t.Fatalf("flag over environment: size %q, error %v", size, err)
	}
}

func TestSecretsComeFromFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, secret, _, err := parseAs(t, nil, map[string]string{"MERIDIAN_CLUSTER_SECRET_FILE": path}, "")
	if err != nil || secret != "sesame" {
		t.Errorf("from a file named in the environment: %q, %v", secret, err)
	}
	_, secret, _, err = parseAs(t, []string{"--cluster-secret", "flag"}, map[string]string{"MERIDIAN_CLUSTER_SECRET_FILE": path}, "")
	if err != nil || secret != "flag" {
		t.Errorf("flag over a file named in the environment: %q, %v", secret, err)
	}
	_, _, _, err = parseAs(t, []string{"--cluster-secret", "flag", "--cluster-secret-file", path}, nil, "")
	if err == nil {
		t.Error("both forms on one command line were accepted")
	}
}

func TestUnknownNamesAreErrorsThatNameTheNearest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args   []string
		config string
		want   string
	}{
		"flag":          {args: []string{"--cash-memory", "1"}, want: `did you mean "cache-memory"?`},
		"key":           {config: "cache-memry: 1\n", want: `did you mean "cache-memory"?`},
		"key in a role": {config: "edge:\n  regoin: asia\n", want: `did you mean "region"?`},
		"section":       {config: "edgy:\n  region: asia\n", want: `did you mean "edge"?`},
		"line":          {config: "region: asia\n\nnonsense-xyzzy: 1\n", want: "line 3"},
	} {
		_, _, _, err := parseAs(t, c.args, nil, c.config)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want it to say %s", name, err, c.want)
		}
	}
	err := checkEnvironment([]string{"HOME=/", "MERIDIAN_REGOIN=asia"})
	if err == nil || !strings.Contains(err.Error(), `"MERIDIAN_REGION"`) {
		t.Errorf("misspelt variable: %v", err)
	}
	if err := checkEnvironment([]string{"HOME=/", "MERIDIAN_ROOT_SECRET_KEY_FILE=/x", "MERIDIAN_CLUSTER_SECRET=y"}); err != nil {
		t.Errorf("known variables: %v", err)
	}
}

func TestCommandLineErrors(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		`unknown command "eg"`:        {"eg"},
		`did you mean "report"?`:      {"reprot"},
		`unknown option --widow`:      {"report", "--widow", "5m"},
		`unexpected argument "extra"`: {"version", "extra"},
		`unknown option --pages`:      {"purge", "/b/k", "--pages"},
		`unexpected argument "more"`:  {"bucket", "list", "--api", "http://127.0.0.1:1", "x", "more"},
	} {
		var out, errs strings.Builder
		p := process{stdout: &out, stderr: &errs, env: func(string) (string, bool) { return "", false }}
		if code := run(context.Background(), args, p); code != 2 {
			t.Errorf("%v: exit code %d, want 2", args, code)
		}
		if !strings.Contains(errs.String(), want) {
			t.Errorf("%v: says %q, want %q", args, errs.String(), want)
		}
	}
}

func TestOptionsMayStandAnywhere(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"--bucket b /a /b --soft --wait 0", "/a --bucket=b --soft /b -wait 0", "/a /b --soft --wait 0s --bucket b", "--soft --wait 0 --bucket b /a -- /b",
	} {
		s := newSettings("purge", func(string) (string, bool) { return "", false }, io.Discard)
		purgeCommand(s, process{stdout: io.Discard})
		rest, err := s.parse(strings.Fields(line))
		if err != nil || strings.Join(rest, " ") != "/a /b" {
			t.Errorf("%s: arguments %q, %v", line, rest, err)
		}
		for name, want := range map[string]string{"bucket": "b", "soft": "true", "wait": "0s"} {
			if got := s.flags.Lookup(name).Value.String(); got != want {
				t.Errorf("%s: --%s is %q, want %q", line, name, got, want)
			}
		}
	}
	s := newSettings("purge", func(string) (string, bool) { return "", false }, io.Discard)
	purgeCommand(s, process{stdout: io.Discard})
	if rest, err := s.parse([]string{"--", "/a", "--soft"}); err != nil || len(rest) != 2 || s.flags.Lookup("soft").Value.String() != "false" {
		t.Errorf("behind --: %q, %v", rest, err)
	}
}

// What is wrong with a field is said once.
func TestProblemsNameEachFieldOnce(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"title":"Invalid request","detail":"url: is missing","errors":[{"field":"url","detail":"is missing"}]}`:                                                    "Invalid request: url: is missing",
		`{"title":"Invalid request","detail":"2 fields are wrong, the first of them a: no","errors":[{"field":"a","detail":"no"},{"field":"b","detail":"neither"}]}`: "Invalid request: a: no; b: neither",
		`{"title":"No such bucket","detail":"bucket x"}`: "No such bucket: bucket x",
		`{"title":"Not allowed"}`:                        "Not allowed",
	} {
		resp := &http.Response{Body: io.NopCloser(strings.NewReader(body))}
		if got := problem(resp).Error(); got != want {
			t.Errorf("%s is told as %q, want %q", body, got, want)
		}
	}
}

func TestPlacesOfClientsAndRegions(t *testing.T) {
	t.Parallel()
	networks, err := parseClientRegions([]string{"10.1.0.0/16=europe", "2001:db8::1/32=asia"})
	if err != nil || networks[netip.MustParsePrefix("10.1.0.0/16")] != "europe" || networks[netip.MustParsePrefix("2001:db8::/32")] != "asia" {
		t.Errorf("networks %v, %v", networks, err)
	}
	far, err := parseDistances([]string{"us-west/europe=140ms"})
	if err != nil || far.Compare("europe", "us-west", "asia") >= 0 {
		t.Errorf("distances %v, %v", far, err)
	}
	for _, wrong := range [][]string{{"10.1.0.0/16"}, {"10.1.0.0=europe"}, {"10.1.0.0/16="}, {"10.1.0.0/16=a", "10.1.2.3/16=b"}} {
		if _, err := parseClientRegions(wrong); err == nil || !strings.Contains(err.Error(), "--client-region") {
			t.Errorf("%v: %v", wrong, err)
		}
	}
	for _, wrong := range []string{"us-west", "us-west=1s", "us-west/=1s", "a/b=fast", "a/b=-1s"} {
		if _, err := parseDistances([]string{wrong}); err == nil || !strings.Contains(err.Error(), "--region-distance") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}
