package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"meridian/internal/httpserve"
	"meridian/metadata"
	"meridian/metadata/notify"
	"meridian/metadata/notify/webhook"
)

// webhookInfo is a webhook, and the name by which the notification
// configurations of buckets mean it.
type webhookInfo struct {
	metadata.Webhook
	ARN string `json:"arn"`
}

type webhookList struct {
	Webhooks []webhookInfo `json:"webhooks"`
}

// newWebhook is the body of POST /v1/webhooks.
type newWebhook struct {
	ID     string `json:"id"`
	URL    string `json:"url"`
	Secret string `json:"secret"` // one is made if empty
	// Events of media records that it is told of, beside what buckets ask for.
	Events []string `json:"events"`
}

// webhookPatch is what may be changed of a webhook.
type webhookPatch struct {
	URL    patch[string]   `json:"url"`
	Secret patch[string]   `json:"secret"` // null: a new one is made, and told this once
	Events patch[[]string] `json:"events"`
}

// webhookTest is how a try to reach a webhook went.
type webhookTest struct {
	OK     bool   `json:"ok"`
	Status int    `json:"status,omitempty"` // of HTTP; 0: there was no answer
	Error  string `json:"error,omitempty"`
	Took   int64  `json:"took_ms"`
}

type deliveryPage struct {
	Deliveries []metadata.Delivery `json:"deliveries"`
	Next       string              `json:"next,omitempty"` // cursor of the next page
}

// redeliver is the body of POST /v1/webhooks/{id}/redeliver.
type redeliver struct {
	IDs []int64 `json:"ids"` // all if not given
}

type redelivered struct {
	Queued int64 `json:"queued"`
}

func infoOf(w metadata.Webhook) webhookInfo {
	w.Secret = ""
	return webhookInfo{w, notify.ARN(w.ID)}
}

func (c *call) listWebhooks() error {
	list, err := c.store.Webhooks(c.ctx())
	if err != nil {
		return err
	}
	answer := webhookList{Webhooks: []webhookInfo{}}
	for _, w := range list {
		answer.Webhooks = append(answer.Webhooks, infoOf(w))
	}
	return c.json(http.StatusOK, answer)
}

