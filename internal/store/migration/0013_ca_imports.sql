-- +goose Up

-- How the certificates that an authority issued without this server are taken
-- over, and how far that has come.
CREATE TABLE ca_imports (
    id             TEXT PRIMARY KEY REFERENCES authorities (id),
    group_id       TEXT NOT NULL REFERENCES groups (id),
    scope          TEXT NOT NULL,
    adopt          TEXT NOT NULL,
    every          BIGINT NOT NULL,
    position       BIGINT NOT NULL,
    begun          BIGINT NOT NULL,
    basis          TEXT NOT NULL,
    since          BIGINT NOT NULL,
    full_at        BIGINT NOT NULL,
    imported       BIGINT NOT NULL,
    ended_at       BIGINT NOT NULL,
    updated_by     TEXT NOT NULL,
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
CREATE INDEX ca_imports_due ON ca_imports (next_action_at, id) WHERE next_action <> '';

-- The runs that do it.
CREATE TABLE ca_import_runs (
    id           TEXT PRIMARY KEY,
    authority_id TEXT NOT NULL REFERENCES authorities (id),
    state        TEXT NOT NULL,
    value        TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
);
CREATE INDEX ca_import_runs_authority ON ca_import_runs (authority_id, id);
CREATE INDEX ca_import_runs_open ON ca_import_runs (id) WHERE state IN ('waiting', 'running');

-- Where each certificate that was taken over comes from.
CREATE TABLE imported_certificates (
    certificate_id TEXT PRIMARY KEY REFERENCES certificates (id),
    authority_id   TEXT NOT NULL,
    run_id         TEXT NOT NULL,
    number         BIGINT NOT NULL,
    requester      TEXT NOT NULL,
    template       TEXT NOT NULL,
    at             BIGINT NOT NULL
);
CREATE INDEX imported_certificates_run ON imported_certificates (run_id);

-- The certificates that their authority has put on hold, not this server: only
-- these are taken off hold when it releases them.
CREATE TABLE authority_holds (
    certificate_id TEXT PRIMARY KEY REFERENCES certificates (id),
    held_at        BIGINT NOT NULL
);

-- What an authority's records and ours do not agree on.
CREATE TABLE ca_differences (
    id             TEXT PRIMARY KEY,
    authority_id   TEXT NOT NULL REFERENCES authorities (id),
    group_id       TEXT NOT NULL REFERENCES groups (id),
    kind           TEXT NOT NULL,
    certificate_id TEXT NOT NULL REFERENCES certificates (id),
    number         BIGINT NOT NULL,
    serial         TEXT NOT NULL,
    subject        TEXT NOT NULL,
    requester      TEXT NOT NULL,
    template       TEXT NOT NULL,
    request_id     TEXT NOT NULL,
    subject_folded TEXT NOT NULL,
    search         TEXT NOT NULL,
    found_at       BIGINT NOT NULL,
    settled_at     BIGINT NOT NULL,
    settled_by     TEXT NOT NULL,
    comment        TEXT NOT NULL,
    UNIQUE (certificate_id, kind)
);
CREATE INDEX ca_differences_authority ON ca_differences (authority_id, id);
CREATE INDEX ca_differences_open ON ca_differences (authority_id, id) WHERE settled_at = 0;

-- Whom a certificate names is looked up by what it says.
CREATE INDEX users_sid ON users (sid) WHERE sid <> '';
CREATE INDEX users_upn ON users (lower(upn)) WHERE upn <> '';
CREATE INDEX users_email ON users (lower(email)) WHERE email <> '';
CREATE INDEX devices_serial ON devices (lower(serial_number)) WHERE serial_number <> '';

-- +goose Down
DROP INDEX devices_serial;
DROP INDEX users_email;
DROP INDEX users_upn;
DROP INDEX users_sid;
DROP TABLE ca_differences;
DROP TABLE authority_holds;
DROP TABLE imported_certificates;
DROP TABLE ca_import_runs;
DROP TABLE ca_imports;
