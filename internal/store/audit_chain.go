package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"chancery/internal/ra"
)

// auditHead is the end of the audit chain as its writers know it. Without it
// nobody would miss the last entries.
type auditHead struct {
	Seq   int64  `json:"seq"`
	Hash  string `json:"hash"`
	Count int64  `json:"count"`
	Hour  int64  `json:"hour,omitempty"` // of the last entry, in hours since 1970
}

// auditHeadFact is the fact that keeps the head.
const auditHeadFact = "audit.head"

// auditHead gives the head; the zero head when nothing was ever appended.
func (tx *Tx) auditHead() (auditHead, error) {
	var head auditHead
	value, err := tx.Fact(auditHeadFact)
	if errors.Is(err, &ra.Error{Kind: ra.NotFound}) {
		return head, nil
	}
	if err != nil {
		return head, err
	}
	return head, parse(value, &head)
}

// digest is the hash of an entry, SHA-256 in hex. Numbers go in as eight bytes
// and each text after its length, in a fixed order, so that two different
// entries never give the same input.
func (r *auditRow) digest() string {
	h := sha256.New()
	number := func(n int64) { binary.Write(h, binary.BigEndian, n) }
	h.Write([]byte("chancery audit entry 1\n"))
	number(r.Seq)
	number(r.At)
	for _, s := range []string{r.Code, r.Actor, r.ActorID, r.GroupID, r.Object, r.Related, r.Result, r.Message, r.Search, r.Details, r.PrevHash} {
		number(int64(len(s)))
		h.Write([]byte(s))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// AuditReport is what a check of the audit log found.
type AuditReport struct {
	Entries int64  // entries that are there
	Head    string // hash of the last entry, to be compared with a copy kept elsewhere
	Broken  int64  // number of the first entry that is not right; 0 when all are
	Problem string // what is wrong with it; empty when nothing is
}

// auditBatch is how many entries VerifyAudit holds at a time.
const auditBatch = 1000

// VerifyAudit reads the whole audit log and checks that every entry is as it
// was written, in its place, and that none is missing, neither in between nor
// at the end. progress, unless nil, is told now and then how many entries were
// read.
func (tx *Tx) VerifyAudit(progress func(entries int64)) (AuditReport, error) {
	head, err := tx.auditHead()
	if err != nil {
		return AuditReport{}, err
	}
	var report AuditReport
	broken := func(seq int64, problem string, args ...any) {
		if report.Problem == "" {
			report.Broken, report.Problem = seq, fmt.Sprintf(problem, args...)
		}
	}
	last := auditHead{Hour: head.Hour}
	seen := int64(-1 << 63)
	for {
		var rows []*auditRow
		err := tx.x.SelectContext(tx.long(), &rows, fmt.Sprintf("SELECT * FROM audit WHERE seq > $1 ORDER BY seq LIMIT %d", auditBatch), seen)
		if err != nil {
			return AuditReport{}, err
		}
		for _, r := range rows {
			switch {
			case r.Seq != last.Seq+1:
				broken(last.Seq+1, "Entry %d is missing.", last.Seq+1)
			case r.Hash != r.digest():
				broken(r.Seq, "Entry %d was changed after it was written.", r.Seq)
			case r.PrevHash != last.Hash:
				broken(r.Seq, "Entry %d does not follow the entry before it.", r.Seq)
			}
			last.Seq, last.Hash, last.Count = r.Seq, r.Hash, last.Count+1
			seen = r.Seq
		}
		report.Entries, report.Head = last.Count, last.Hash
		if progress != nil {
			progress(report.Entries)
		}
		if len(rows) < auditBatch {
			break
		}
	}
	switch {
	case last.Seq < head.Seq:
		broken(last.Seq+1, "Entry %d is missing: the log ended with entry %d.", last.Seq+1, head.Seq)
	case last.Seq > head.Seq:
		broken(head.Seq+1, "Entry %d was not written by Chancery: the log ends with entry %d.", head.Seq+1, head.Seq)
	case last != head:
		broken(last.Seq, "Entry %d is not the one the log ended with.", last.Seq)
	}
	return report, nil
}
