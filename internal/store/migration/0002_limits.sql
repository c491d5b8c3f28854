-- +goose Up

-- What all nodes must agree on before they call an authority that has a limit
-- of its own. Instants are microseconds of the database's clock.
CREATE TABLE limits (
    authority_id TEXT PRIMARY KEY,
    free_at      BIGINT NOT NULL,
    urgent_until BIGINT NOT NULL,
    calm_until   BIGINT NOT NULL,
    streak       BIGINT NOT NULL
);

-- The calls that are open at such an authority, each under a lease.
CREATE TABLE slots (
    id           TEXT PRIMARY KEY,
    authority_id TEXT NOT NULL,
    until        BIGINT NOT NULL
);
CREATE INDEX slots_open ON slots (authority_id, until);

-- The authorities that do not answer at the moment.
CREATE TABLE outages (
    authority_id TEXT PRIMARY KEY,
    since        BIGINT NOT NULL,
    seen_at      BIGINT NOT NULL,
    probe_at     BIGINT NOT NULL,
    told_at      BIGINT NOT NULL,
    last_error   TEXT NOT NULL
);

-- How calls to an authority went, hour by hour.
CREATE TABLE experience (
    authority_id TEXT NOT NULL,
    hour         BIGINT NOT NULL,
    calls        BIGINT NOT NULL,
    background   BIGINT NOT NULL,
    failures     BIGINT NOT NULL,
    took         BIGINT NOT NULL,
    PRIMARY KEY (authority_id, hour)
);
CREATE INDEX experience_age ON experience (hour);

-- The last full plan of an authority's renewals.
CREATE TABLE forecasts (
    authority_id TEXT PRIMARY KEY,
    made_at      BIGINT NOT NULL,
    forecast     TEXT NOT NULL
);

-- What is due is taken template by template, so that what ends first comes
-- first; the last column makes the full plan a walk through the index alone.
DROP INDEX certificates_due;
CREATE INDEX certificates_due ON certificates (authority_id, next_action, template_id, next_action_at, id, not_after) WHERE next_action <> '';
-- Who is to hear of a deadline, whatever the planner gets done.
CREATE INDEX certificates_alarm ON certificates (deadline_at, id) WHERE next_action <> '' AND escalated_at = 0;

-- New enrolments and renewals each have their own line.
DROP INDEX requests_due;
CREATE INDEX requests_due_new ON requests (authority_id, next_action_at, id) WHERE next_action <> '' AND renews = '';
CREATE INDEX requests_due_renewal ON requests (authority_id, next_action_at, id) WHERE next_action <> '' AND renews <> '';

-- +goose Down
DROP INDEX requests_due_renewal;
DROP INDEX requests_due_new;
CREATE INDEX requests_due ON requests (authority_id, next_action_at, id) WHERE next_action <> '';
DROP INDEX certificates_alarm;
DROP INDEX certificates_due;
CREATE INDEX certificates_due ON certificates (authority_id, next_action_at, id) WHERE next_action <> '';
DROP TABLE forecasts;
DROP TABLE experience;
DROP TABLE outages;
DROP TABLE slots;
DROP TABLE limits;
