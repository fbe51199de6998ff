-- Jobs that one process of the cluster does at a time.
CREATE TABLE lease (
    name   text PRIMARY KEY,
    holder text        NOT NULL,
    until  timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Walks through buckets by their lifecycle rules. after_key is where one that
-- broke off goes on.
CREATE TABLE lifecycle_run (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bucket_id bigint      NOT NULL REFERENCES bucket ON DELETE CASCADE,
    started   timestamptz NOT NULL DEFAULT now(),
    updated   timestamptz NOT NULL DEFAULT now(),
    finished  timestamptz,
    after_key text COLLATE "C" NOT NULL DEFAULT '',
    counts    jsonb       NOT NULL
) WITH (fillfactor = 70);

CREATE INDEX lifecycle_run_newest ON lifecycle_run (bucket_id, id DESC);
