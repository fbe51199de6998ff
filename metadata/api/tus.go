package api

import (
	"net/http"
	"strings"

	"meridian/internal/sigv4"
	"meridian/metadata"
)

const tusPath = "/v1/tus/"

// isTus says whether a path is one of resumable uploads.
func isTus(path string) bool { return strings.HasPrefix(path+"/", tusPath) }

// tusRoutes are those of tus 1.0 (https://tus.io/protocols/resumable-upload).
func tusRoutes() []route {
	offset := param{"Upload-Offset", "where the body belongs", text()}
	checksum := param{"Upload-Checksum", "sha1, sha256, md5 or crc32 of the body, and the sum in base64", text()}
	version := param{"Tus-Resumable", "1.0.0", text()}
	rt := func(r route) route {
		r.tag, r.stream, r.access, r.do = tagUploads, true, writers, (*call).tus
		r.headers = append(r.headers, version)
		r.errors = append(r.errors, http.StatusPreconditionFailed, http.StatusServiceUnavailable)
		return r
	}
	routes := []route{
		rt(route{
			method: http.MethodPost, path: tusPath, summary: "Begin a resumable upload (tus 1.0); Location is where its bytes go",
			headers: []param{
				{"Upload-Length", "size of the file in bytes", text()},
				{"Upload-Defer-Length", "1: the size is told later", text()},
				{"Upload-Metadata", "bucket, key (the filename without folders if not given), filename, filetype, each with its value in base64", text()},
				{clientRegion, "where the client is, to choose the region that takes the file; ignored if unknown", text()},
				checksum,
			},
			status: http.StatusCreated,
			errors: []int{http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity},
		}),
		rt(route{method: http.MethodHead, path: tusPath + ":id", summary: "How much of an upload is there: Upload-Offset", status: http.StatusOK}),
		rt(route{
			method: http.MethodPatch, path: tusPath + ":id", summary: "Send bytes; with the last one the object is there, and X-Meridian-Object names it",
			headers: []param{offset, checksum, {"Upload-Length", "size of the file, where it was not known before", text()}},
			status:  http.StatusNoContent,
			errors:  []int{http.StatusConflict, http.StatusLocked, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType},
		}),
		rt(route{
			method: http.MethodPost, path: tusPath + ":id", summary: "PATCH or DELETE for clients that cannot send them",
			headers: []param{{"X-HTTP-Method-Override", "PATCH or DELETE", text()}, offset, checksum}, status: http.StatusNoContent,
		}),
		rt(route{method: http.MethodDelete, path: tusPath + ":id", summary: "Give up an upload", status: http.StatusNoContent}),
	}
	for _, path := range []string{tusPath, tusPath + ":id"} {
		routes = append(routes, route{
			method: http.MethodOptions, path: path, access: public, tag: tagUploads, summary: "What the server can do, for clients and browsers",
			status: http.StatusNoContent, do: func(c *call) error {
				c.opts.Tus.Describe(c.gin.Writer, c.r)
				c.gin.Writer.WriteHeaderNow()
				return nil
			},
		})
	}
	return routes
}

// tus hands a request on.
func (c *call) tus() error {
	if a := c.who.auth; a != nil && a.PayloadHash != sigv4.UnsignedPayload && (a.PayloadHash != sigv4.EmptyPayload || c.r.ContentLength != 0) {
		// An upload keeps what came before a connection broke, when nobody can
		// tell yet whether the signed sum holds.
		return metadata.Invalidf("sign with x-amz-content-sha256: UNSIGNED-PAYLOAD; Upload-Checksum covers the bytes")
	}
	if c.param("id") == "" { // one to be made, near the client
		known, err := c.clientRegions()
		if err != nil {
			return err
		}
		c.r.Header.Set(clientRegion, c.toldRegion(known))
	}
	c.opts.Tus.Serve(c.gin.Writer, c.r, c.who.user, c.who.role == metadata.RoleAdmin)
	c.gin.Writer.WriteHeaderNow()
	return nil
}
