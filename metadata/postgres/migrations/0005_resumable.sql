-- resumable is an upload by tus. It outlives its multipart upload, so that a
-- client that missed the last answer learns that it is done.
CREATE TABLE resumable (
    id         text COLLATE "C" PRIMARY KEY,
    bucket     text COLLATE "C" NOT NULL,
    key        text COLLATE "C" NOT NULL,
    region     text        NOT NULL,
    owner      text        NOT NULL,
    meta       jsonb       NOT NULL,
    length     bigint      NOT NULL, -- -1: not known yet
    at         bigint      NOT NULL DEFAULT 0,
    parts      integer     NOT NULL DEFAULT 0,
    tail       bigint      NOT NULL DEFAULT 0,
    head       bytea       NOT NULL DEFAULT '',
    created    timestamptz NOT NULL,
    expires    timestamptz NOT NULL,
    done       boolean     NOT NULL DEFAULT false,
    etag       text        NOT NULL DEFAULT '',
    seq        text        NOT NULL DEFAULT '',
    holder     text        NOT NULL DEFAULT '',
    held_until timestamptz,
    wanted     boolean     NOT NULL DEFAULT false
) WITH (fillfactor = 80);

CREATE INDEX resumable_expires ON resumable (region, expires);

-- resumable_tail are the bytes at the end that are in no part, in pieces as they
-- came. They are compressed already, where that would help.
CREATE TABLE resumable_tail (
    id   text COLLATE "C" NOT NULL REFERENCES resumable ON DELETE CASCADE,
    at   bigint NOT NULL,
    data bytea  NOT NULL,
    PRIMARY KEY (id, at)
);
ALTER TABLE resumable_tail ALTER COLUMN data SET STORAGE EXTERNAL;
