-- +goose Up

-- What lets one device enrol at a SCEP server that is not ours.
CREATE TABLE passes (
    id              TEXT PRIMARY KEY,
    group_id        TEXT NOT NULL REFERENCES groups (id),
    authority_id    TEXT NOT NULL REFERENCES authorities (id),
    template_id     TEXT NOT NULL REFERENCES templates (id),
    template_rev    BIGINT NOT NULL,
    device_id       TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    model           TEXT NOT NULL,
    state           TEXT NOT NULL,
    hash            TEXT NOT NULL,
    box             BYTEA NOT NULL,
    subject         TEXT NOT NULL,
    marker          TEXT NOT NULL,
    fill            TEXT NOT NULL,
    transaction_id  TEXT NOT NULL,
    signer_hash     TEXT NOT NULL,
    messages        BIGINT NOT NULL,
    max_messages    BIGINT NOT NULL,
    failures        BIGINT NOT NULL,
    pki_status      TEXT NOT NULL,
    fail_info       TEXT NOT NULL,
    certificate_id  TEXT NOT NULL,
    confirmed       BOOLEAN NOT NULL,
    renews          TEXT NOT NULL,
    renew_at        BIGINT NOT NULL,
    challenges      BIGINT NOT NULL,
    revealed_at     BIGINT NOT NULL,
    challenge_until BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    hops            BIGINT NOT NULL,
    reason          TEXT NOT NULL,
    created_by      TEXT NOT NULL,
    next_action     TEXT NOT NULL,
    next_action_at  BIGINT NOT NULL,
    deadline_at     BIGINT NOT NULL,
    attempts        BIGINT NOT NULL,
    last_error      TEXT NOT NULL,
    escalated_at    BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    CHECK ((next_action = '') = (state IN ('done', 'failed', 'expired', 'revoked'))),
    CHECK (next_action = '' OR next_action_at > 0),
    CHECK (state NOT IN ('claimed', 'pending') OR model = 'delegate' OR signer_hash <> ''),
    CHECK (model <> 'proxy' OR hash <> '')
);
CREATE UNIQUE INDEX passes_hash ON passes (hash) WHERE hash <> '';
CREATE INDEX passes_due ON passes (next_action_at, id) WHERE next_action <> '';
CREATE INDEX passes_device ON passes (device_id, id);
CREATE INDEX passes_group ON passes (group_id, id);
CREATE INDEX passes_signer ON passes (signer_hash, id) WHERE signer_hash <> '';
CREATE INDEX passes_marker ON passes (marker, id) WHERE marker <> '';
CREATE INDEX passes_certificate ON passes (certificate_id) WHERE certificate_id <> '';
CREATE INDEX passes_renews ON passes (renews) WHERE renews <> '' AND next_action <> '';
CREATE INDEX passes_renewal ON passes (renew_at) WHERE renew_at > 0;

-- The messages that were passed on with a pass, and the whole answer to each
-- once there is one: the same message again gets the same answer.
CREATE TABLE pass_answers (
    pass_id      TEXT NOT NULL,
    message_hash TEXT NOT NULL,
    tries        BIGINT NOT NULL,
    sent_at      BIGINT NOT NULL,
    answered_at  BIGINT NOT NULL,
    pki_status   TEXT NOT NULL,
    media        TEXT NOT NULL,
    body         BYTEA NOT NULL,
    PRIMARY KEY (pass_id, message_hash)
);
CREATE INDEX pass_answers_age ON pass_answers (sent_at);

-- The challenges that a server has given out and nobody has used yet, and who
-- waits for one. Instants are microseconds of the database's clock.
CREATE TABLE scep_slots (
    authority_id TEXT NOT NULL,
    id           TEXT NOT NULL,
    state        TEXT NOT NULL,
    box          BYTEA NOT NULL,
    since        BIGINT NOT NULL,
    fetched_at   BIGINT NOT NULL,
    until        BIGINT NOT NULL,
    ends_at      BIGINT NOT NULL,
    PRIMARY KEY (authority_id, id)
);
CREATE INDEX scep_slots_end ON scep_slots (until);

-- What happened on the way of a pass or request, in order.
CREATE TABLE hops (
    owner_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    step     TEXT NOT NULL,
    result   TEXT NOT NULL,
    took     BIGINT NOT NULL,
    message  TEXT NOT NULL,
    remedy   TEXT NOT NULL,
    fields   TEXT NOT NULL,
    PRIMARY KEY (owner_id, position)
);

-- +goose Down
DROP TABLE hops;
DROP TABLE scep_slots;
DROP TABLE pass_answers;
DROP TABLE passes;
