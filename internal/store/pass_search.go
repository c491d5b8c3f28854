package store

import "chancery/internal/ra"

// PassSearch is a PassFilter for people: it looks at what no index leads to,
// too.
type PassSearch struct {
	PassFilter
	Model       ra.PassModel
	Transaction string // the whole of it
	Text        string // part of the subject, the transaction ID or the pass ID; of ASCII letters in any case
}

// SearchPasses lists passes, newest first. The filter's signer and marker are
// not looked at.
func (tx *Tx) SearchPasses(f PassSearch) ([]*ra.Pass, string, error) {
	w := &where{}
	if err := tx.scope(w, f.Groups); err != nil {
		return nil, "", err
	}
	among(w, "state", f.States)
	w.equal("model", string(f.Model))
	w.equal("transaction_id", f.Transaction)
	w.equal("authority_id", string(f.Authority))
	w.equal("template_id", string(f.Template))
	w.owner("device_id", string(f.Device))
	w.owner("next_action", string(f.Action))
	if f.LateOnly {
		w.add("next_action <> '' AND deadline_at > 0 AND deadline_at < ?", millis(tx.Now))
	}
	w.contains(f.Text, "LOWER(subject)", "LOWER(transaction_id)", "id")
	return find[ra.Pass, passRow](tx, "passes", w, f.Page, sorting{"": {"id", true}})
}
