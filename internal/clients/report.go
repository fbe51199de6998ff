package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// report prints a table by client and what failed. It is an error if anything did.
func report(w io.Writer, results []result) error {
	for _, r := range results {
		for _, f := range r.failures {
			fmt.Fprintf(w, "\nFAILED %s: %s\n%v\n", r.client, f.step, f.err)
		}
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "client\tversion\tsteps\tpassed\tseconds")
	bad := 0
	for _, r := range results {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%.1f\n", r.client, cmp.Or(r.version, "-"), r.steps, r.passed, r.took.Seconds())
		if len(r.failures) > 0 {
			bad++
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range results {
		for _, name := range slices.Sorted(maps.Keys(r.unable)) {
			fmt.Fprintf(w, "%s cannot say %q: %s\n", r.client, name, r.unable[name])
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d clients failed", bad, len(results))
	}
	return nil
}
