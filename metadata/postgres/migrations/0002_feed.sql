-- The greatest event that was removed from the outbox: whoever stands below it
-- can no longer be told what it missed. Exactly one row.
CREATE TABLE feed_floor (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    xid    xid8    NOT NULL DEFAULT '0',
    id     bigint  NOT NULL DEFAULT 0
);
INSERT INTO feed_floor DEFAULT VALUES;

-- How far the durable followers have come.
CREATE TABLE feed_cursor (
    name  text PRIMARY KEY,
    xid   xid8        NOT NULL,
    id    bigint      NOT NULL,
    saved timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE access_key (
    id      text COLLATE "C" PRIMARY KEY,
    secret  bytea       NOT NULL, -- sealed under the master key
    "user"  text        NOT NULL,
    role    text        NOT NULL,
    created timestamptz NOT NULL,
    expires timestamptz
);
