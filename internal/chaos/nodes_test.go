package chaos

import (
	"testing"

	"chancery/internal/testpeer"
)

// TestThreeNodes: work shared, sessions and challenges valid everywhere, no
// enrolment failed and nothing double while nodes and the database go down.
func TestThreeNodes(t *testing.T) {
	r, err := RunNodes(t.Context(), testpeer.PostgresServer(t), 1)
	t.Log(r)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Flaws()) > 0 {
		t.Fail()
	}
}
