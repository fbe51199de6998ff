package disk

import (
	"errors"
	"io/fs"
	"os"
	"strconv"

	"meridian/origin/blob"
)

// draft is a file that is being written and that nobody can find yet: one
// without a name where the system has such files, which vanishes by itself
// whatever happens, else one in the directory of temporary files, which the next
// start empties.
type draft struct {
	*os.File
	fd   int    // of File, asked for once: os.File.Fd costs two system calls
	path string // empty where it has no name
}

// create makes a draft; dir is near where it will be published.
func (s *Store) create(dir string) (*draft, error) {
	if s.nameless {
		f, fd, err := openNameless(dir)
		return &draft{File: f, fd: fd}, err
	}
	path := s.temp("draft")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &draft{File: f, fd: int(f.Fd()), path: path}, nil
}

// publish gives a draft its name for ever. A link, unlike a rename, refuses to
// replace what is there: blob.ErrExists.
func (d *draft) publish(place string) (err error) {
	if d.path == "" {
		err = linkNameless(d.fd, place)
	} else {
		err = os.Link(d.path, place)
	}
	if errors.Is(err, fs.ErrExist) {
		return blob.ErrExists
	}
	return err
}

// Close ends the draft; what was published stays.
func (d *draft) Close() error {
	err := d.File.Close()
	if d.path != "" {
		if e := os.Remove(d.path); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// temp is a new name in the directory of temporary files.
func (s *Store) temp(kind string) string {
	return s.path("tmp", kind+"-"+strconv.FormatUint(s.serial.Add(1), 10))
}

// canNameless tries whether the file system of s keeps files without a name and
// names them later.
func (s *Store) canNameless() bool {
	f, fd, err := openNameless(s.path("tmp"))
	if err != nil {
		return false
	}
	defer f.Close()
	probe := s.temp("probe")
	if err := linkNameless(fd, probe); err != nil {
		return false
	}
	return os.Remove(probe) == nil
}
