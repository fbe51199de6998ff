package disk

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// openNameless opens a new file that has no name, on the file system of dir.
func openNameless(dir string) (f *os.File, fd int, err error) {
	for {
		fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, 0, &os.PathError{Op: "open", Path: dir, Err: err}
		}
		return os.NewFile(uintptr(fd), dir), fd, nil
	}
}

// linkNameless gives such a file a name; fs.ErrExist if it is taken.
func linkNameless(fd int, name string) error {
	from := "/proc/self/fd/" + strconv.Itoa(fd)
	if err := unix.Linkat(unix.AT_FDCWD, from, unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &os.LinkError{Op: "link", Old: from, New: name, Err: err}
	}
	return nil
}

// syncData syncs the bytes of a file and what is needed to read them.
func syncData(d *draft) error {
	for {
		err := unix.Fdatasync(d.fd)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "fdatasync", Path: d.Name(), Err: err}
		}
		return nil
	}
}

// syncDir syncs the names in a directory. Package os would try to poll it, which
// is three system calls more for each put.
func syncDir(path string) error {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Fsync(fd)
			_ = unix.Close(fd) // nothing was written through it
		}
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "sync", Path: path, Err: err}
		}
		return nil
	}
}
