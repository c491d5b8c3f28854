-- +goose Up

-- What was last found of the ways into each authority that a guard looks at.
CREATE TABLE postures (
    id             TEXT PRIMARY KEY REFERENCES authorities (id),
    version        BIGINT NOT NULL,
    evaluated_at   BIGINT NOT NULL,
    value          TEXT NOT NULL,
    next_action    TEXT NOT NULL,
    next_action_at BIGINT NOT NULL,
    deadline_at    BIGINT NOT NULL,
    attempts       BIGINT NOT NULL,
    last_error     TEXT NOT NULL,
    escalated_at   BIGINT NOT NULL,
    CHECK (next_action = '' OR next_action_at > 0)
);
CREATE INDEX postures_due ON postures (next_action_at, id) WHERE next_action <> '';

-- The dangers among it, with who signed them off.
CREATE TABLE dangers (
    id             TEXT PRIMARY KEY,
    authority_id   TEXT NOT NULL REFERENCES authorities (id),
    finding        TEXT NOT NULL,
    title          TEXT NOT NULL,
    value          TEXT NOT NULL,
    seen_at        BIGINT NOT NULL,
    next_action    TEXT NOT NULL,
    next_action_at BIGINT NOT NULL,
    deadline_at    BIGINT NOT NULL,
    attempts       BIGINT NOT NULL,
    last_error     TEXT NOT NULL,
    escalated_at   BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    UNIQUE (authority_id, finding),
    CHECK (next_action = '' OR next_action_at > 0)
);
CREATE INDEX dangers_due ON dangers (next_action_at, id) WHERE next_action <> '';

-- +goose Down
DROP TABLE dangers;
DROP TABLE postures;
