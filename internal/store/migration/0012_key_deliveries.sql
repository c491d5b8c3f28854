-- +goose Up

-- Web services that are given keys made here.
CREATE TABLE key_services (
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
CREATE INDEX key_services_group ON key_services (group_id);

-- Keys made here that belong, or belonged, into their users' directory entries
-- or to a key service. Where they go may be deleted once they are there.
CREATE TABLE key_deliveries (
    id             TEXT PRIMARY KEY,
    certificate_id TEXT NOT NULL UNIQUE REFERENCES certificates (id),
    group_id       TEXT NOT NULL REFERENCES groups (id),
    authority_id   TEXT NOT NULL,
    device_id      TEXT NOT NULL,
    user_id        TEXT NOT NULL,
    subject        TEXT NOT NULL,
    directory_id   TEXT NOT NULL,
    object_guid    TEXT NOT NULL,
    attribute      TEXT NOT NULL,
    digest         TEXT NOT NULL,
    service_id     TEXT NOT NULL,
    delivered      BOOLEAN NOT NULL,
    next_action    TEXT NOT NULL,
    next_action_at BIGINT NOT NULL,
    deadline_at    BIGINT NOT NULL,
    attempts       BIGINT NOT NULL,
    last_error     TEXT NOT NULL,
    escalated_at   BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    CHECK (next_action = '' OR next_action_at > 0),
    CHECK ((directory_id = '') <> (service_id = ''))
);
CREATE INDEX key_deliveries_due ON key_deliveries (next_action_at, id) WHERE next_action <> '';
CREATE INDEX key_deliveries_to ON key_deliveries (directory_id, service_id, next_action_at, id) WHERE next_action <> '';

-- +goose Down
DROP TABLE key_deliveries;
DROP TABLE key_services;
