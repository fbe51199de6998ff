package blob

import "strings"

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
