package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"chancery/internal/app"
	caall "chancery/internal/ca/all"
	"chancery/internal/dirpolicy"
	"chancery/internal/keypolicy"
	"chancery/internal/sceppolicy"
	"chancery/internal/setting"
)

// planted lists every field that can hold a secret and has a canary in
// TestCanaries. The tests below find the fields; a new one fails them until it
// has its canary there and its line here.
var planted = map[string][]string{
	"settings": {
		"embedded.key", "embedded.root_key", "embedded.pending_key", "embedded.retired_keys", "embedded.key_pin", "endpoint.static",
		"ndes.challenge", "ndes.client_certificate", "ndes.client_certificate_password", "ndes.keytab", "ndes.password", "scep.challenge",
		"key-service.secret", "key-service.second_secret", "directory.password", "directory.keytab", "directory.key_password",
		"adcs.password", "adcs.keytab", "adcs.agent_file", "adcs.agent_password", "adcs.agent_key_pin",
	},
	"api": {
		"KeyInput.password", "PasswordInput.password",
		"SettingsEmbedded.key", "SettingsEmbedded.key_pin", "SettingsEmbedded.pending_key", "SettingsEmbedded.retired_keys", "SettingsEmbedded.root_key", "SettingsEndpoint.static",
		"SettingsNdes.challenge", "SettingsNdes.client_certificate", "SettingsNdes.client_certificate_password", "SettingsNdes.keytab", "SettingsNdes.password", "SettingsScep.challenge",
		"SettingsKeyService.secret", "SettingsKeyService.second_secret", "SettingsDirectory.password", "SettingsDirectory.keytab", "SettingsDirectory.key_password",
		"SettingsAdcs.password", "SettingsAdcs.keytab", "SettingsAdcs.agent_file", "SettingsAdcs.agent_password", "SettingsAdcs.agent_key_pin",
		"Challenge.challenge", "KeyFile.password", "KeyFile.pkcs12", "Link.link", "Token.token", "PassParameters.challenge", // shown once
	},
	// What the database keeps of secrets is sealed or a hash.
	"schema": {
		"sealed.box", "journal.value", "requests.csr", "keyring.box", "passes.box", "scep_slots.box", // sealed
		"challenges.hash", "admins.password_hash", "tokens.hash", "links.hash", "sessions.hash", "passes.hash", // hashes
		"sessions.data", "passkeys.credential", // no secret: who, and a public key
	},
}

// public are columns whose name or type sounds like a secret and that hold none.
var public = []string{
	"journal.entry_key", "requests.idempotency_key", "requests.key_place", "requests.spki_hash", "certificates.issuer_hash", "certificates.key_type", "certificates.key_place",
	"certificates.der", "certificates.spki_hash", "issuers.spki_hash", "issuers.der", "crls.issuer_hash", "crls.der", "approvals.actor_key", "audit.prev_hash", "audit.hash",
	"bearers.mark", "keyring.key_id", "commits.token", "text_blocks.grams", "text_blocks.texts",
	"pass_answers.message_hash", "passes.signer_hash", "pass_answers.body", // the answer is encrypted to its device
}

func TestEverySecretFieldHasACanary(t *testing.T) {
	var found []string
	for _, k := range caall.Kinds() {
		for _, f := range setting.Secrets(k.New()) {
			found = append(found, k.ID+"."+f.Name)
		}
		if k.NewOptions != nil {
			for _, f := range setting.Secrets(k.NewOptions()) {
				found = append(found, k.ID+".options."+f.Name)
			}
		}
	}
	for _, f := range setting.Secrets(&sceppolicy.Endpoint{}) {
		found = append(found, "endpoint."+f.Name)
	}
	for _, f := range setting.Secrets(&keypolicy.Settings{}) {
		found = append(found, "key-service."+f.Name)
	}
	for _, f := range setting.Secrets(&dirpolicy.Settings{}) {
		found = append(found, "directory."+f.Name)
	}
	for _, f := range setting.Secrets(&app.Config{}) {
		found = append(found, "server."+f.Name)
	}
	compare(t, "settings", found)
}

// TestEverySecretOfTheAPIHasACanary reads the API's own description: what is
// only ever sent, and what is answered once.
func TestEverySecretOfTheAPIHasACanary(t *testing.T) {
	text, err := os.ReadFile("../../internal/api/testdata/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]json.RawMessage `json:"properties"`
			} `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	secretive := regexp.MustCompile(`"writeOnly":true`)
	named := regexp.MustCompile(`^(.*_)?(password|secret|token|challenge|pin|private_key|pkcs12|link|key)$`)
	harmless := []string{"Event.key", "Setting.key", "ImportFault.key", "PublishSpec.key"}
	var found []string
	for schema, s := range doc.Components.Schemas {
		for property, raw := range s.Properties {
			name := schema + "." + property
			text := strings.ReplaceAll(string(raw), " ", "")
			holds := strings.Contains(text, `"string"`)
			if (secretive.MatchString(strings.ReplaceAll(text, "\n", "")) || holds && named.MatchString(property)) && !slices.Contains(harmless, name) {
				found = append(found, name)
			}
		}
	}
	compare(t, "api", found)
}

// TestEverySecretColumnHasACanary reads the migrations: every column of bytes,
// and every one that by its name may hold a secret, is either on the list or
// known to hold none.
func TestEverySecretColumnHasACanary(t *testing.T) {
	files, err := filepath.Glob("../../internal/store/migration/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	table := regexp.MustCompile(`(?i)^CREATE TABLE (\w+) \(`)
	more := regexp.MustCompile(`(?i)^ALTER TABLE (\w+) ADD COLUMN (\w+)\s+(\w+)`)
	column := regexp.MustCompile(`^\s+([a-z_0-9]+)\s+(TEXT|BYTEA)\b`)
	named := regexp.MustCompile(`(^|_)(hash|password|secret|token|key|pin|box|challenge|credential|mark)($|_)`)
	var found []string
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		in := ""
		add := func(name, kind string) {
			full := in + "." + name
			if (kind == "BYTEA" || named.MatchString(name)) && !slices.Contains(public, full) && !regexp.MustCompile(`^crl\w*\.(der|issuer_hash)$`).MatchString(full) {
				found = append(found, full)
			}
		}
		for line := range strings.Lines(up) {
			if m := table.FindStringSubmatch(line); m != nil {
				in = m[1]
			} else if m := more.FindStringSubmatch(line); m != nil {
				in = m[1]
				add(m[2], strings.ToUpper(m[3]))
			} else if m := column.FindStringSubmatch(line); m != nil {
				add(m[1], m[2])
			}
		}
	}
	compare(t, "schema", found)
}

func compare(t *testing.T, what string, found []string) {
	t.Helper()
	slices.Sort(found)
	found = slices.Compact(found)
	want := slices.Sorted(slices.Values(planted[what]))
	for _, f := range found {
		if !slices.Contains(want, f) {
			t.Errorf("%s can hold a secret and has no canary: plant one in TestCanaries and name it in planted[%q]", f, what)
		}
	}
	for _, f := range want {
		if !slices.Contains(found, f) {
			t.Errorf("%s is in planted[%q] and does not exist", f, what)
		}
	}
}
