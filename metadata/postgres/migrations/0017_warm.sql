-- What cache nodes were asked to fetch, and how far each of them is.
CREATE TABLE warm (
    id      text COLLATE "C" PRIMARY KEY,
    asked   timestamptz NOT NULL DEFAULT now(),
    objects int         NOT NULL,
    body    jsonb       NOT NULL
);

CREATE TABLE warm_node (
    warm     text COLLATE "C" NOT NULL REFERENCES warm ON DELETE CASCADE,
    node     text COLLATE "C" NOT NULL,
    boot     text COLLATE "C" NOT NULL, -- of the start that is to do it
    progress jsonb,                     -- what the node told last
    PRIMARY KEY (warm, node)
);
