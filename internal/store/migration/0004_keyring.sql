-- +goose Up

-- The master keys of this installation by name. A new key is on its way to the
-- nodes as ciphertext of the one before it, until that one is dropped.
CREATE TABLE keyring (
    key_id     TEXT PRIMARY KEY,
    state      TEXT NOT NULL,
    box        BYTEA NOT NULL,
    place      TEXT NOT NULL,
    after_row  TEXT NOT NULL,
    resealed   BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- What each node has of it.
CREATE TABLE keyring_nodes (
    node    TEXT PRIMARY KEY,
    holds   TEXT NOT NULL,
    seals   TEXT NOT NULL,
    problem TEXT NOT NULL,
    seen_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE keyring_nodes;
DROP TABLE keyring;
