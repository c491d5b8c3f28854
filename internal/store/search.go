package store

import (
	"crypto/rand"
	"maps"
	"slices"
	"strconv"
	"strings"

	"chancery/internal/ra"
)

// A part of a text is found among a million rows by blocks. A block holds the
// texts of a few hundred rows, and before them a bitmap of the short pieces
// (grams, of one to four bytes) that occur in any of them. A search reads the
// bitmaps, which is a few megabytes, and then the texts of the blocks that may
// hold what is looked for; nearly all others are ruled out. What it finds are
// candidates: the list looks at the rows themselves, so a block that has become
// wrong because a row was renamed or deleted does no harm.
//
// New texts wait in a table of their own, which a search reads as well, until
// FoldTexts makes blocks of them. The audit log needs no such table, for its
// entries are numbered without gaps.
//
// A text that very many rows hold needs no help: then the list is walked in its
// order until the page is full.

const (
	blockRows   = 256     // at least, and less than twice as many
	gramBits    = 1 << 15 // of the bitmap of a block; about one in six is set
	longestGram = 4       // bytes
	longest     = 1000    // bytes of a text that blocks are asked for
	blocksRead  = 256     // bitmaps held at a time
	mostKeys    = 4_000   // of rows that hold a text; beyond that there are very many

	endOfKey = "\t"
	endOfRow = "\n"
)

// searched is a row that is found by a part of its text.
type searched interface {
	identity() string
	searchText() (kind, text string)
}

// renamed is one whose text can change.
type renamed interface {
	searched
	renamed()
}

func (r *deviceRow) renamed() {}
func (r *userRow) renamed()   {}

func (r *certificateRow) searchText() (kind, text string) { return "certificates", r.SubjectFolded }
func (r *requestRow) searchText() (kind, text string)     { return "requests", r.Search + "\n" + r.ID }
func (r *deviceRow) searchText() (kind, text string)      { return "devices", r.Search }
func (r *userRow) searchText() (kind, text string)        { return "users", r.Search }
func (r *userRow) identity() string                       { return r.ID }

// newText is that of a row that was stored.
type newText struct{ kind, id, text string }

// notice has a stored row found by its text from now on.
func (tx *Tx) notice(r searched) {
	kind, text := r.searchText()
	id := r.identity()
	if known, ok := tx.texts[id]; !ok || known != text {
		tx.unsearched = append(tx.unsearched, newText{kind, id, text})
	}
	if _, ok := r.(renamed); ok {
		tx.remember(r)
	}
}

// remember notes the text of a row as it is stored.
func (tx *Tx) remember(r searched) {
	if tx.texts == nil {
		tx.texts = map[string]string{}
	}
	_, tx.texts[r.identity()] = r.searchText()
}

// searchedKinds are the tables whose rows are noticed.
var searchedKinds = []string{"certificates", "requests", "devices", "users"}

// putTexts keeps new texts to wait. The audit lock is held.
func (tx *Tx) putTexts(texts []newText) error {
	kinds := map[string]*rowTextList{}
	for _, t := range texts {
		if kinds[t.kind] == nil {
			kinds[t.kind] = &rowTextList{}
		}
		kinds[t.kind].add(t.id, t.text)
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		if _, err := tx.exec("INSERT INTO unsearched (kind, n, texts) VALUES ($1, $2, $3)", kind, rand.Text(), kinds[kind].String()); err != nil {
			return err
		}
	}
	return nil
}

// rowTextList is the texts of rows, each with the key of its row before it.
type rowTextList []string

func (l *rowTextList) add(key, text string) {
	*l = append(*l, key+endOfKey+oneLine(text)+endOfRow)
}

// String gives the form in which a list is kept.
func (l rowTextList) String() string { return strings.Join(l, "") }

// oneLine gives a text without what separates texts.
func oneLine(text string) string { return separators.Replace(text) }

var separators = strings.NewReplacer(endOfKey, " ", endOfRow, " ")

// search gives the keys of the rows of a kind that may hold a folded text; ok
// is false when that is not worth asking, or when there are so many that a walk
// along the list finds page of them sooner.
func (tx *Tx) search(kind, text string, page int) (keys []string, ok bool, err error) {
	if text = oneLine(text); text == "" || len(text) > longest {
		return nil, false, nil
	}
	likely, all, err := tx.likely(kind, text)
	if err != nil {
		return nil, false, err
	}
	if many, err := tx.many(kind, likely, all, text, page); many || err != nil {
		return nil, false, err
	}
	for _, id := range likely {
		var texts string
		if err := tx.x.GetContext(tx.long(), &texts, "SELECT texts FROM text_blocks WHERE kind = $1 AND id = $2", kind, id); err != nil {
			return nil, false, err
		}
		if keys = matching(keys, texts, text); len(keys) >= mostKeys {
			return nil, false, nil
		}
	}
	keys, err = tx.searchNew(kind, text, keys)
	return keys, len(keys) < mostKeys, err
}

