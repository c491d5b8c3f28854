package store

import "testing"

func TestUnnamed(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "",
		"SELECT 1":                    "SELECT 1",
		"a = $1":                      "a = ?",
		"a = $1 AND b = $2":           "a = ? AND b = ?",
		"VALUES ($1, $2, $3)":         "VALUES (?, ?, ?)",
		"a = $1 AND b = $1":           "a = $1 AND b = $1",
		"a = $2 AND b = $1":           "a = $2 AND b = $1",
		"a = $1 AND b = $3":           "a = $1 AND b = $3",
		"a = $12":                     "a = $12",
		"a = ? AND b = $1":            "a = ? AND b = $1",
		"a = ?1":                      "a = ?1",
		"a <> '' AND b = $1":          "a <> '' AND b = ?",
		"a = '$1' AND b = $1":         "a = '$1' AND b = ?",
		"a = $1 AND b = 'it''s $2 ?'": "a = ? AND b = 'it''s $2 ?'",
		"a = $1 AND b = 'without end": "a = $1 AND b = 'without end",
		"json_extract(a, '$.b') = $1": "json_extract(a, '$.b') = ?",
		"a = $a":                      "a = $a",
		"VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11)": "VALUES (?,?,?,?,?,?,?,?,?,?,?)",
	} {
		if got := unnamed(text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}
