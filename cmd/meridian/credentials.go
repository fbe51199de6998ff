package main

import (
	"context"
	"fmt"
	"strings"
)

// credentialsCommand prints the access key that client commands sign in with,
// for S3 tools: out of a container, there is no other way to read it.
func credentialsCommand(s *settings, p process) func(context.Context, []string) error {
	var api apiOptions
	api.declareKey(s)
	export := s.flags.Bool("export", false, "print lines for a shell's eval instead")
	return func(_ context.Context, args []string) error {
		if err := noArguments(args); err != nil {
			return err
		}
		c, err := api.credentials()
		if err != nil {
			return err
		}
		if *export {
			_, err = fmt.Fprintf(p.stdout, "export AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s\n", shellQuoted(c.accessKey), shellQuoted(c.secretKey))
			return err
		}
		_, err = fmt.Fprint(p.stdout, c.format())
		return err
	}
}

// shellQuoted is text as one word of a POSIX shell.
func shellQuoted(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