// likely gives the blocks that may hold a text, and how many there are in all.
func (tx *Tx) likely(kind, text string) (blocks []string, all int, err error) {
	wanted := grams(nil, text)
	for after := ""; ; {
		rows, err := scan[blockGrams](tx.x.QueryContext(tx.long(), "SELECT id, grams FROM text_blocks WHERE kind = $1 AND id > $2 ORDER BY id LIMIT $3", kind, after, blocksRead))
		if err != nil {
			return nil, 0, err
		}
		for _, r := range rows {
			if after = r.ID; r.mayHold(wanted) {
				blocks = append(blocks, r.ID)
			}
		}
		if all += len(rows); len(rows) < blocksRead {
			return blocks, all, nil
		}
	}
}

// What things cost, in microseconds, roughly: to read the texts of a block, and
// to look at a row in passing.
const (
	blockCost = 45
	rowCost   = 2
	// sampled is how many blocks are read to guess how many rows hold a text.
	sampled = 16
)

// many guesses by a few blocks whether a walk along a list of a kind finds the
// rows of a page sooner than the blocks do.
func (tx *Tx) many(kind string, likely []string, all int, text string, page int) (bool, error) {
	if len(likely) < 4*sampled {
		return false, nil
	}
	var found []string
	for i := range sampled {
		var texts string
		if err := tx.x.GetContext(tx.ctx, &texts, "SELECT texts FROM text_blocks WHERE kind = $1 AND id = $2", kind, likely[i*len(likely)/sampled]); err != nil {
			return false, err
		}
		found = matching(found, texts, text)
	}
	rows := len(found) * len(likely) / sampled
	walk := page * all * blockRows / max(rows, 1) * rowCost
	return walk < len(likely)*blockCost+rows*2*rowCost, nil
}

// searchNew appends the keys of the rows that hold a text and are in no block so
// far.
func (tx *Tx) searchNew(kind, text string, keys []string) ([]string, error) {
	q, args := "SELECT texts FROM unsearched WHERE kind = $1", []any{kind}
	if kind == "audit" {
		var newest string
		if err := tx.x.GetContext(tx.ctx, &newest, "SELECT coalesce(max(id), '') FROM text_blocks WHERE kind = 'audit'"); err != nil {
			return nil, err
		}
		q, args = "SELECT CAST(seq AS TEXT), search FROM audit WHERE seq > $1", []any{auditEnd(newest)}
	}
	rows, err := tx.x.QueryContext(tx.long(), q, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() && len(keys) < mostKeys {
		var key, texts string
		if kind != "audit" {
			if err := rows.Scan(&texts); err != nil {
				return nil, err
			}
			keys = matching(keys, texts, text)
			continue
		}
		if err := rows.Scan(&key, &texts); err != nil {
			return nil, err
		}
		if strings.Contains(oneLine(texts), text) {
			keys = append(keys, key)
		}
	}
	return keys, rows.Err()
}

type blockGrams struct {
	ID    string `db:"id"`
	Grams []byte `db:"grams"`
}

func (b *blockGrams) mayHold(wanted []uint32) bool {
	for _, g := range wanted {
		if int(g/8) >= len(b.Grams) || b.Grams[g/8]&(1<<(g%8)) == 0 {
			return false
		}
	}
	return true
}

// matching appends the keys of the rows that hold a text.
func matching(keys []string, texts, text string) []string {
	for from := 0; ; {
		at := strings.Index(texts[from:], text)
		if at < 0 {
			return keys
		}
		at += from
		row := strings.LastIndex(texts[:at], endOfRow) + 1
		key := strings.Index(texts[row:], endOfKey)
		end := strings.Index(texts[at:], endOfRow)
		if key < 0 || end < 0 {
			return keys
		}
		if at <= row+key { // it is in the key
			from = row + key + len(endOfKey)
			continue
		}
		keys = append(keys, texts[row:row+key])
		from = at + end + len(endOfRow)
	}
}

// narrow has a list look at the rows that may hold a text, where they are few;
// also names further ones.
func (tx *Tx) narrow(w *where, p Page, kind, text string, also ...string) error {
	text = ra.Fold(text)
	rows := p.limit()
	if slices.ContainsFunc(w.conditions, func(c condition) bool { return c.column != "" && c.column != "purpose" && !c.implied }) {
		rows *= 4 // some of those that hold the text are left out
	}
	keys, ok, err := tx.search(kind, text, rows)
	if err != nil || !ok {
		return fit(err)
	}
	if kind != "audit" {
		w.in("id", append(keys, also...))
		return nil
	}
	numbers := make([]any, 0, len(keys))
	for _, k := range keys {
		n, err := strconv.ParseInt(k, 10, 64)
		if err != nil {
			return err
		}
		numbers = append(numbers, n)
	}
	w.any("seq", numbers)
	return nil
}
