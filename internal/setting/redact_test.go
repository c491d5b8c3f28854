package setting

import "testing"

func TestWithoutPassword(t *testing.T) {
	for text, want := range map[string]string{
		"postgres://ada:hush@db.example.org/pki":   "postgres://ada:[secret]@db.example.org/pki",
		"postgres://ada:h@u:sh@db/pki":             "postgres://ada:[secret]@db/pki",
		"postgres://:hush@db":                      "postgres://:[secret]@db",
		"database = postgres://a:b@c/d (file x@y)": "database = postgres://a:[secret]@c/d (file x@y)",
		"postgres://ada@db:5432/pki?sslmode=a@b":   "postgres://ada@db:5432/pki?sslmode=a@b",
		"http://[::1]:8600/a:b@c":                  "http://[::1]:8600/a:b@c",
		"sqlite:/var/lib/chancery.db":              "sqlite:/var/lib/chancery.db",
		"":                                         "",
	} {
		if got := WithoutPassword(text); got != want {
			t.Errorf("%q becomes %q; want %q", text, got, want)
		}
	}
}
