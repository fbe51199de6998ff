package s3api

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"meridian/internal/checksum"
	"meridian/metadata"
	"meridian/metadata/access"
	"meridian/origin"
)

// parseCopySource reads x-amz-copy-source: [/]bucket/key[?versionId=id], where
// bucket and key are URL-encoded.
func parseCopySource(s string) (metadata.Ref, error) {
	path, query, hasQuery := strings.Cut(s, "?")
	var ref metadata.Ref
	if hasQuery {
		q, err := url.ParseQuery(query)
		if err != nil || len(q) != 1 || len(q["versionId"]) != 1 || q.Get("versionId") == "" {
			return ref, badArgument("x-amz-copy-source", asUTF8(s), "Unsupported copy source parameter.")
		}
		if ref.VersionID = q.Get("versionId"); !isVersionID(ref.VersionID) {
			return ref, badArgument("x-amz-copy-source", asUTF8(s), "Invalid version id specified")
		}
	}
	path, err := url.PathUnescape(path)
	if err != nil {
		return ref, badArgument("x-amz-copy-source", asUTF8(s), "Invalid copy source encoding")
	}
	var ok bool
	ref.Bucket, ref.Key, ok = strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch {
	case metadata.CheckBucketName(ref.Bucket) != nil:
		return ref, badArgument("x-amz-copy-source", asUTF8(s), "Invalid copy source bucket name")
	case !ok, metadata.CheckKey(ref.Key) != nil:
		return ref, badArgument("x-amz-copy-source", asUTF8(ref.Key), "Invalid copy source object key")
	}
	return ref, nil
}

// copySource finds the source of a copy and checks its conditions.
func (c *call) copySource(ref metadata.Ref) (metadata.Version, error) {
	if err := c.expectOwnerOf(ref.Bucket, "X-Amz-Source-Expected-Bucket-Owner"); err != nil {
		return metadata.Version{}, err
	}
	if metadata.IsSystemBucket(ref.Bucket) && !c.who.node {
		return metadata.Version{}, errAccessDenied
	}
	if err := c.permitSource(ref, "GetObject"); err != nil {
		return metadata.Version{}, err
	}
	v, err := c.opts.Objects.Stat(c.r.Context(), ref)
	switch {
	case errors.Is(err, metadata.ErrNoSuchBucket):
		return v, because(errNoSuchBucket, err).with("BucketName", ref.Bucket)
	case errors.Is(err, metadata.ErrNoSuchKey):
		return v, because(errNoSuchKey, err).with("Key", ref.Key)
	case errors.Is(err, metadata.ErrNoSuchVersion):
		return v, because(errNoSuchVersion, err).with("Key", ref.Key).with("VersionId", ref.VersionID)
	case errors.Is(err, metadata.ErrDeleteMarker):
		return v, refuse(errInvalidRequest, "The source of a copy request may not specifically refer to a delete marker by version id.")
	case err != nil:
		return v, err
	}
	if err := c.unlock(&v, sourcePrefix); err != nil {
		return v, err
	}
	if !v.Null || ref.VersionID != "" {
		c.w.Header().Set("X-Amz-Copy-Source-Version-Id", v.VersionID())
	}
	h := http.Header{}
	for _, name := range []string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		if value := c.header("X-Amz-Copy-Source-" + name); value != "" {
			h.Set(name, value)
		}
	}
	p := readPreconditions(h)
	p.neverUnchanged = true
	return v, p.check(&v)
}

// permitSource says whether the caller may do an action to what is to be copied.
func (c *call) permitSource(ref metadata.Ref, action string) error {
	b, err := c.accessTo(ref.Bucket)
	if errors.Is(err, metadata.ErrNoSuchBucket) {
		return because(errNoSuchBucket, err).with("BucketName", ref.Bucket)
	}
	if err != nil {
		return err
	}
	if want := c.header("X-Amz-Source-Expected-Bucket-Owner"); want != "" && want != b.Owner {
		return errAccessDenied
	}
	r := c.request(actionOf(action, ref.VersionID != ""), ref.Key, "")
	r.Conditions = c.conditionsAnd("s3:VersionId", ref.VersionID)
	r.Object = func() (*access.Object, error) { return c.objectOf(ref) }
	return c.permit(b, r)
}

// copyObject makes a new version of another one's bytes.
func (c *call) copyObject() error {
	if c.r.ContentLength > 0 {
		return refuse(errInvalidRequest, "A copy request takes no body")
	}
	own, err := c.template()
	if err != nil {
		return err
	}
	ref, err := parseCopySource(c.header("X-Amz-Copy-Source"))
	if err != nil {
		return err
	}
	asked, err := c.copyAlgorithm()
	if err != nil {
		return err
	}
	cond, err := c.writeCond()
	if err != nil {
		return err
	}
	cond.By.Operation = metadata.ByCopy
	bucket, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket)
	if err != nil {
		return err
	}
	if err := c.mayWrite(&bucket, &own); err != nil {
		return err
	}
	if err := c.mayLock(&bucket, own.Lock); err != nil {
		return err
	}
	src, err := c.copySource(ref)
	if err != nil {
		return err
	}
	if src.Size > MaxPutSize {
		return refuse(errInvalidRequest, "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120")
	}
	dst, err := c.copyTemplate(&src, own)
	if err != nil {
		return err
	}
	if c.header("X-Amz-Tagging-Directive") != "REPLACE" {
		if err := c.permitTags(ref, src.Tags); err != nil {
			return err
		}
	}
	dst.ChecksumType = fullObject
	v, err := c.opts.Objects.Copy(c.r.Context(), src, origin.PutInput{
		Template: dst, Size: src.Size, Algorithms: copyAlgorithms(&src, asked), Cond: cond, Bucket: &bucket,
	})
	if err != nil {
		return err
	}
	c.writeNewVersion(&v)
	d := newDocument("CopyObjectResult")
	d.time("LastModified", v.Modified)
	d.etag(v.ETag)
	writeChecksumElements(d, v.Checksums, v.ChecksumType)
	return c.w.sendXML(d)
}

