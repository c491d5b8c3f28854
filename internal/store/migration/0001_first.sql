-- +goose Up

CREATE TABLE groups (
    id          TEXT PRIMARY KEY,
    parent_id   TEXT NOT NULL,
    name        TEXT NOT NULL,
    name_folded TEXT NOT NULL,
    path        TEXT NOT NULL,
    settings    TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX groups_name ON groups (parent_id, name_folded);

CREATE TABLE users (
    id           TEXT PRIMARY KEY,
    group_id     TEXT NOT NULL REFERENCES groups (id),
    name         TEXT NOT NULL,
    name_folded  TEXT NOT NULL,
    email        TEXT NOT NULL,
    upn          TEXT NOT NULL,
    sid          TEXT NOT NULL,
    first_name   TEXT NOT NULL,
    last_name    TEXT NOT NULL,
    display_name TEXT NOT NULL,
    dn           TEXT NOT NULL,
    attributes   TEXT NOT NULL,
    disabled     BOOLEAN NOT NULL,
    search       TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_name ON users (group_id, name_folded);
CREATE INDEX users_sorted ON users (name_folded, id);

CREATE TABLE devices (
    id              TEXT PRIMARY KEY,
    group_id        TEXT NOT NULL REFERENCES groups (id),
    organization_id TEXT NOT NULL REFERENCES groups (id),
    user_id         TEXT NOT NULL,
    platform        TEXT NOT NULL,
    platform_id     TEXT NOT NULL,
    name            TEXT NOT NULL,
    name_folded     TEXT NOT NULL,
    serial_number   TEXT NOT NULL,
    model           TEXT NOT NULL,
    os_version      TEXT NOT NULL,
    ownership       TEXT NOT NULL,
    attributes      TEXT NOT NULL,
    state           TEXT NOT NULL,
    search          TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL
);
CREATE UNIQUE INDEX devices_identity ON devices (organization_id, platform_id);
CREATE INDEX devices_group ON devices (group_id, id);
CREATE INDEX devices_user ON devices (user_id);
CREATE INDEX devices_platform ON devices (platform, group_id);
CREATE INDEX devices_name ON devices (name_folded, id);

CREATE TABLE authorities (
    id              TEXT PRIMARY KEY,
    group_id        TEXT NOT NULL REFERENCES groups (id),
    name            TEXT NOT NULL,
    name_folded     TEXT NOT NULL UNIQUE,
    description     TEXT NOT NULL,
    kind            TEXT NOT NULL,
    settings        TEXT NOT NULL,
    rate_per_second DOUBLE PRECISION NOT NULL,
    max_in_flight   BIGINT NOT NULL,
    disabled        BOOLEAN NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL
);

-- Secrets live apart from the rows they belong to: nothing that lists, sorts
-- or filters ever touches this table.
CREATE TABLE sealed (
    owner TEXT NOT NULL,
    field TEXT NOT NULL,
    box   BYTEA NOT NULL,
    PRIMARY KEY (owner, field)
);

-- What connectors must know after a crash (ca.Journal).
CREATE TABLE journal (
    authority_id TEXT NOT NULL,
    entry_key    TEXT NOT NULL,
    value        BYTEA NOT NULL,
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (authority_id, entry_key)
);

CREATE TABLE templates (
    id           TEXT PRIMARY KEY,
    group_id     TEXT NOT NULL REFERENCES groups (id),
    authority_id TEXT NOT NULL REFERENCES authorities (id),
    name         TEXT NOT NULL,
    name_folded  TEXT NOT NULL UNIQUE,
    description  TEXT NOT NULL,
    spec         TEXT NOT NULL,
    revision     BIGINT NOT NULL,
    disabled     BOOLEAN NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
);

CREATE TABLE endpoints (
    id          TEXT PRIMARY KEY,
    group_id    TEXT NOT NULL REFERENCES groups (id),
    template_id TEXT NOT NULL REFERENCES templates (id),
    name        TEXT NOT NULL UNIQUE,
    settings    TEXT NOT NULL,
    disabled    BOOLEAN NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);

CREATE TABLE challenges (
    id          TEXT PRIMARY KEY,
    hash        TEXT NOT NULL UNIQUE,
    endpoint_id TEXT NOT NULL REFERENCES endpoints (id),
    template_id TEXT NOT NULL,
    device_id   TEXT NOT NULL REFERENCES devices (id),
    max_uses    BIGINT NOT NULL,
    uses        BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    request_id  TEXT NOT NULL,
    created_by  TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    CHECK (uses <= max_uses)
);
CREATE INDEX challenges_device ON challenges (device_id);
CREATE INDEX challenges_request ON challenges (request_id) WHERE request_id <> '';
CREATE INDEX challenges_expiry ON challenges (expires_at);

CREATE TABLE requests (
    id              TEXT PRIMARY KEY,
    group_id        TEXT NOT NULL REFERENCES groups (id),
    authority_id    TEXT NOT NULL REFERENCES authorities (id),
    template_id     TEXT NOT NULL REFERENCES templates (id),
    template_rev    BIGINT NOT NULL,
    device_id       TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    renews          TEXT NOT NULL,
    door            TEXT NOT NULL,
    endpoint_id     TEXT NOT NULL,
    transaction_id  TEXT NOT NULL,
    idempotency_key TEXT NOT NULL UNIQUE,
    key_place       TEXT NOT NULL,
    csr             BYTEA NOT NULL,
    spki_hash       TEXT NOT NULL,
    subject         TEXT NOT NULL,
    search          TEXT NOT NULL,
    fill            TEXT NOT NULL,
    state           TEXT NOT NULL,
    handle          TEXT NOT NULL,
    certificate_id  TEXT NOT NULL,
    reason          TEXT NOT NULL,
    asked_by        TEXT NOT NULL,
    submitted_at    BIGINT NOT NULL,
    next_action     TEXT NOT NULL,
    next_action_at  BIGINT NOT NULL,
    deadline_at     BIGINT NOT NULL,
    attempts        BIGINT NOT NULL,
    last_error      TEXT NOT NULL,
    escalated_at    BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    CHECK ((next_action = '') = (state IN ('issued', 'denied', 'failed', 'cancelled'))),
    CHECK (next_action = '' OR next_action_at > 0),
    CHECK (state <> 'issued' OR certificate_id <> '')
);
CREATE INDEX requests_due ON requests (authority_id, next_action_at, id) WHERE next_action <> '';
CREATE INDEX requests_waiting ON requests (next_action_at, id) WHERE next_action <> '';
CREATE INDEX requests_renews ON requests (renews) WHERE next_action <> '';
CREATE INDEX requests_state ON requests (state, id);
CREATE INDEX requests_device ON requests (device_id, id);
CREATE INDEX requests_spki ON requests (spki_hash);
CREATE INDEX requests_transaction ON requests (endpoint_id, transaction_id);

CREATE TABLE approvals (
    id         TEXT PRIMARY KEY,
    request_id TEXT NOT NULL REFERENCES requests (id),
    actor_key  TEXT NOT NULL,
    actor      TEXT NOT NULL,
    approve    BOOLEAN NOT NULL,
    comment    TEXT NOT NULL,
    at         BIGINT NOT NULL,
    UNIQUE (request_id, actor_key)
);

CREATE TABLE certificates (
    id             TEXT PRIMARY KEY,
    group_id       TEXT NOT NULL REFERENCES groups (id),
    authority_id   TEXT NOT NULL REFERENCES authorities (id),
    template_id    TEXT NOT NULL,
    device_id      TEXT NOT NULL,
    user_id        TEXT NOT NULL,
    request_id     TEXT NOT NULL,
    purpose        TEXT NOT NULL,
    issuer_hash    TEXT NOT NULL,
    serial         TEXT NOT NULL,
    subject        TEXT NOT NULL,
    subject_folded TEXT NOT NULL,
    sans           TEXT NOT NULL,
    key_type       TEXT NOT NULL,
    key_place      TEXT NOT NULL,
    der            BYTEA NOT NULL,
    fingerprint    TEXT NOT NULL,
    spki_hash      TEXT NOT NULL,
    not_before     BIGINT NOT NULL,
    not_after      BIGINT NOT NULL,
    state          TEXT NOT NULL,
    renews         TEXT NOT NULL,
    renewed_by     TEXT NOT NULL,
    revoked_at     BIGINT NOT NULL,
    reason         BIGINT NOT NULL,
    next_action    TEXT NOT NULL,
    next_action_at BIGINT NOT NULL,
    deadline_at    BIGINT NOT NULL,
    attempts       BIGINT NOT NULL,
    last_error     TEXT NOT NULL,
    escalated_at    BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    CHECK (state NOT IN ('valid', 'superseded', 'on_hold') OR next_action <> ''),
    CHECK (next_action = '' OR next_action_at > 0),
    CHECK (state NOT IN ('revoked', 'on_hold') OR revoked_at > 0)
);
CREATE UNIQUE INDEX certificates_identity ON certificates (serial, issuer_hash);
CREATE UNIQUE INDEX certificates_request ON certificates (request_id) WHERE request_id <> '';
CREATE INDEX certificates_due ON certificates (authority_id, next_action_at, id) WHERE next_action <> '';
CREATE INDEX certificates_waiting ON certificates (next_action_at, id) WHERE next_action <> '';
-- The further columns of the next two spare counts a look at the rows.
CREATE INDEX certificates_not_after ON certificates (not_after, id, state, authority_id, next_action);
CREATE INDEX certificates_state ON certificates (state, id, purpose, group_id);
CREATE INDEX certificates_state_not_after ON certificates (state, not_after, id);
CREATE INDEX certificates_subject ON certificates (subject_folded, id);
CREATE INDEX certificates_device ON certificates (device_id, id);
CREATE INDEX certificates_user ON certificates (user_id, id);
CREATE INDEX certificates_template ON certificates (template_id, id);
CREATE INDEX certificates_spki ON certificates (spki_hash);
CREATE INDEX certificates_fingerprint ON certificates (fingerprint);
CREATE INDEX certificates_own ON certificates (authority_id, purpose, not_after, id) WHERE purpose <> '';
CREATE INDEX certificates_revoked ON certificates (issuer_hash, serial) WHERE state IN ('revoked', 'on_hold');

-- The certificates of authorities: issuers, roots, predecessors.
CREATE TABLE issuers (
    authority_id TEXT NOT NULL REFERENCES authorities (id),
    fingerprint  TEXT NOT NULL,
    spki_hash    TEXT NOT NULL,
    position     BIGINT NOT NULL,
    der          BYTEA NOT NULL,
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (authority_id, fingerprint)
);
CREATE INDEX issuers_spki ON issuers (spki_hash);

CREATE TABLE crls (
    authority_id TEXT NOT NULL REFERENCES authorities (id),
    issuer_hash  TEXT NOT NULL,
    number       BIGINT NOT NULL,
    this_update  BIGINT NOT NULL,
    next_update  BIGINT NOT NULL,
    stale        BOOLEAN NOT NULL,
    der          BYTEA NOT NULL,
    PRIMARY KEY (authority_id, issuer_hash)
);

-- By which mark a door knows who asked for a request, when no row tells.
CREATE TABLE bearers (
    endpoint_id TEXT NOT NULL,
    mark        TEXT NOT NULL,
    request_id  TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (endpoint_id, mark)
);
CREATE INDEX bearers_age ON bearers (created_at);

CREATE TABLE admins (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL,
    name_folded   TEXT NOT NULL UNIQUE,
    display_name  TEXT NOT NULL,
    email         TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    disabled      BOOLEAN NOT NULL,
    grants        TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL
);

CREATE TABLE passkeys (
    id         TEXT PRIMARY KEY,
    admin_id   TEXT NOT NULL REFERENCES admins (id),
    name       TEXT NOT NULL,
    credential BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX passkeys_admin ON passkeys (admin_id);

CREATE TABLE tokens (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    hash         TEXT NOT NULL UNIQUE,
    grants       TEXT NOT NULL,
    created_by   TEXT NOT NULL,
    person       TEXT NOT NULL,
    expires_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
);

-- One-time links: sign-in and download. Only a hash of the secret is kept.
CREATE TABLE links (
    hash       TEXT PRIMARY KEY,
    purpose    TEXT NOT NULL,
    subject    TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE sessions (
    hash       TEXT PRIMARY KEY,
    data       BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE audit (
    seq       BIGINT PRIMARY KEY,
    at        BIGINT NOT NULL,
    code      TEXT NOT NULL,
    actor     TEXT NOT NULL,
    actor_id  TEXT NOT NULL,
    group_id  TEXT NOT NULL,
    object    TEXT NOT NULL,
    related   TEXT NOT NULL,
    result    TEXT NOT NULL,
    message   TEXT NOT NULL,
    search    TEXT NOT NULL,
    details   TEXT NOT NULL,
    prev_hash TEXT NOT NULL,
    hash      TEXT NOT NULL
);
CREATE INDEX audit_object ON audit (object, seq);
CREATE INDEX audit_related ON audit (related, seq);
CREATE INDEX audit_actor ON audit (actor_id, seq);
CREATE INDEX audit_code ON audit (code, seq);

-- Facts about this installation: when it was made, schema of exports.
CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- +goose Down
DROP TABLE facts;
DROP TABLE audit;
DROP TABLE sessions;
DROP TABLE links;
DROP TABLE tokens;
DROP TABLE passkeys;
DROP TABLE admins;
DROP TABLE bearers;
DROP TABLE crls;
DROP TABLE issuers;
DROP TABLE certificates;
DROP TABLE approvals;
DROP TABLE requests;
DROP TABLE challenges;
DROP TABLE endpoints;
DROP TABLE templates;
DROP TABLE journal;
DROP TABLE sealed;
DROP TABLE authorities;
DROP TABLE devices;
DROP TABLE users;
DROP TABLE groups;
