//go:build !linux

package disk

import (
	"errors"
	"os"
)

func openNameless(string) (*os.File, int, error) { return nil, 0, errors.ErrUnsupported }

func linkNameless(int, string) error { return errors.ErrUnsupported }

func syncData(d *draft) error { return d.Sync() }

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
