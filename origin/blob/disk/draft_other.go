//go:build !linux

package disk

import (
	"errors"
	"os"
)

func openNameless(string) (*os.File, error) { return nil, errors.ErrUnsupported }

func linkNameless(*os.File, string) error { return errors.ErrUnsupported }

func syncData(f *os.File) error { return f.Sync() }
