package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// settings are the options of one command. Each can be given as a flag, as an
// environment variable (MERIDIAN_ and the upper-cased name), or as a key of the
// YAML file that --config names, in this order of precedence. A secret can be
// given as a file too: flag and key <name>-file, variable <NAME>_FILE.
type settings struct {
	flags   *flag.FlagSet
	command string
	secrets []string
	env     func(string) (string, bool)
	config  string
}

func newSettings(command string, env func(string) (string, bool), out io.Writer) *settings {
	s := &settings{flags: flag.NewFlagSet("meridian "+command, flag.ContinueOnError), command: command, env: env}
	s.flags.SetOutput(io.Discard) // errors are returned, and printed once by main
	s.flags.StringVar(&s.config, "config", "", "YAML `file` with these options as keys")
	s.flags.Usage = func() {
		fmt.Fprintf(out, "usage: meridian %s [options]\n\n", command)
		s.flags.SetOutput(out)
		s.flags.PrintDefaults()
		s.flags.SetOutput(io.Discard)
	}
	return s
}

// secret declares an option whose value may stand in a file.
func (s *settings) secret(p *string, name, usage string) {
	s.secrets = append(s.secrets, name)
	s.flags.StringVar(p, name, "", usage)
	s.flags.String(name+"-file", "", "`file` that holds "+name)
}

// list declares an option of comma-separated values.
func (s *settings) list(p *[]string, name, usage string) {
	s.flags.Func(name, usage+", comma-separated", func(v string) error {
		*p = splitList(v)
		return nil
	})
}

// splitList are the values of a comma-separated list; blanks around them, and
// empty ones, are left out.
func splitList(v string) (list []string) {
	for e := range strings.SplitSeq(v, ",") {
		if e = strings.TrimSpace(e); e != "" {
			list = append(list, e)
		}
	}
	return list
}

// parse reads args, then the environment, then the file, and returns the
// arguments that are not options.
func (s *settings) parse(args []string) ([]string, error) {
	rest, err := s.fromArguments(args)
	if err != nil {
		return nil, err
	}
	given := map[string]bool{}
	s.flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if err := s.fromEnv(given); err != nil {
		return nil, err
	}
	if err := s.fromFile(given); err != nil {
		return nil, err
	}
	if err := s.readSecrets(); err != nil {
		return nil, err
	}
	return rest, nil
}

// fromArguments reads the options among args, wherever they stand, and returns
// what is between them. After "--" there are none.
func (s *settings) fromArguments(args []string) (rest []string, err error) {
	for {
		if err := s.flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
				return nil, fmt.Errorf("meridian %s: unknown option --%s%s", s.command, strings.TrimPrefix(name, "-"), s.nearest(name))
			}
			return nil, fmt.Errorf("meridian %s: %w", s.command, err)
		}
		left := s.flags.Args()
		if read := len(args) - len(left); len(left) == 0 || read > 0 && args[read-1] == "--" {
			return append(rest, left...), nil
		}
		rest, args = append(rest, left[0]), left[1:]
	}
}

func (s *settings) fromEnv(given map[string]bool) error {
	var err error
	s.flags.VisitAll(func(f *flag.Flag) {
		name := envName(f.Name)
		v, ok := s.env(name)
		if !ok || s.decided(given, f.Name) || err != nil {
			return
		}
		if e := s.flags.Set(f.Name, v); e != nil {
			err = fmt.Errorf("environment variable %s: %w", name, e)
		}
		given[f.Name] = true
	})
	return err
}

// decided reports whether a source that comes first has given the option, or
// for a secret its other form.
func (s *settings) decided(given map[string]bool, name string) bool {
	base := strings.TrimSuffix(name, "-file")
	return given[name] || slices.Contains(s.secrets, base) && (given[base] || given[base+"-file"])
}

func envName(option string) string {
	return "MERIDIAN_" + strings.ToUpper(strings.ReplaceAll(option, "-", "_"))
}

