package main

import (
	"bufio"
	"cmp"
	_ "embed" // the exceptions
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// verdict is how a test ended.
type verdict string

const (
	passed  verdict = "passed"
	failed  verdict = "failed"
	skipped verdict = "skipped" // by the suite
)

// outcome is how one test of a group ended, and what it said where it failed.
type outcome struct {
	group, test string
	verdict     verdict
	said        string
}

// exceptionList has a line "suite test: reason" for each test that may fail; an
// empty line or one that begins with # says nothing.
//
//go:embed exceptions.txt
var exceptionList string

// parseExceptions gives the reasons by suite and test.
func parseExceptions(list string) (map[string]map[string]string, error) {
	all := map[string]map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(list))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, reason, ok := strings.Cut(line, ": ")
		suite, test, both := strings.Cut(name, " ")
		if !ok || !both || strings.TrimSpace(reason) == "" || strings.Contains(test, " ") {
			return nil, fmt.Errorf("exceptions.txt:%d: not of the form \"suite test: reason\": %s", n, line)
		}
		if all[suite] == nil {
			all[suite] = map[string]string{}
		}
		if _, twice := all[suite][test]; twice {
			return nil, fmt.Errorf("exceptions.txt:%d: %s stands there twice", n, name)
		}
		all[suite][test] = reason
	}
	return all, lines.Err()
}

// counts adds up the outcomes of a group.
type counts struct{ passed, failed, excepted, skipped int }

// report prints a table by group and every failure. It is an error where one is
// not expected, or where an expected one passed; whole says that all tests ran,
// so that an exception of which nothing was heard is none.
func report(w io.Writer, suite string, outcomes []outcome, expected map[string]string, whole bool) error {
	groups, order := map[string]*counts{}, []string{}
	total := &counts{}
	var unexpected, excepted []outcome
	var stale []string
	heard := map[string]bool{}
	for _, o := range outcomes {
		g := groups[o.group]
		if g == nil {
			g = &counts{}
			groups[o.group], order = g, append(order, o.group)
		}
		heard[o.test] = true
		_, known := expected[o.test]
		for _, c := range []*counts{g, total} {
			switch {
			case o.verdict == passed:
				c.passed++
			case o.verdict == skipped:
				c.skipped++
			case known:
				c.excepted++
			default:
				c.failed++
			}
		}
		switch {
		case o.verdict == failed && known:
			excepted = append(excepted, o)
		case o.verdict == failed:
			unexpected = append(unexpected, o)
		case known:
			stale = append(stale, fmt.Sprintf("%s is in exceptions.txt, but %s", o.test, o.verdict))
		}
	}
	for test := range expected {
		if whole && !heard[test] {
			stale = append(stale, test+" is in exceptions.txt, but not in the suite")
		}
	}
	slices.Sort(stale)
	fmt.Fprintf(w, "\n## %s\n\n", suite)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "group\tpassed\tfailed\texcepted\tskipped\t")
	for _, name := range append(order, "all") {
		c := cmp.Or(groups[name], total)
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t\n", name, c.passed, c.failed, c.excepted, c.skipped)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, o := range unexpected {
		fmt.Fprintf(w, "FAILED %s: %s: %s\n", o.group, o.test, o.said)
	}
	for _, o := range excepted {
		fmt.Fprintf(w, "excepted %s: %s: %s\n", o.group, o.test, expected[o.test])
	}
	for _, s := range stale {
		fmt.Fprintln(w, s)
	}
	switch {
	case len(unexpected) > 0:
		return fmt.Errorf("%d of %d tests failed", len(unexpected), len(outcomes))
	case len(stale) > 0:
		return errors.New("exceptions.txt names tests that pass or are not there")
	}
	return nil
}
