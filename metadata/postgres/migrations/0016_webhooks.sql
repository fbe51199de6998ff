CREATE TABLE webhook (
    id        text COLLATE "C" PRIMARY KEY,
    url       text        NOT NULL,
    secret    bytea       NOT NULL, -- sealed under the master key
    events    text[]      NOT NULL,
    created   timestamptz NOT NULL DEFAULT now(),
    dropped   bigint      NOT NULL DEFAULT 0,
    delivered timestamptz,
    failed    timestamptz,
    error     text        NOT NULL DEFAULT ''
) WITH (fillfactor = 50);

-- What webhooks have yet to be told, and what they could not be told.
CREATE TABLE webhook_delivery (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook text COLLATE "C" NOT NULL REFERENCES webhook ON DELETE CASCADE,
    lane    bigint      NOT NULL, -- deliveries in one are made in order
    event   text        NOT NULL,
    bucket  text        NOT NULL,
    key     text        NOT NULL,
    body    json        NOT NULL,
    queued  timestamptz NOT NULL DEFAULT clock_timestamp(),
    due     timestamptz NOT NULL DEFAULT clock_timestamp(),
    tries   integer     NOT NULL DEFAULT 0,
    tried   timestamptz,
    status  integer     NOT NULL DEFAULT 0,
    error   text        NOT NULL DEFAULT '',
    dead    boolean     NOT NULL DEFAULT false
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX webhook_delivery_next ON webhook_delivery (webhook, id) WHERE NOT dead;
CREATE INDEX webhook_delivery_lane ON webhook_delivery (webhook, lane, id) WHERE NOT dead;
CREATE INDEX webhook_delivery_dead ON webhook_delivery (webhook, id) WHERE dead;
