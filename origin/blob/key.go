package blob

import (
	"fmt"
	"io/fs"
	"strings"
)

// KeyFor is the key of a version's bytes in a store: the bucket, the version ID
// and the extension of the object's key, where it is a plain one, so that what
// lies in a store can be looked at with ordinary tools.
func KeyFor(bucket, versionID, key string) string {
	const longest = 10
	name := bucket + "/" + versionID
	dot := strings.LastIndexByte(key, '.')
	ext := strings.ToLower(key[dot+1:])
	if dot < 0 || ext == "" || len(ext) > longest {
		return name
	}
	for _, c := range []byte(ext) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return name
		}
	}
	return name + "." + ext
}

// maxKey is the longest key in bytes: a bucket, a version ID and an extension
// come to 102, and an upload's ID, which may be a file name, holds a key in
// base64.
const maxKey = 150

// CheckKey refuses, by fs.ErrInvalid, what is not of the form of a key. Keys come
// from Meridian itself, and still none may lead out of where blobs are kept.
func CheckKey(key string) error {
	bucket, name, ok := strings.Cut(key, "/")
	if !ok || len(key) > maxKey || !plain(bucket) || !plain(name) {
		return fmt.Errorf("blob key %q: %w", key, fs.ErrInvalid)
	}
	return nil
}

// plain refuses what is more, or less, than a name in a directory.
func plain(name string) bool {
	return name != "" && name[0] != '.' && !strings.ContainsAny(name, "/\\\x00\n")
}
