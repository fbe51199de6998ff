CREATE TABLE node (
    id          text COLLATE "C" PRIMARY KEY,
    boot        text        NOT NULL,
    tier        text        NOT NULL,
    region      text        NOT NULL,
    url         text        NOT NULL,
    public_url  text        NOT NULL,
    blob_base   text        NOT NULL,
    version     text        NOT NULL,
    started     timestamptz NOT NULL,
    applied_xid xid8        NOT NULL,
    applied_id  bigint      NOT NULL,
    last_seen   timestamptz NOT NULL
);

-- The last push of every start of a node, which makes a repeated one harmless.
-- Rows outlive the start, since a push may be repeated late.
CREATE TABLE node_boot (
    node   text COLLATE "C" NOT NULL,
    boot   text COLLATE "C" NOT NULL,
    pushed numeric(20)      NOT NULL,
    seen   timestamptz      NOT NULL,
    PRIMARY KEY (node, boot)
);

CREATE FUNCTION histogram_add(a bigint[], b bigint[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT coalesce(array_agg(coalesce(t.x, 0) + coalesce(t.y, 0) ORDER BY t.i), '{}')
          FROM unnest(a, b) WITH ORDINALITY AS t (x, y, i));

-- What the nodes count, per minute. Partitions hold a day each; they are made
-- when they are needed and dropped when they are old, so there is none here.
-- Tier and region belong to the key: a node may come back as something else.
CREATE TABLE cache_minute (
    minute            timestamptz      NOT NULL,
    node              text COLLATE "C" NOT NULL,
    tier              text COLLATE "C" NOT NULL,
    region            text COLLATE "C" NOT NULL,
    bucket            text COLLATE "C" NOT NULL,
    class             text COLLATE "C" NOT NULL,
    requests          bigint NOT NULL,
    hits              bigint NOT NULL,
    misses            bigint NOT NULL,
    stale             bigint NOT NULL,
    revalidated       bigint NOT NULL,
    pass              bigint NOT NULL,
    bytes             bigint NOT NULL,
    hit_bytes         bigint NOT NULL,
    answered_regional bigint NOT NULL,
    answered_origin   bigint NOT NULL,
    latency           bigint[] NOT NULL,
    PRIMARY KEY (minute, node, tier, region, bucket, class)
) PARTITION BY RANGE (minute);

CREATE TABLE purge (
    id    text COLLATE "C" PRIMARY KEY,
    asked timestamptz NOT NULL DEFAULT now(),
    body  jsonb       NOT NULL
);

CREATE TABLE purge_ack (
    purge   text COLLATE "C" NOT NULL REFERENCES purge ON DELETE CASCADE,
    node    text COLLATE "C" NOT NULL,
    applied timestamptz NOT NULL,
    entries bigint      NOT NULL,
    PRIMARY KEY (purge, node)
);
