-- +goose Up

-- Rows of which nothing is left to be asked have no entry: what most rows have
-- in common is found by walking along the list.
DROP INDEX certificates_not_after;
DROP INDEX certificates_state;
DROP INDEX certificates_state_not_after;
DROP INDEX certificates_waiting;
DROP INDEX certificates_alarm;
DROP INDEX certificates_late;
DROP INDEX certificates_told;
DROP INDEX certificates_failing;
DROP INDEX certificates_device;
DROP INDEX certificates_user;
DROP INDEX certificates_template;
DROP INDEX certificates_authority;
-- By end, state by state; the further columns spare a look at the rows.
CREATE INDEX certificates_ends ON certificates (state, not_after, id, purpose, group_id, authority_id, next_action);
CREATE INDEX certificates_state ON certificates (state, id) WHERE state <> 'valid';
CREATE INDEX certificates_waiting ON certificates (next_action, next_action_at, id, authority_id) WHERE next_action <> '';
CREATE INDEX certificates_failing ON certificates (next_action, authority_id) WHERE next_action = 'renew' AND last_error <> '';
CREATE INDEX certificates_late ON certificates (deadline_at, escalated_at, id) WHERE next_action <> '' AND deadline_at > 0;
CREATE INDEX certificates_device ON certificates (device_id, id) WHERE device_id <> '';
CREATE INDEX certificates_user ON certificates (user_id, id) WHERE user_id <> '';
CREATE INDEX certificates_place ON certificates (authority_id, template_id, id);

DROP INDEX requests_waiting;
DROP INDEX requests_renews;
DROP INDEX requests_state;
DROP INDEX requests_device;
DROP INDEX requests_user;
DROP INDEX requests_spki;
CREATE INDEX requests_renews ON requests (renews) WHERE renews <> '' AND next_action <> '';
CREATE INDEX requests_state ON requests (state, id) WHERE state <> 'issued';
CREATE INDEX requests_device ON requests (device_id, id) WHERE device_id <> '';
CREATE INDEX requests_user ON requests (user_id, id) WHERE user_id <> '';
CREATE INDEX requests_spki ON requests (spki_hash) WHERE next_action <> '';
CREATE INDEX requests_place ON requests (authority_id, template_id, id);

DROP INDEX devices_user;
DROP INDEX devices_state;
CREATE INDEX devices_user ON devices (user_id) WHERE user_id <> '';
CREATE INDEX devices_state ON devices (state, id) WHERE state <> 'enrolled';

DROP INDEX audit_related;
CREATE INDEX audit_related ON audit (related, seq) WHERE related <> '';

-- Where in the audit log another hour begins. Between two of these all entries
-- are of the same hour, whatever the clock did.
CREATE TABLE audit_hours (
    seq  BIGINT PRIMARY KEY,
    hour BIGINT NOT NULL
);
CREATE INDEX audit_hours_hour ON audit_hours (hour, seq);
INSERT INTO audit_hours (seq, hour)
SELECT seq, hour FROM (SELECT seq, at / 3600000 AS hour, lag(at / 3600000) OVER (ORDER BY seq) AS former FROM audit) AS entries
WHERE former IS NULL OR former <> hour;

-- How many certificates a template led to, by state; and how many end on a day,
-- by who does what about it: the item is the day since 1970, with leading
-- zeros, and the next action.
INSERT INTO tallies (kind, group_id, authority_id, item, n)
SELECT 'templates', template_id, '', state, count(*) FROM certificates WHERE purpose = '' AND template_id <> '' GROUP BY template_id, state
UNION ALL SELECT 'ends', '', authority_id, item, count(*) FROM (
    SELECT authority_id, substr('0000000' || CAST(not_after / 86400000 AS TEXT), length(CAST(not_after / 86400000 AS TEXT)), 8) || ' ' || next_action AS item
    FROM certificates WHERE state IN ('valid', 'on_hold')) AS ends GROUP BY authority_id, item;

-- Blocks of texts are made anew, of shorter pieces too.
INSERT INTO unsearched (kind, n, texts) SELECT kind, id, texts FROM text_blocks WHERE kind <> 'audit';
DELETE FROM text_blocks;

-- +goose Down
INSERT INTO unsearched (kind, n, texts) SELECT kind, id, texts FROM text_blocks WHERE kind <> 'audit';
DELETE FROM text_blocks;
DELETE FROM tallies WHERE kind IN ('templates', 'ends');
DROP TABLE audit_hours;
DROP INDEX audit_related;
CREATE INDEX audit_related ON audit (related, seq);
DROP INDEX devices_state;
DROP INDEX devices_user;
CREATE INDEX devices_user ON devices (user_id);
CREATE INDEX devices_state ON devices (state, id);
DROP INDEX requests_place;
DROP INDEX requests_spki;
DROP INDEX requests_user;
DROP INDEX requests_device;
DROP INDEX requests_state;
DROP INDEX requests_renews;
CREATE INDEX requests_waiting ON requests (next_action_at, id) WHERE next_action <> '';
CREATE INDEX requests_renews ON requests (renews) WHERE next_action <> '';
CREATE INDEX requests_state ON requests (state, id);
CREATE INDEX requests_device ON requests (device_id, id);
CREATE INDEX requests_user ON requests (user_id, id);
CREATE INDEX requests_spki ON requests (spki_hash);
DROP INDEX certificates_place;
DROP INDEX certificates_user;
DROP INDEX certificates_device;
DROP INDEX certificates_late;
DROP INDEX certificates_failing;
DROP INDEX certificates_waiting;
DROP INDEX certificates_state;
DROP INDEX certificates_ends;
CREATE INDEX certificates_told ON certificates (authority_id, next_action) WHERE next_action <> '' AND escalated_at > 0;
CREATE INDEX certificates_failing ON certificates (authority_id) WHERE next_action = 'renew' AND last_error <> '';
CREATE INDEX certificates_not_after ON certificates (not_after, id, state, purpose, authority_id, group_id, next_action);
CREATE INDEX certificates_state ON certificates (state, id, purpose, group_id);
CREATE INDEX certificates_state_not_after ON certificates (state, not_after, id);
CREATE INDEX certificates_waiting ON certificates (next_action_at, id) WHERE next_action <> '';
CREATE INDEX certificates_alarm ON certificates (deadline_at, id) WHERE next_action <> '' AND escalated_at = 0;
CREATE INDEX certificates_late ON certificates (deadline_at) WHERE next_action <> '' AND deadline_at > 0;
CREATE INDEX certificates_device ON certificates (device_id, id);
CREATE INDEX certificates_user ON certificates (user_id, id);
CREATE INDEX certificates_template ON certificates (template_id, id);
CREATE INDEX certificates_authority ON certificates (authority_id, id);
