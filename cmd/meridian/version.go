package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

func versionCommand(s *settings, p process) func(context.Context, []string) error {
	return func(_ context.Context, args []string) error {
		if err := noArguments(args); err != nil {
			return err
		}
		revision := ""
		if info, ok := debug.ReadBuildInfo(); ok {
			for _, kv := range info.Settings {
				if kv.Key == "vcs.revision" {
					revision = " " + kv.Value
				}
			}
		}
		_, err := fmt.Fprintf(p.stdout, "meridian %s%s %s %s/%s\n", version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return err
	}
}
