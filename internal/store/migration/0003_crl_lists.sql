-- +goose Up

-- The revocation lists of each issuer key: the complete one, whose name is
-- empty, and those that hold a part of the serial numbers. What a revocation
-- changes is a small row of its own; the signed list is beside it.
CREATE TABLE crl_lists (
    issuer_hash  TEXT NOT NULL,
    name         TEXT NOT NULL,
    authority_id TEXT NOT NULL REFERENCES authorities (id),
    low          TEXT NOT NULL,
    high         TEXT NOT NULL,
    points       TEXT NOT NULL,
    number       BIGINT NOT NULL,
    wanted       BIGINT NOT NULL,
    made         BIGINT NOT NULL,
    this_update  BIGINT NOT NULL,
    next_update  BIGINT NOT NULL,
    PRIMARY KEY (issuer_hash, name)
);
CREATE TABLE crl_bodies (
    issuer_hash TEXT NOT NULL,
    name        TEXT NOT NULL,
    der         BYTEA NOT NULL,
    PRIMARY KEY (issuer_hash, name),
    FOREIGN KEY (issuer_hash, name) REFERENCES crl_lists (issuer_hash, name) ON DELETE CASCADE
);
-- Numbers go on from where they were; the lists are signed anew.
INSERT INTO crl_lists (issuer_hash, name, authority_id, low, high, points, number, wanted, made, this_update, next_update)
    SELECT issuer_hash, '', min(authority_id), '00', 'ff', '[]', max(number), 1, 0, max(this_update), max(next_update) FROM crls GROUP BY issuer_hash;
DROP TABLE crls;

-- A list is read from this index alone, whole or by the last two digits of the
-- serial numbers.
DROP INDEX certificates_revoked;
CREATE INDEX certificates_revoked ON certificates (issuer_hash, substr('00' || serial, length(serial) + 1, 2), serial, state, revoked_at, reason, not_after)
    WHERE state IN ('revoked', 'on_hold');

-- Revocations of everything that a filter finds, done bit by bit.
CREATE TABLE bulks (
    id         TEXT PRIMARY KEY,
    value      TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE bulks;
DROP INDEX certificates_revoked;
CREATE INDEX certificates_revoked ON certificates (issuer_hash, serial) WHERE state IN ('revoked', 'on_hold');
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
INSERT INTO crls (authority_id, issuer_hash, number, this_update, next_update, stale, der)
    SELECT l.authority_id, l.issuer_hash, l.number, l.this_update, l.next_update, TRUE, b.der
    FROM crl_lists l JOIN crl_bodies b ON b.issuer_hash = l.issuer_hash AND b.name = l.name WHERE l.name = '';
DROP TABLE crl_bodies;
DROP TABLE crl_lists;