// fromFile takes the keys at the top of the file that this command knows, and
// over them those of the section named after the command. A key that no command
// knows is an error.
func (s *settings) fromFile(given map[string]bool) error {
	if s.config == "" {
		return nil
	}
	text, err := os.ReadFile(s.config)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	var doc map[string]yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return fmt.Errorf("configuration %s: %w", s.config, err)
	}
	known := knownOptions()
	section := map[string]yaml.Node{}
	for key, node := range doc {
		if node.Kind != yaml.MappingNode {
			continue
		}
		if _, ok := roles()[key]; !ok {
			return fmt.Errorf("configuration %s, line %d: unknown section %q%s", s.config, node.Line, key, nearestOf(key, sortedKeys(roles())))
		}
		delete(doc, key)
		var inner map[string]yaml.Node
		if err := node.Decode(&inner); err != nil {
			return fmt.Errorf("configuration %s: section %s: %w", s.config, key, err)
		}
		for k, n := range inner {
			if !slices.Contains(known[key], k) {
				return fmt.Errorf("configuration %s, line %d: meridian %s has no option %q%s", s.config, n.Line, key, k, nearestOf(k, known[key]))
			}
		}
		if key == s.command {
			section = inner
		}
	}
	all := slices.Concat(known["dev"], known["origin"], known["edge"], known["metadata"])
	for k, n := range doc {
		if !slices.Contains(all, k) {
			return fmt.Errorf("configuration %s, line %d: unknown key %q%s", s.config, n.Line, k, nearestOf(k, all))
		}
	}
	for _, keys := range []map[string]yaml.Node{section, doc} {
		if err := s.apply(keys, given); err != nil {
			return err
		}
	}
	return nil
}

func (s *settings) apply(keys map[string]yaml.Node, given map[string]bool) error {
	for _, name := range sortedKeys(keys) {
		node := keys[name]
		if s.flags.Lookup(name) == nil || s.decided(given, name) {
			continue
		}
		value := node.Value
		if node.Kind == yaml.SequenceNode {
			var list []string
			if err := node.Decode(&list); err != nil {
				return fmt.Errorf("configuration %s, line %d: %s: %w", s.config, node.Line, name, err)
			}
			value = strings.Join(list, ",")
		}
		if err := s.flags.Set(name, value); err != nil {
			return fmt.Errorf("configuration %s, line %d: %s: %w", s.config, node.Line, name, err)
		}
		given[name] = true
	}
	return nil
}

func (s *settings) readSecrets() error {
	for _, name := range s.secrets {
		file := s.flags.Lookup(name + "-file").Value.String()
		if file == "" {
			continue
		}
		if s.flags.Lookup(name).Value.String() != "" {
			return fmt.Errorf("%s and %s-file are both given; give one", name, name)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if err := s.flags.Set(name, strings.TrimSpace(string(text))); err != nil {
			return fmt.Errorf("%s-file: %w", name, err)
		}
		// It has done its part; options that follow a verb are parsed again.
		if err := s.flags.Set(name+"-file", ""); err != nil {
			return fmt.Errorf("%s-file: %w", name, err)
		}
	}
	return nil
}

func (s *settings) names() []string {
	var names []string
	s.flags.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	return names
}

func (s *settings) nearest(name string) string { return nearestOf(name, s.names()) }

// noArguments refuses arguments where a command takes none.
func noArguments(args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument %q", args[0])
	}
	return nil
}

// subcommand splits "create NAME" into verb and name.
func subcommand(args []string, verbs string) (verb, name string, err error) {
	if len(args) == 0 {
		return "", "", usagef("say one of %s", verbs)
	}
	verb, args = args[0], args[1:]
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	return verb, name, noArguments(args)
}

// usageWith prints line and the options where --help is asked for.
func usageWith(s *settings, out io.Writer, line string) func() {
	return func() {
		fmt.Fprintf(out, "usage: %s\n\n", line)
		s.flags.SetOutput(out)
		s.flags.PrintDefaults()
		s.flags.SetOutput(io.Discard)
	}
}

// checkEnvironment refuses a MERIDIAN_ variable that no command knows: a
// misspelt one would be ignored in silence. Variables of other roles are fine,
// since compose files share an environment.
func checkEnvironment(environ []string) error {
	var known []string
	for _, names := range knownOptions() {
		for _, n := range names {
			known = append(known, envName(n))
		}
	}
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "MERIDIAN_") && !slices.Contains(known, name) {
			return fmt.Errorf("unknown environment variable %s%s", name, nearestOf(name, known))
		}
	}
	return nil
}

// nearestOf is a hint at the known word that is most like the given one, or
// empty where none is near.
func nearestOf(word string, known []string) string {
	best, distance := "", len(word)/2+1
	for _, k := range known {
		if d := editDistance(word, k); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// editDistance is the Levenshtein distance in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
