-- +goose Up

-- How many rows of a kind there are, by what people count them by.
CREATE TABLE tallies (
    kind         TEXT NOT NULL,
    group_id     TEXT NOT NULL,
    authority_id TEXT NOT NULL,
    item         TEXT NOT NULL,
    n            BIGINT NOT NULL,
    PRIMARY KEY (kind, group_id, authority_id, item)
);
INSERT INTO tallies (kind, group_id, authority_id, item, n)
SELECT CASE WHEN purpose = '' THEN 'certificates' ELSE 'own certificates' END, group_id, authority_id, state, count(*) FROM certificates GROUP BY 1, 2, 3, 4
UNION ALL SELECT 'requests', group_id, '', state, count(*) FROM requests GROUP BY group_id, state
UNION ALL SELECT 'devices', group_id, '', platform, count(*) FROM devices GROUP BY group_id, platform;

-- Texts by parts of which rows are found: those that wait, and blocks of them.
-- A tab ends the key of a row and a line feed its text.
CREATE TABLE unsearched (
    kind  TEXT NOT NULL,
    n     TEXT NOT NULL,
    texts TEXT NOT NULL,
    PRIMARY KEY (kind, n)
);
INSERT INTO unsearched (kind, n, texts)
SELECT kind, id, id || '	' || replace(replace(text, '	', ' '), '
', ' ') || '
' FROM (
    SELECT 'certificates' AS kind, id, subject_folded AS text FROM certificates
    UNION ALL SELECT 'requests', id, search || ' ' || id FROM requests
    UNION ALL SELECT 'devices', id, search FROM devices
    UNION ALL SELECT 'users', id, search FROM users
) AS texts;
CREATE TABLE text_blocks (
    kind  TEXT NOT NULL,
    id    TEXT NOT NULL,
    grams BYTEA NOT NULL,
    texts TEXT NOT NULL,
    PRIMARY KEY (kind, id)
);

-- The last commit of each writer, for those who lost their connection in it.
CREATE TABLE commits (
    lane  TEXT PRIMARY KEY,
    token TEXT NOT NULL,
    at    BIGINT NOT NULL
);

-- What belongs to few groups or to a small authority, in the order of lists.
CREATE INDEX certificates_group ON certificates (group_id, id);
CREATE INDEX certificates_authority ON certificates (authority_id, id);
CREATE INDEX requests_group ON requests (group_id, id);
CREATE INDEX requests_user ON requests (user_id, id);
CREATE INDEX devices_state ON devices (state, id);
CREATE INDEX audit_group ON audit (group_id, seq);
-- What ends in some span, with all that is asked of it beside that.
DROP INDEX certificates_not_after;
CREATE INDEX certificates_not_after ON certificates (not_after, id, state, purpose, authority_id, group_id, next_action);
-- What is late, which every first page asks.
CREATE INDEX certificates_late ON certificates (deadline_at) WHERE next_action <> '' AND deadline_at > 0;

-- +goose Down
DROP INDEX certificates_late;
DROP INDEX certificates_not_after;
CREATE INDEX certificates_not_after ON certificates (not_after, id, state, authority_id, next_action);
DROP INDEX audit_group;
DROP INDEX devices_state;
DROP INDEX requests_user;
DROP INDEX requests_group;
DROP INDEX certificates_authority;
DROP INDEX certificates_group;
DROP TABLE commits;
DROP TABLE text_blocks;
DROP TABLE unsearched;
DROP TABLE tallies;
