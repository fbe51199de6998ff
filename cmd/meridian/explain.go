package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"meridian/metadata"
)

func explainCommand(s *settings, p process) func(context.Context, []string) error {
	var api apiOptions
	api.declare(s)
	asJSON := s.flags.Bool("json", false, "print the answer as the API gives it")
	s.flags.Usage = usageWith(s, p.stdout, "meridian explain URL [options]")
	return func(ctx context.Context, args []string) error {
		if len(args) == 0 {
			return usagef("a URL is missing, as an edge or S3 endpoint has it, or /bucket/key")
		}
		if err := noArguments(args[1:]); err != nil {
			return err
		}
		var raw json.RawMessage
		if err := api.call(ctx, http.MethodGet, "/v1/cache/explain?"+url.Values{"url": args[:1]}.Encode(), nil, &raw); err != nil {
			return err
		}
		if *asJSON {
			_, err := fmt.Fprintln(p.stdout, string(raw))
			return err
		}
		var e metadata.Explanation
		if err := json.Unmarshal(raw, &e); err != nil {
			return err
		}
		return printExplanation(p.stdout, e, time.Now())
	}
}

// printExplanation draws a line for each node.
func printExplanation(out io.Writer, e metadata.Explanation, now time.Time) error {
	fmt.Fprintf(out, "/%s/%s", e.Bucket, e.Key)
	switch {
	case e.Pull != "":
		if e.Query != "" {
			fmt.Fprintf(out, "?%s", e.Query)
		}
		fmt.Fprintf(out, ": of the pull zone of %s\n", e.Pull)
	case e.VersionID != "" && e.Version == "":
		fmt.Fprintf(out, ": there is no version %s\n", e.VersionID)
	case e.Version == "":
		fmt.Fprint(out, ": there is no such object in the catalogue\n")
	default:
		fmt.Fprintf(out, ": version %s, %s\n", e.Version, byteCount(e.Size))
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "node\ttier\tregion\thead\tage\tttl\tslices\tlast miss\n")
	for _, n := range e.Nodes {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", n.Node, n.Tier, n.Region, describeHeld(n.Head, n.Slices, n.Lease, e.Version), describeMisses(now, n.Miss, n.SliceMiss)+describeQueue(n.Queue))
		for _, v := range n.Variants {
			if len(v.Fields) == 0 && len(n.Variants) == 1 {
				continue // told already
			}
			name := strings.Join(append([]string{strings.TrimSpace(v.Scheme + " " + v.Host)}, v.Fields...), ", ")
			fmt.Fprintf(w, "  for %s\t\t\t%s\t%s\n", name, describeHeld(&v.Head, v.Slices, true, ""), describeMisses(now, v.Miss, v.SliceMiss))
		}
	}
	for _, n := range e.Silent {
		fmt.Fprintf(w, "%s\t%s\t%s\tno answer: %s\n", n.Node, n.Tier, n.Region, n.Error)
	}
	return w.Flush()
}

// describeHeld is the columns head, age, ttl and slices.
func describeHeld(h *metadata.HeldHead, s *metadata.HeldSlices, lease bool, current string) string {
	head, age, ttl, held := "-", "-", "-", "-"
	if h != nil {
		head = describeHead(h, current)
		age, ttl = rounded(time.Duration(h.Age)), rounded(time.Duration(h.TTL))
		if h.Inline {
			held = "in head"
		}
	}
	if !lease {
		head += ", no lease"
	}
	if s != nil {
		held = fmt.Sprintf("%d of %d", s.Held, s.Total)
	}
	return strings.Join([]string{head, age, ttl, held}, "\t")
}

// describeHead tells what becomes of the next request, and whether that is of
// the version current.
func describeHead(h *metadata.HeldHead, current string) string {
	text := h.Next
	switch {
	case h.Status != http.StatusOK:
		text += fmt.Sprintf(" (%d)", h.Status)
	case current != "" && h.Version != current:
		text += " (another version)"
	}
	return text
}

func describeMisses(now time.Time, misses ...*metadata.Miss) string {
	var texts []string
	for _, m := range misses {
		if m == nil {
			continue
		}
		text := m.Reason
		if m.Cause != "" {
			text += " (" + m.Cause + ")"
		}
		if m.Slice != nil {
			text = fmt.Sprintf("slice %d %s", *m.Slice, text)
		}
		if m.Result != metadata.AskedMiss && m.Result != m.Reason {
			text += ", " + m.Result
		}
		texts = append(texts, text+" "+rounded(now.Sub(m.At))+" ago")
	}
	if len(texts) == 0 {
		return "-"
	}
	return strings.Join(texts, "; ")
}

// describeQueue tells of slices that wait, beside the last miss: what is not held is
// late for that.
func describeQueue(q *metadata.Queue) string {
	if q == nil {
		return ""
	}
	return fmt.Sprintf("; slices of the bucket: %d asked for, %d wait for their turn", q.Asking, q.Waiting)
}

// rounded is d to about three digits.
func rounded(d time.Duration) string {
	switch a := d.Abs(); {
	case a >= time.Hour:
		d = d.Round(time.Minute)
	case a >= time.Second:
		d = d.Round(time.Second)
	default:
		d = d.Round(time.Millisecond)
	}
	text := d.String()
	if short, ok := strings.CutSuffix(text, "m0s"); ok {
		text = short + "m"
	}
	return text
}
