package api

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"meridian/metadata"
	"meridian/metadata/notify"
	"meridian/metadata/notify/webhook"
)

func TestWebhooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) { o.Webhooks = webhook.NewClient(true) })
	got := make(chan *http.Request, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || !strings.Contains(string(body), `"s3:TestEvent"`) {
			t.Errorf("message %s, %v", body, err)
		}
		got <- r
	}))
	t.Cleanup(srv.Close)
	const admin = metadata.RoleAdmin
	made := as[webhookInfo](t, w.do(http.StatusCreated, admin, http.MethodPost, "/v1/webhooks", `{"id":"app","url":"`+srv.URL+`/x"}`))
	if made.ARN != "arn:meridian:sqs::app:webhook" || webhook.CheckSecret(made.Secret) != nil {
		t.Fatalf("made %+v", made)
	}
	w.do(http.StatusConflict, admin, http.MethodPost, "/v1/webhooks", `{"id":"app","url":"https://example.com/"}`)
	w.refused(w.do(http.StatusBadRequest, admin, http.MethodPost, "/v1/webhooks", `{"id":"a b","url":"example.com","secret":"x"}`), "id", "url", "secret")
	for _, path := range []string{"/v1/webhooks", "/v1/webhooks/app"} {
		if a := w.do(http.StatusOK, admin, http.MethodGet, path, ""); strings.Contains(string(a.body), "whsec_") {
			t.Errorf("%s tells the secret: %s", path, a.body)
		}
	}
	test := as[webhookTest](t, w.do(http.StatusOK, admin, http.MethodPost, "/v1/webhooks/app/test", ""))
	if r := <-got; !test.OK || test.Status != http.StatusOK || r.Header.Get("Webhook-Signature") == "" {
		t.Errorf("test = %+v, request %v", test, r.Header)
	}
	renewed := as[webhookInfo](t, w.do(http.StatusOK, admin, http.MethodPatch, "/v1/webhooks/app", `{"url":"http://127.0.0.1:1/","secret":null}`))
	if renewed.Secret == "" || renewed.Secret == made.Secret {
		t.Errorf("a new secret: %+v", renewed)
	}
	w.refused(w.do(http.StatusBadRequest, admin, http.MethodPatch, "/v1/webhooks/app", `{"id":"other"}`), "id")
	if test := as[webhookTest](t, w.do(http.StatusOK, admin, http.MethodPost, "/v1/webhooks/app/test", "")); test.OK || test.Error == "" {
		t.Errorf("test of a closed port = %+v", test)
	}

	changed := as[webhookInfo](t, w.do(http.StatusOK, admin, http.MethodPatch, "/v1/webhooks/app", `{"events":["media.ready"]}`))
	if len(changed.Events) != 1 || changed.URL != "http://127.0.0.1:1/" {
		t.Errorf("with events: %+v", changed)
	}
	w.refused(w.do(http.StatusBadRequest, admin, http.MethodPatch, "/v1/webhooks/app", `{"events":["object.created"]}`), "events")

	var list []metadata.Delivery
	for i := range 3 {
		list = append(list, metadata.Delivery{Webhook: "app", Event: "s3:ObjectCreated:Put", Bucket: "b", Key: fmt.Sprint(i), Body: json.RawMessage(`{"Records":[]}`)})
	}
	if err := w.store.QueueDeliveries(t.Context(), list, nil, metadata.Seq{}); err != nil {
		t.Fatal(err)
	}
	if page := as[deliveryPage](t, w.do(http.StatusOK, admin, http.MethodGet, "/v1/webhooks/app/deliveries?state=queued", "")); len(page.Deliveries) != 3 || string(page.Deliveries[0].Body) != `{"Records":[]}` {
		t.Errorf("queued are %+v", page)
	}
	time.Sleep(10 * time.Millisecond) // they are to be older than the patience below
	if n, err := w.store.BuryDeliveries(t.Context(), "app", time.Millisecond); n != 3 || err != nil {
		t.Fatalf("BuryDeliveries = %d, %v", n, err)
	}
	page := as[deliveryPage](t, w.do(http.StatusOK, admin, http.MethodGet, "/v1/webhooks/app/deliveries?limit=2", ""))
	if len(page.Deliveries) != 2 || page.Next == "" || !page.Deliveries[0].Dead {
		t.Fatalf("given up are %+v", page)
	}
	if page := as[deliveryPage](t, w.do(http.StatusOK, admin, http.MethodGet, "/v1/webhooks/app/deliveries?limit=2&cursor="+page.Next, "")); len(page.Deliveries) != 1 || page.Next != "" {
		t.Errorf("the next page: %+v", page)
	}
	body := fmt.Sprintf(`{"ids":[%d]}`, page.Deliveries[0].ID)
	if n := as[redelivered](t, w.do(http.StatusAccepted, admin, http.MethodPost, "/v1/webhooks/app/redeliver", body)); n.Queued != 1 {
		t.Errorf("queued anew: %+v", n)
	}
	if n := as[redelivered](t, w.do(http.StatusAccepted, admin, http.MethodPost, "/v1/webhooks/app/redeliver", `{}`)); n.Queued != 2 {
		t.Errorf("the rest: %+v", n)
	}
	w.refused(w.do(http.StatusBadRequest, admin, http.MethodGet, "/v1/webhooks/app/deliveries?state=lost", ""), "state")
	w.do(http.StatusNotFound, admin, http.MethodGet, "/v1/webhooks/none/deliveries", "")

	// One that a bucket names stays.
	w.bucket("photos", metadata.Private)
	_, err := w.store.UpdateBucket(t.Context(), "photos", func(b *metadata.Bucket) error {
		b.Config[notify.ConfigName] = json.RawMessage(`{"queues":[{"id":"x","queue":"arn:minio:sqs::app:webhook","events":["s3:ObjectCreated:*"]}]}`)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if p := w.problem(w.do(http.StatusConflict, admin, http.MethodDelete, "/v1/webhooks/app", "")); !strings.Contains(p.Detail, "photos") {
		t.Errorf("detail %q names no bucket", p.Detail)
	}
	w.do(http.StatusNoContent, admin, http.MethodDelete, "/v1/buckets/photos", "")
	w.do(http.StatusNoContent, admin, http.MethodDelete, "/v1/webhooks/app", "")
	w.do(http.StatusNotFound, admin, http.MethodGet, "/v1/webhooks/app", "")
	w.do(http.StatusNotFound, admin, http.MethodDelete, "/v1/webhooks/app", "")
}

func TestWebhooksAtLocalAddressesAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refused(w.do(http.StatusBadRequest, metadata.RoleAdmin, http.MethodPost, "/v1/webhooks", `{"id":"app","url":"http://169.254.169.254/"}`), "url")
}