func (c *call) getWebhook() error {
	w, err := c.store.Webhook(c.ctx(), c.param("id"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, infoOf(w))
}

// createWebhook makes a webhook and tells its secret, this once.
func (c *call) createWebhook() error {
	var in newWebhook
	if err := c.decode(&in); err != nil {
		return err
	}
	var wrong fieldErrors
	if !notify.IsWebhookID(in.ID) {
		wrong = append(wrong, FieldError{"id", "must have 1 to 64 letters, digits, - and _"})
	}
	if in.Secret == "" {
		in.Secret = webhook.NewSecret()
	}
	if wrong = append(wrong, c.checkWebhook(in.URL, in.Secret, in.Events)...); len(wrong) > 0 {
		return wrong
	}
	w, err := c.store.CreateWebhook(c.ctx(), metadata.Webhook{ID: in.ID, URL: in.URL, Secret: in.Secret, Events: in.Events})
	if err != nil {
		return err
	}
	return c.created("/v1/webhooks/"+url.PathEscape(w.ID), webhookInfo{w, notify.ARN(w.ID)})
}

func (c *call) checkWebhook(address, secret string, events []string) (wrong fieldErrors) {
	if err := c.opts.Webhooks.CheckURL(address); err != nil {
		wrong = append(wrong, FieldError{"url", reason(err)})
	}
	if err := webhook.CheckSecret(secret); err != nil {
		wrong = append(wrong, FieldError{"secret", reason(err)})
	}
	for i, e := range events {
		switch known := notify.MediaEvents(); {
		case !slices.Contains(known, e):
			wrong = append(wrong, FieldError{"events", fmt.Sprintf("%.40q is none of %s; of objects a bucket's notification configuration tells", e, strings.Join(known, ", "))})
		case slices.Contains(events[:i], e):
			wrong = append(wrong, FieldError{"events", fmt.Sprintf("names %s twice", e)})
		}
	}
	return wrong
}

func (c *call) patchWebhook() error {
	var in webhookPatch
	if err := c.decode(&in, names(jsonFieldsOf[metadata.Webhook]())...); err != nil {
		return err
	}
	if in.Secret.Null {
		in.Secret.Value = webhook.NewSecret()
	}
	w, err := c.store.UpdateWebhook(c.ctx(), c.param("id"), func(w *metadata.Webhook) error {
		in.URL.apply(&w.URL)
		in.Secret.apply(&w.Secret)
		in.Events.apply(&w.Events)
		if wrong := c.checkWebhook(w.URL, w.Secret, w.Events); len(wrong) > 0 {
			return wrong
		}
		return nil
	})
	if err != nil {
		return err
	}
	info := infoOf(w)
	if in.Secret.Null {
		info.Secret = w.Secret
	}
	return c.json(http.StatusOK, info)
}

// deleteWebhook refuses one that a bucket names: its notifications would end
// without anybody having said so.
func (c *call) deleteWebhook() error {
	id := c.param("id")
	buckets, err := c.store.NotifyingBuckets(c.ctx())
	if err != nil {
		return err
	}
	for _, b := range buckets {
		config, err := notify.Parse(b.Config)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(config.Rules(), func(r *notify.Rule) bool {
			named, _ := notify.Webhook(r.ARN())
			return named == id
		}) {
			return tell(errWebhookUsed, "the notification configuration of bucket %s names it; change that first", b.Name)
		}
	}
	if err := c.store.DeleteWebhook(c.ctx(), id); err != nil {
		return err
	}
	return c.noContent()
}

// testWebhook sends the message by which S3 tries who it is to tell.
func (c *call) testWebhook() error {
	w, err := c.store.Webhook(c.ctx(), c.param("id"))
	if err != nil {
		return err
	}
	began := time.Now()
	status, err := c.opts.Webhooks.Test(c.ctx(), w, notify.TestMessage(c.now(), httpserve.RequestID(c.ctx())))
	answer := webhookTest{OK: err == nil, Status: status, Took: time.Since(began).Milliseconds()}
	if err != nil {
		answer.Error = err.Error()
	}
	return c.json(http.StatusOK, answer)
}

const (
	maxDeliveries     = 200
	defaultDeliveries = 50
)

func (c *call) listDeliveries() error {
	limit, err := c.number("limit", defaultDeliveries, 1, maxDeliveries)
	if err != nil {
		return err
	}
	state := c.query("state")
	if state != "" && state != "dead" && state != "queued" {
		return badField("state", "%.40q is neither dead nor queued", state)
	}
	var below int64
	if cursor := c.query("cursor"); cursor != "" {
		if below, err = strconv.ParseInt(cursor, 10, 64); err != nil || below < 1 {
			return badField("cursor", "%.40q is not one of a page", cursor)
		}
	}
	list, err := c.store.Deliveries(c.ctx(), c.param("id"), state != "queued", below, limit+1)
	if err != nil {
		return err
	}
	page := deliveryPage{Deliveries: list}
	if len(list) > limit {
		page.Deliveries, page.Next = list[:limit], strconv.FormatInt(list[limit-1].ID, 10)
	}
	if page.Deliveries == nil {
		page.Deliveries = []metadata.Delivery{}
	}
	return c.json(http.StatusOK, page)
}

func (c *call) redeliver() error {
	var in redeliver
	if err := c.decode(&in); err != nil {
		return err
	}
	n, err := c.store.Redeliver(c.ctx(), c.param("id"), in.IDs)
	if err != nil {
		return err
	}
	return c.json(http.StatusAccepted, redelivered{n})
}

// errWebhookUsed refuses to delete a webhook.
var errWebhookUsed = errors.New("the webhook is in use")

func webhookRoutes() []route {
	return []route{
		{
			method: http.MethodGet, path: "/v1/webhooks", access: admin, tag: tagWebhooks, summary: "All webhooks, without their secrets, and how it goes with them",
			status: http.StatusOK, answer: webhookList{}, do: (*call).listWebhooks,
		},
		{
			method: http.MethodPost, path: "/v1/webhooks", access: admin, tag: tagWebhooks, summary: "Make a webhook; its secret is told this once",
			description: "Notification configurations of buckets name it by its ARN. Requests are signed as https://www.standardwebhooks.com has it: headers " +
				"webhook-id (the same for every try of a delivery), webhook-timestamp and webhook-signature. One that is not answered with 2xx within 10 s is made again.",
			body: newWebhook{}, status: http.StatusCreated, answer: webhookInfo{}, errors: []int{http.StatusConflict}, do: (*call).createWebhook,
		},
		{
			method: http.MethodGet, path: "/v1/webhooks/:id", access: admin, tag: tagWebhooks, summary: "A webhook, without its secret",
			status: http.StatusOK, answer: webhookInfo{}, do: (*call).getWebhook,
		},
		{
			method: http.MethodPatch, path: "/v1/webhooks/:id", access: admin, tag: tagWebhooks, summary: "Change URL, secret or events; a null secret makes a new one, told this once (RFC 7396)",
			body: webhookPatch{}, bodyType: "application/merge-patch+json", status: http.StatusOK, answer: webhookInfo{}, do: (*call).patchWebhook,
		},
		{
			method: http.MethodDelete, path: "/v1/webhooks/:id", access: admin, tag: tagWebhooks, summary: "Delete a webhook that no bucket names, and its deliveries",
			status: http.StatusNoContent, errors: []int{http.StatusConflict}, do: (*call).deleteWebhook,
		},
		{
			method: http.MethodPost, path: "/v1/webhooks/:id/test", access: admin, tag: tagWebhooks, summary: "Send a test message now, and tell how it was taken",
			status: http.StatusOK, answer: webhookTest{}, do: (*call).testWebhook,
		},
		{
			method: http.MethodGet, path: "/v1/webhooks/:id/deliveries", access: admin, tag: tagWebhooks, summary: "Deliveries that were given up (dead, kept for a month) or wait, newest first",
			query: []param{
				{"state", "dead if not given", oneOf("dead", "queued")},
				{"cursor", "next of the page before", text()},
				{"limit", "deliveries in a page", between(1, maxDeliveries, defaultDeliveries)},
			},
			status: http.StatusOK, answer: deliveryPage{}, do: (*call).listDeliveries,
		},
		{
			method: http.MethodPost, path: "/v1/webhooks/:id/redeliver", access: admin, tag: tagWebhooks, summary: "Queue anew what was given up",
			body: redeliver{}, status: http.StatusAccepted, answer: redelivered{}, do: (*call).redeliver,
		},
	}
}
