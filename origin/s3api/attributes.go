package s3api

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"meridian/metadata"
)

// attributeNames are what GetObjectAttributes can be asked for.
var attributeNames = []string{"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"}

func (c *call) getObjectAttributes() error {
	if _, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket); err != nil {
		return err
	}
	want, err := c.wantedAttributes()
	if err != nil {
		return err
	}
	maxParts, after, err := c.partPage(c.header("X-Amz-Max-Parts"), c.header("X-Amz-Part-Number-Marker"))
	if err != nil {
		return err
	}
	v, err := c.find()
	if errors.Is(err, metadata.ErrDeleteMarker) {
		return because(errNoSuchKey, err)
	}
	if err != nil {
		return err
	}
	if err := c.unlockRead(&v); err != nil {
		return err
	}
	h := c.w.Header()
	if id := c.tellVersion(&v); id != "" {
		h.Set("X-Amz-Version-Id", id)
	}
	h.Set("Last-Modified", v.Modified.UTC().Format(http.TimeFormat))
	d := newDocument("GetObjectAttributesResponse")
	for _, name := range attributeNames { // the order of the schema
		if !slices.Contains(want, name) {
			continue
		}
		switch name {
		case "ETag":
			d.elem("ETag", v.ETag) // here without quotes
		case "Checksum":
			if len(v.Checksums) > 0 {
				d.group("Checksum", func() { writeChecksumElements(d, withoutCount(v.Checksums), v.ChecksumType) })
			}
		case "ObjectParts":
			if len(v.Parts) > 0 {
				writeObjectParts(d, &v, maxParts, after)
			}
		case "StorageClass":
			d.elem("StorageClass", storageClassOf(v.StorageClass))
		case "ObjectSize":
			d.number("ObjectSize", v.Size)
		}
	}
	return c.w.sendXML(d)
}

// withoutCount are checksums without the number of parts that follows composite
// ones elsewhere: here ObjectParts tells it.
func withoutCount(sums map[string]string) map[string]string {
	bare := map[string]string{}
	for alg, sum := range sums {
		bare[alg], _, _ = strings.Cut(sum, "-") // which is in no Base64
	}
	return bare
}

func (c *call) wantedAttributes() ([]string, error) {
	var want []string
	for _, value := range c.r.Header.Values("X-Amz-Object-Attributes") {
		for name := range strings.SplitSeq(value, ",") {
			if name = strings.TrimSpace(name); name == "" {
				continue
			}
			if !slices.Contains(attributeNames, name) {
				return nil, badArgument("x-amz-object-attributes", asUTF8(name), "Invalid attribute name specified.")
			}
			want = append(want, name)
		}
	}
	if len(want) == 0 {
		return nil, refuse(errInvalidRequest, "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty")
	}
	return want, nil
}

// writeObjectParts lists parts; their details only where they carry checksums,
// as S3 does it.
func writeObjectParts(d *document, v *metadata.Version, limit, after int) {
	d.start("ObjectParts")
	d.number("PartsCount", int64(len(v.Parts)))
	d.number("PartNumberMarker", int64(after))
	last, n, truncated := after, 0, false
	details := &document{}
	for _, p := range v.Parts {
		if p.Number <= after {
			continue
		}
		if n == limit {
			truncated = true
			break
		}
		last, n = p.Number, n+1
		if len(p.Checksums) == 0 {
			continue
		}
		details.start("Part")
		writeChecksumElements(details, p.Checksums, "")
		details.number("PartNumber", int64(p.Number))
		details.number("Size", p.Size)
		details.end("Part")
	}
	d.number("NextPartNumberMarker", int64(last))
	d.number("MaxParts", int64(limit))
	d.boolean("IsTruncated", truncated)
	d.buf.Write(details.buf.Bytes())
	d.end("ObjectParts")
}

// partPage reads the size of a page of parts and the number that it follows.
func (c *call) partPage(maxParts, marker string) (limit, after int, err error) {
	if limit, err = parseLimit("max-parts", maxParts, maxKeys); err != nil {
		return 0, 0, err
	}
	after, err = parseLimit("part-number-marker", marker, 0)
	return min(limit, maxKeys), after, err
}
