package s3api

import (
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"errors"
	"net/http"

	"meridian/metadata"
	"meridian/metadata/notify"
)

// putBucketNotification keeps who is told of what. An empty configuration tells
// nobody.
func (c *call) putBucketNotification() error {
	var config notify.Config
	if err := c.readXML(greatXML, digestAllowed, "NotificationConfiguration", &config); err != nil {
		return err
	}
	if err := config.Check(c.knowsWebhook); err != nil {
		return refusedNotification(err)
	}
	var document json.RawMessage
	for _, r := range config.Rules() {
		if r.ID == "" {
			r.ID = rand.Text()
		}
	}
	if len(config.Rules()) > 0 {
		var err error
		if document, err = json.Marshal(config); err != nil {
			return err
		}
	}
	if err := c.setConfig(notify.ConfigName, document); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusOK)
	return nil
}

func (c *call) knowsWebhook(id string) (bool, error) {
	_, err := c.opts.Catalog.Webhook(c.r.Context(), id)
	if errors.Is(err, metadata.ErrNoSuchWebhook) {
		return false, nil
	}
	return err == nil, err
}

// refusedNotification is the answer to a configuration that cannot be.
func refusedNotification(err error) error {
	var refused *notify.RefusedError
	if !errors.As(err, &refused) {
		return err
	}
	f := &failure{code: code(refused.Code), message: refused.Text}
	if refused.Name != "" {
		f = f.with("ArgumentName", refused.Name).with("ArgumentValue", asUTF8(refused.Value))
	}
	return f
}

func (c *call) getBucketNotification() error {
	b, err := c.opts.Catalog.Bucket(c.r.Context(), c.bucket)
	if err != nil {
		return err
	}
	config, err := notify.Parse(b.Config[notify.ConfigName])
	if err != nil {
		return err
	}
	config.XMLName = xml.Name{Space: xmlNamespace, Local: "NotificationConfiguration"}
	text, err := xml.Marshal(config)
	if err != nil {
		return err
	}
	return c.w.send(http.StatusOK, append([]byte(xmlHeader), text...))
}
