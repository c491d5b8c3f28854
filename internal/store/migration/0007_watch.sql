-- +goose Up

-- What those who watch the server ask for again and again; rows that are well
-- are in neither.
CREATE INDEX certificates_told ON certificates (authority_id, next_action) WHERE next_action <> '' AND escalated_at > 0;
CREATE INDEX certificates_failing ON certificates (authority_id) WHERE next_action = 'renew' AND last_error <> '';

-- +goose Down
DROP INDEX certificates_failing;
DROP INDEX certificates_told;
