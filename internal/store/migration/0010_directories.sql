-- +goose Up

-- Directory servers whose users are taken over.
CREATE TABLE directories (
    id          TEXT PRIMARY KEY,
    group_id    TEXT NOT NULL REFERENCES groups (id),
    name        TEXT NOT NULL,
    name_folded TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    settings    TEXT NOT NULL,
    disabled    BOOLEAN NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE INDEX directories_group ON directories (group_id);

-- How far each is taken over.
CREATE TABLE directory_states (
    id             TEXT PRIMARY KEY REFERENCES directories (id),
    invocation     TEXT NOT NULL,
    usn            BIGINT NOT NULL,
    basis          TEXT NOT NULL,
    synced_at      BIGINT NOT NULL,
    users          BIGINT NOT NULL,
    next_action    TEXT NOT NULL,
    next_action_at BIGINT NOT NULL,
    deadline_at    BIGINT NOT NULL,
    attempts       BIGINT NOT NULL,
    last_error     TEXT NOT NULL,
    escalated_at   BIGINT NOT NULL,
    CHECK (next_action = '' OR next_action_at > 0)
);
CREATE INDEX directory_states_due ON directory_states (next_action_at, id) WHERE next_action <> '';

-- The runs that take users over.
CREATE TABLE syncs (
    id           TEXT PRIMARY KEY,
    directory_id TEXT NOT NULL REFERENCES directories (id),
    state        TEXT NOT NULL,
    value        TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
);
CREATE INDEX syncs_directory ON syncs (directory_id, id);
CREATE INDEX syncs_open ON syncs (id) WHERE state IN ('waiting', 'running');

-- Who a user is in a directory, and why it has the user disabled.
ALTER TABLE users ADD COLUMN directory_id TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN object_guid TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN absence TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX users_object ON users (directory_id, object_guid) WHERE directory_id <> '';

-- The certificates that belong, or belonged, into their users' entries.
CREATE TABLE publications (
    id             TEXT PRIMARY KEY,
    certificate_id TEXT NOT NULL UNIQUE REFERENCES certificates (id),
    directory_id   TEXT NOT NULL REFERENCES directories (id),
    group_id       TEXT NOT NULL REFERENCES groups (id),
    authority_id   TEXT NOT NULL,
    device_id      TEXT NOT NULL,
    user_id        TEXT NOT NULL,
    object_guid    TEXT NOT NULL,
    subject        TEXT NOT NULL,
    published      BOOLEAN NOT NULL,
    next_action    TEXT NOT NULL,
    next_action_at BIGINT NOT NULL,
    deadline_at    BIGINT NOT NULL,
    attempts       BIGINT NOT NULL,
    last_error     TEXT NOT NULL,
    escalated_at   BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    CHECK (next_action = '' OR next_action_at > 0)
);
CREATE INDEX publications_due ON publications (next_action_at, id) WHERE next_action <> '';
CREATE INDEX publications_directory ON publications (directory_id, next_action_at, id) WHERE next_action <> '';

-- +goose Down
DROP TABLE publications;
DROP INDEX users_object;
ALTER TABLE users DROP COLUMN absence;
ALTER TABLE users DROP COLUMN object_guid;
ALTER TABLE users DROP COLUMN directory_id;
DROP TABLE syncs;
DROP TABLE directory_states;
DROP TABLE directories;
