package hresult

import (
	"errors"
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
)

// TestTable: every code has a name, a sentence and a remedy, no code is there
// twice, and no two tell the same, but for the family of unreadable DER.
func TestTable(t *testing.T) {
	codes, names, sentences, remedies := map[Code]bool{}, map[string]Code{}, map[string]Code{}, map[string]Code{}
	for _, part := range [][]Entry{certsrv, crypt, login, system, rpc} {
		for _, e := range part {
			if codes[e.Code] {
				t.Errorf("%s is in the table twice", e.Code)
			}
			codes[e.Code] = true
			if e.Name == "" || !strings.HasSuffix(e.Sentence, ".") || !strings.HasSuffix(e.Remedy, ".") {
				t.Errorf("%s %q: sentence %q, remedy %q", e.Code, e.Name, e.Sentence, e.Remedy)
			}
			if Normalize(uint32(e.Code)) != e.Code {
				t.Errorf("%s is not in its normal form", e.Code)
			}
			unique(t, "name", names, e.Name, e.Code)
			if !strings.HasPrefix(e.Name, "CRYPT_E_ASN1_") {
				unique(t, "sentence", sentences, e.Sentence, e.Code)
				unique(t, "remedy", remedies, e.Remedy, e.Code)
			}
		}
	}
	if len(table) != len(codes) || len(codes) < 110 {
		t.Errorf("%d codes, %d in the table", len(codes), len(table))
	}
}

func unique(t *testing.T, what string, seen map[string]Code, text string, c Code) {
	t.Helper()
	if other, twice := seen[text]; twice {
		t.Errorf("%s and %s have the same %s %q", other, c, what, text)
	}
	seen[text] = c
}

// TestAliases: what an alias leads to is in the table.
func TestAliases(t *testing.T) {
	for from, to := range aliases {
		if _, ok := table[to]; !ok {
			t.Errorf("%#x leads to %s, which is not in the table", from, to)
		}
	}
}

func TestNormalize(t *testing.T) {
	for in, want := range map[uint32]Code{
		5: AccessDenied, 0x80000009: AccessDenied, 0x80070005: AccessDenied, 0xc0000022: AccessDenied, 0xd0000022: AccessDenied,
		1722: 0x800706ba, 0x6f7: BadStub, 0x721: SecurityPackage, 0x16c9a0d6: 0x800706d9, 0xc000006d: 0x8007052e,
		0x1c01000b: ProtocolError, 0x80094012: 0x80094012, 0xc0ffee00: 0xc0ffee00, 0: 0,
	} {
		if got := Normalize(in); got != want {
			t.Errorf("Normalize(%#x) = %s; want %s", in, got, want)
		}
	}
	if !AccessDenied.Is(5) || AccessDenied.Is(6) {
		t.Error("Is does not compare normal forms")
	}
}

// TestFaults: the codes that the protocols name in faults are known in the form
// they come in.
func TestFaults(t *testing.T) {
	for _, code := range []uint32{5, 0x1c01000b, 0x721, 0x6f7, 0x1c010002, 0x1c010003, 0x1c00001a, 0x80010108, 0x80010113, 0x80010114, 0x16c9a0d6, 1722} {
		if _, ok := table[Normalize(code)]; !ok {
			t.Errorf("%#x is not known", code)
		}
	}
}

func TestError(t *testing.T) {
	e := Error(0x80094012, "Verweigert\r\n\tvom Richtlinienmodul \x1b[31m0x80094012\u202e.\x00rest")
	for _, want := range []string{"may not enrol for this template.", "(0x80094012 CERTSRV_E_TEMPLATE_DENIED)", "The CA says: Verweigert vom Richtlinienmodul [31m0x80094012."} {
		if !strings.Contains(e.Message, want) {
			t.Errorf("%q lacks %q", e.Message, want)
		}
	}
	if strings.Contains(e.Message, "rest") || e.Kind != ra.RefusedByCA || e.Retry != ra.Never || !strings.Contains(e.Remedy, "Enroll") {
		t.Errorf("%+v", e)
	}
	var f *Failure
	if !errors.As(e, &f) || f.Code != 0x80094012 || !strings.Contains(f.Error(), "0x80094012") {
		t.Errorf("cause %v", e.Err)
	}
	if e := Error(0x8009400f, ""); e.Kind != ra.RefusedByCA || e.Retry != 5*time.Minute || strings.Contains(e.Message, "The CA says") {
		t.Errorf("a busy CA: %+v", e)
	}
	if e := Error(1722, ""); e.Kind != ra.Unreachable || e.Retry != 0 {
		t.Errorf("a server that is away: %+v", e)
	}
	if e := Error(0xc0ffee00, "x"); e.Kind != ra.RefusedByCA || !strings.Contains(e.Message, "(0xC0FFEE00)") || !strings.Contains(e.Remedy, "certutil -error 0xC0FFEE00") {
		t.Errorf("an unknown code: %+v", e)
	}
}

func TestClean(t *testing.T) {
	long := Clean(strings.Repeat("ä ", 600))
	if n := len([]rune(long)); n > maxText+2 || !strings.HasSuffix(long, "…") {
		t.Errorf("%d characters, ending %q", n, long[len(long)-8:])
	}
	if got := Clean("  a \t\n b  "); got != "a b" {
		t.Errorf("%q", got)
	}
}