// permitTags says whether the caller may read the tags that a copy takes over,
// and give them to the copy.
func (c *call) permitTags(ref metadata.Ref, tags map[string]string) error {
	if len(tags) == 0 {
		return nil
	}
	if err := c.permitSource(ref, "GetObjectTagging"); err != nil {
		return err
	}
	b, err := c.accessTo(c.bucket)
	if err != nil {
		return err
	}
	c.asked.tags = tags
	for _, action := range []string{"s3:PutObject", "s3:PutObjectTagging"} {
		r := c.request(action, c.key, "")
		r.Creates = true
		if err := c.permit(b, r); err != nil {
			return err
		}
	}
	return nil
}

// copyTemplate is what the copy carries: what the source has or what the
// request says, by the two directives.
func (c *call) copyTemplate(src *metadata.Version, own metadata.Version) (metadata.Version, error) {
	replaceMeta, err := c.directive("X-Amz-Metadata-Directive")
	if err != nil {
		return own, err
	}
	replaceTags, err := c.directive("X-Amz-Tagging-Directive")
	if err != nil {
		return own, err
	}
	if c.header("X-Amz-Tagging") != "" && !replaceTags {
		return own, badArgument("x-amz-tagging", "", "x-amz-tagging is only considered where x-amz-tagging-directive is REPLACE")
	}
	same := src.Bucket == c.bucket && src.Key == c.key
	newClass := c.header("X-Amz-Storage-Class") != "" && own.StorageClass != storageClassOf(src.StorageClass)
	newKey := own.Encryption != nil || src.Encryption != nil && src.Encryption.Kind == metadata.CustomerKeys
	if same && !replaceMeta && !newClass && !newKey && src.Latest && !c.namesVersion() {
		return own, refuse(errInvalidRequest, "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.")
	}
	dst := own
	if !replaceMeta {
		dst.ContentType, dst.ContentEncoding = src.ContentType, src.ContentEncoding
		dst.ContentDisposition, dst.ContentLanguage = src.ContentDisposition, src.ContentLanguage
		dst.CacheControl, dst.Expires = src.CacheControl, src.Expires
		dst.Headers, dst.UserMetadata = maps.Clone(src.Headers), maps.Clone(src.UserMetadata)
	}
	if !replaceTags {
		dst.Tags = maps.Clone(src.Tags)
	}
	return dst, nil
}

func (c *call) namesVersion() bool { return strings.Contains(c.header("X-Amz-Copy-Source"), "?") }

func (c *call) directive(name string) (replace bool, err error) {
	switch s := c.header(name); s {
	case "", "COPY":
		return false, nil
	case "REPLACE":
		return true, nil
	default:
		return false, badArgument(strings.ToLower(name), asUTF8(s), "Unknown %s.", strings.ReplaceAll(strings.ToLower(name[len("X-Amz-"):]), "-", " "))
	}
}

// copyAlgorithm is the checksum that the request asks for; "" where it does not.
func (c *call) copyAlgorithm() (checksum.Algorithm, error) {
	name := c.header("X-Amz-Checksum-Algorithm")
	if name == "" {
		return "", nil
	}
	return parseAlgorithm(name)
}

// copyAlgorithms are the checksums that the copy gets: the one asked for, else
// those of the source, else the default.
func copyAlgorithms(src *metadata.Version, asked checksum.Algorithm) []checksum.Algorithm {
	algs := []checksum.Algorithm{checksum.ETag}
	if asked != "" {
		return append(algs, asked)
	}
	for _, name := range slices.Sorted(maps.Keys(src.Checksums)) {
		if alg, ok := checksum.Parse(name); ok {
			algs = append(algs, alg)
		}
	}
	if len(algs) == 1 {
		algs = append(algs, checksum.CRC64NVME)
	}
	return algs
}

// algorithmNames are the names of all algorithms, as S3 writes them.
func algorithmNames() string {
	names := make([]string, len(checksum.Algorithms))
	for i, a := range checksum.Algorithms {
		names[i] = strings.ToUpper(string(a))
	}
	return strings.Join(names, ", ")
}

func parseAlgorithm(name string) (checksum.Algorithm, error) {
	alg, ok := checksum.Parse(name)
	if !ok {
		return "", refuse(errInvalidRequest, "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [%s]", algorithmNames())
	}
	return alg, nil
}

// checksumElements are the XML names of checksums.
var checksumElements = map[string]string{
	"crc32": "ChecksumCRC32", "crc32c": "ChecksumCRC32C", "crc64nvme": "ChecksumCRC64NVME", "md5": "ChecksumMD5",
	"sha1": "ChecksumSHA1", "sha256": "ChecksumSHA256", "sha512": "ChecksumSHA512",
	"xxhash64": "ChecksumXXHASH64", "xxhash3": "ChecksumXXHASH3", "xxhash128": "ChecksumXXHASH128",
}

func writeChecksumElements(d *document, sums map[string]string, kind string) {
	for _, alg := range slices.Sorted(maps.Keys(sums)) {
		if name := checksumElements[alg]; name != "" {
			d.elem(name, sums[alg])
		}
	}
	if len(sums) > 0 {
		d.optional("ChecksumType", kind)
	}
}
