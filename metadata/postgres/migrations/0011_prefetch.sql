-- What a node fetched ahead of requests, and what became of it.
ALTER TABLE cache_minute
    ADD COLUMN ahead_fetched       bigint NOT NULL DEFAULT 0,
    ADD COLUMN ahead_fetched_bytes bigint NOT NULL DEFAULT 0,
    ADD COLUMN ahead_won           bigint NOT NULL DEFAULT 0,
    ADD COLUMN ahead_won_bytes     bigint NOT NULL DEFAULT 0,
    ADD COLUMN ahead_wasted        bigint NOT NULL DEFAULT 0,
    ADD COLUMN ahead_wasted_bytes  bigint NOT NULL DEFAULT 0;
