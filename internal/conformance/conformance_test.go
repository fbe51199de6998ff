package main

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestTheSuitesSourceIsRead(t *testing.T) {
	t.Parallel()
	tests, err := parseSuite("group-tests.go", []byte(`package integration
func TestPut(ts *TestState) {
	ts.Run(Put_one)
	if !ts.conf.azureTests {
		ts.Sync(Put_two)
	}
	if !ts.conf.versioningEnabled && !ts.conf.azureTests {
		ts.Run(Put_plain)
	}
	ts.Run(Put_one)
}
func TestWorm(ts *TestState) { ts.Run(Worm) }
func TestNever(ts *TestState) { ts.Run(Never) }
func TestFullFlow(ts *TestState) {
	TestPut(ts)
	if !ts.conf.versioningEnabled {
		TestWorm(ts)
	}
	if ts.conf.versioningEnabled {
		TestVersions(ts)
	}
}
func TestVersions(ts *TestState) { ts.Run(Versions_one) }
`))
	want := []test{
		{"Put", "Put_one", true}, {"Put", "Put_two", true}, {"Put", "Put_plain", false},
		{"Worm", "Worm", false}, {"Versions", "Versions_one", true},
	}
	if err != nil || !slices.Equal(tests, want) {
		t.Errorf("%v, %v, want %v", tests, err, want)
	}
	for name, source := range map[string]string{
		"no flow": "package p", "an empty flow": "package p\nfunc TestFullFlow() {}", "no Go": "sh",
	} {
		if _, err := parseSuite("x.go", []byte(source)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestOutputOfATestIsJudged(t *testing.T) {
	t.Parallel()
	exit := errors.New("exit status 1")
	for name, c := range map[string]struct {
		output string
		ended  error
		want   outcome
	}{
		"a pass":       {"\x1b[36mRUN  \x1b[0mA\n\x1b[32mPASS \x1b[0mA\n", nil, outcome{verdict: passed}},
		"a failure":    {"RUN  A\nFAIL A: expected x: got y\n", exit, outcome{verdict: failed, said: "expected x: got y"}},
		"two verdicts": {"FAIL A: first\nPASS A\n", nil, outcome{verdict: failed, said: "first"}},
		"a skip":       {"SKIP A: no token\n", nil, outcome{verdict: skipped, said: "no token"}},
		"a panic":      {"RUN  A\npanic: nil map\n\ngoroutine 1 [running]:\n", exit, outcome{verdict: failed, said: "panic: nil map"}},
		"passed, but left something behind": {
			"PASS A\nA: failed to delete the bucket: BucketNotEmpty", exit,
			outcome{verdict: failed, said: "A: failed to delete the bucket: BucketNotEmpty (exit status 1)"},
		},
		"nothing said": {"", nil, outcome{verdict: failed}},
	} {
		if got := judge(c.output, c.ended); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestLogOfMinioGoIsRead(t *testing.T) {
	t.Parallel()
	outcomes, err := parseMinioGo(strings.NewReader(`{"name":"minio-go: testA","status":"PASS"}
something else
{"name":"minio-go: testB","status":"FAIL","message":"PutObject failed","error":"Access Denied"}
{"name":"minio-go: testC","status":"NA","alert":"S3 Select is NotImplemented"}
{"name":"minio-go: testA","status":"FAIL","message":"second run"}
{"name":"minio-go: testB","status":"PASS"}
`))
	want := []outcome{
		{"functional", "testA", failed, "second run"},
		{"functional", "testB", failed, "PutObject failed Access Denied"},
		{"functional", "testC", skipped, "S3 Select is NotImplemented"},
	}
	if err != nil || !slices.Equal(outcomes, want) {
		t.Errorf("%v, %v, want %v", outcomes, err, want)
	}
	if _, err := parseMinioGo(strings.NewReader("panic: no\n")); err == nil {
		t.Error("a log without tests was taken")
	}
}

func TestExceptions(t *testing.T) {
	t.Parallel()
	if _, err := parseExceptions(exceptionList); err != nil {
		t.Errorf("our own list: %v", err)
	}
	list, err := parseExceptions("# why\n\nversitygw A_b: its own API: PATCH\nminio-go testC: no\n")
	if err != nil || list["versitygw"]["A_b"] != "its own API: PATCH" || list["minio-go"]["testC"] != "no" {
		t.Errorf("%v, %v", list, err)
	}
	for _, bad := range []string{"A: no suite", "versitygw A", "versitygw A: ", "versitygw A: x\nversitygw A: y", "versitygw A B: x"} {
		if _, err := parseExceptions(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestReportFailsOnWhatNobodyExpects(t *testing.T) {
	t.Parallel()
	outcomes := []outcome{{"G", "A", passed, ""}, {"G", "B", failed, "why"}, {"H", "C", skipped, ""}}
	for name, c := range map[string]struct {
		expected map[string]string
		whole    bool
		fails    bool
	}{
		"a failure":                     {nil, true, true},
		"an exception":                  {map[string]string{"B": "reason"}, true, false},
		"an exception that passes":      {map[string]string{"A": "reason", "B": "reason"}, true, true},
		"an exception that is gone":     {map[string]string{"B": "reason", "D": "reason"}, true, true},
		"an exception that was not run": {map[string]string{"B": "reason", "D": "reason"}, false, false},
	} {
		var out strings.Builder
		err := report(&out, "versitygw", outcomes, c.expected, c.whole)
		if (err != nil) != c.fails {
			t.Errorf("%s: %v\n%s", name, err, out.String())
		}
		if !strings.Contains(out.String(), "B") {
			t.Errorf("%s: the report does not name B:\n%s", name, out.String())
		}
	}
}
