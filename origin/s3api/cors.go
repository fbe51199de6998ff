package s3api

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"

	"meridian/internal/cors"
	"meridian/metadata"
)

// corsConfig is the subresource of a bucket that holds its CORS configuration.
const corsConfig = "cors"

func readCORS(ctx context.Context, catalog Catalog, bucket string) (*cors.Config, error) {
	b, err := catalog.Bucket(ctx, bucket)
	if err != nil {
		return nil, err
	}
	return cors.Parse(b.Config[corsConfig])
}

// allowOrigin lets pages of other origins read the answer, whatever it becomes.
// A bucket that cannot be found has the default, so that they can read why.
func (c *call) allowOrigin() {
	if c.r.Header.Get("Origin") == "" {
		// A browser must not give a page the copy it kept of an answer to, say,
		// an <img>, which asks without an Origin.
		if c.r.Method == http.MethodGet || c.r.Method == http.MethodHead {
			c.w.Header().Add("Vary", "Origin")
		}
		return
	}
	rules, err := c.corsRules()
	if err != nil && !errors.Is(err, metadata.ErrNoSuchBucket) {
		return // the request will say what is wrong
	}
	rules.Actual(c.w.Header(), c.r)
}

func (c *call) corsRules() (*cors.Config, error) {
	if err := metadata.CheckBucketName(c.bucket); err != nil {
		return nil, fmt.Errorf("%w: %w", metadata.ErrNoSuchBucket, err)
	}
	return c.cors.get(c.r.Context(), c.bucket)
}

// preflight answers OPTIONS, by which a browser asks before it sends what it
// would. It carries no credentials.
func (c *call) preflight() error {
	c.op = &operation{name: "Preflight"}
	rules, err := c.corsRules()
	if errors.Is(err, metadata.ErrNoSuchBucket) {
		return &failure{code: errAccessForbidden, message: "CORSResponse: Bucket not found", cause: err}
	}
	if err != nil {
		return err
	}
	switch err := rules.Preflight(c.w.Header(), c.r); {
	case errors.Is(err, cors.ErrForbidden):
		return refuse(errAccessForbidden, "%s", err).with("Method", asUTF8(c.r.Header.Get("Access-Control-Request-Method"))).
			with("ResourceType", resourceTypes[object])
	case errors.Is(err, cors.ErrMethod):
		return refuse(errBadRequest, "%s: %s", err, asUTF8(c.r.Header.Get("Access-Control-Request-Method")))
	case err != nil:
		return refuse(errBadRequest, "%s", err)
	}
	c.w.Header().Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusOK)
	return nil
}

func (c *call) putBucketCORS() error {
	var config cors.Config
	if err := c.readXML(smallXML, digestRequired, "CORSConfiguration", &config); err != nil {
		return err
	}
	switch err := config.Check(); {
	case errors.Is(err, cors.ErrSchema):
		return because(errMalformedXML, err)
	case err != nil:
		return refuse(errInvalidRequest, "%s", err)
	}
	document, err := json.Marshal(config)
	if err != nil {
		return err
	}
	return c.setCORS(document, http.StatusOK)
}

func (c *call) deleteBucketCORS() error { return c.setCORS(nil, http.StatusNoContent) }

func (c *call) setCORS(document json.RawMessage, status int) error {
	_, err := c.opts.Catalog.UpdateBucket(c.r.Context(), c.bucket, func(b *metadata.Bucket) error {
		delete(b.Config, corsConfig)
		if document != nil {
			b.Config[corsConfig] = document
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.cors.forget(c.bucket)
	c.w.WriteHeader(status)
	return nil
}

func (c *call) getBucketCORS() error {
	config, err := readCORS(c.r.Context(), c.opts.Catalog, c.bucket)
	if err != nil {
		return err
	}
	if config == nil {
		return errNoSuchCORS
	}
	config.XMLName = xml.Name{Space: xmlNamespace, Local: "CORSConfiguration"}
	text, err := xml.Marshal(config)
	if err != nil {
		return err
	}
	return c.w.send(http.StatusOK, append([]byte(xmlHeader), text...))
}
