package s3api

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"meridian/metadata"
	"meridian/metadata/lifecycle"
)

// minimumTransition is the header by which AWS says how small objects may be to
// move to another storage class. Here none moves; the header is given back.
const minimumTransition = "X-Amz-Transition-Default-Minimum-Object-Size"

func readLifecycle(ctx context.Context, catalog Catalog, bucket string) (*lifecycle.Config, error) {
	b, err := catalog.Bucket(ctx, bucket)
	if err != nil {
		return nil, err
	}
	return lifecycle.Parse(b.Config[lifecycle.ConfigName])
}

// refusedRules is the answer to a configuration that cannot be.
func refusedRules(err error) error {
	var refused *lifecycle.RefusedError
	if !errors.As(err, &refused) {
		return err
	}
	return &failure{code: code(refused.Code), message: refused.Text}
}

func (c *call) putBucketLifecycle() error {
	var config lifecycle.Config
	if err := c.readXML(greatXML, digestRequired, "LifecycleConfiguration", &config); err != nil {
		return err
	}
	if err := config.Check(); err != nil {
		return refusedRules(err)
	}
	config.MinimumTransition = c.header(minimumTransition)
	if err := lifecycle.CheckMinimumTransition(config.MinimumTransition); err != nil {
		return refusedRules(err)
	}
	if config.MinimumTransition == "" {
		config.MinimumTransition = lifecycle.MinimumDefault
	}
	for i := range config.Rules {
		if config.Rules[i].ID == "" {
			config.Rules[i].ID = rand.Text()
		}
	}
	document, err := json.Marshal(config)
	if err != nil {
		return err
	}
	c.w.Header().Set(minimumTransition, config.MinimumTransition)
	return c.setLifecycle(document, http.StatusOK)
}

func (c *call) deleteBucketLifecycle() error { return c.setLifecycle(nil, http.StatusNoContent) }

func (c *call) setLifecycle(document json.RawMessage, status int) error {
	if err := c.setConfig(lifecycle.ConfigName, document); err != nil {
		return err
	}
	c.lifecycles.forget(c.bucket)
	c.w.WriteHeader(status)
	return nil
}

// setConfig keeps a subresource of the bucket, or removes it where document is
// nil.
func (c *call) setConfig(name string, document json.RawMessage) error {
	_, err := c.opts.Catalog.UpdateBucket(c.r.Context(), c.bucket, func(b *metadata.Bucket) error {
		delete(b.Config, name)
		if document != nil {
			b.Config[name] = document
		}
		return nil
	})
	return err
}

func (c *call) getBucketLifecycle() error {
	config, err := readLifecycle(c.r.Context(), c.opts.Catalog, c.bucket)
	if err != nil {
		return err
	}
	if config == nil {
		return errNoSuchLifecycle
	}
	config.XMLName = xml.Name{Space: xmlNamespace, Local: "LifecycleConfiguration"}
	text, err := xml.Marshal(config)
	if err != nil {
		return err
	}
	c.w.Header().Set(minimumTransition, config.MinimumTransition)
	return c.w.send(http.StatusOK, append([]byte(xmlHeader), text...))
}

// writeExpiration tells when a current version ends by the rules of its bucket.
// Nodes do without: a cache would go on to tell it when the rules have changed.
func (c *call) writeExpiration(v *metadata.Version) {
	if c.who.node {
		return
	}
	config, err := c.lifecycles.get(c.r.Context(), c.bucket)
	if err != nil {
		return // it is only a hint, and the request itself is done
	}
	at, rule, ends := config.Expiry(v, c.opts.LifecycleClock)
	if !ends {
		return
	}
	id := strings.ReplaceAll(url.QueryEscape(rule), "+", "%20")
	c.w.Header().Set("X-Amz-Expiration", `expiry-date="`+at.Format(http.TimeFormat)+`", rule-id="`+id+`"`)
}
