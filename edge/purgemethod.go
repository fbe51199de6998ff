package edge

import (
	"context"
	"net/http"

	"meridian/metadata"
)

// methodPurge drops a URL from all caches.
const methodPurge = "PURGE"

// purge answers a PURGE request: an administrator's is handed to the metadata
// role, which tells all nodes, this one among them.
func (x *exchange) purge(ctx context.Context) error {
	o, err := parseObject(x.r)
	if err != nil {
		return err
	}
	if _, err := x.n.bucket(ctx, o.Bucket); err != nil {
		return err
	}
	return x.purgeURL(ctx, x.r.URL.EscapedPath())
}

// purgeURL asks for a purge of /bucket/key, escaped as in a URL.
func (x *exchange) purgeURL(ctx context.Context, path string) error {
	c, err := x.n.identify(x.r)
	if err != nil {
		return err
	}
	if c.Role != metadata.RoleAdmin || c.Session != nil {
		return errDenied()
	}
	if x.n.cfg.Purges == nil {
		return errMethod()
	}
	answer, err := x.n.cfg.Purges.AskPurge(ctx, metadata.Purge{URLs: []string{path}})
	if err != nil {
		x.n.log.WarnContext(ctx, "purge", "err", err)
		return &apiError{status: http.StatusBadGateway, code: "BadGateway", message: "The metadata role did not take the purge."}
	}
	x.headerOut()
	sendJSON(x.w, answer)
	return nil
}
