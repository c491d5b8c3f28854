package store

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"chancery/internal/ra"
)

// A part of a text is found among a million rows by blocks. A block holds the
// texts of a few hundred rows, and before them a bitmap of the three and four
// bytes long pieces (grams) that occur in any of them. A search reads the
// bitmaps, which is a few megabytes, and then the texts of the blocks that may
// hold what is looked for; nearly all others are ruled out. What it finds are
// candidates: the list looks at the rows themselves, so a block that has become
// wrong because a row was renamed or deleted does no harm.
//
// New texts wait in a table of their own, which a search reads as well, until
// there are enough for a block; the end of a batch of changes makes those. The
// audit log needs no such table, for its entries are numbered without gaps.
//
// A text of one or two bytes has no grams, and one that very many rows hold
// needs no help: then the list is walked in its order until the page is full.

const (
	blockRows  = 256     // at least, and less than twice as many
	gramBits   = 1 << 15 // of the bitmap of a block; about one in six is set
	shortest   = 3       // bytes of a text that blocks are asked for
	longest    = 1000
	blocksRead = 256 // bitmaps held at a time
	// mostWaiting bounds what one commit does after an upgrade of a large database.
	mostWaiting = 5_000

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
	if id := r.identity(); tx.texts[id] != text {
		tx.unsearched = append(tx.unsearched, newText{kind, id, text})
	}
	tx.remember(r)
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

// putTexts keeps new texts: as blocks where there are enough of a kind, else to
// wait for more. The audit lock is held.
func (tx *Tx) putTexts(texts []newText) error {
	if len(texts) == 0 {
		return nil
	}
	kinds := map[string]*rowTextList{}
	for _, t := range texts {
		if kinds[t.kind] == nil {
			kinds[t.kind] = &rowTextList{}
		}
		kinds[t.kind].add(t.id, t.text)
	}
	more, full := false, tx.db.unfolded.Add(int64(len(texts))) >= blockRows
	for _, kind := range searchedKinds {
		l := kinds[kind]
		if full {
			if l == nil {
				l = &rowTextList{}
			}
			left, err := tx.fold(kind, l)
			if err != nil {
				return err
			}
			more = more || left
		}
		if l == nil || len(*l) == 0 {
			continue
		}
		if _, err := tx.exec("INSERT INTO unsearched (kind, n, texts) VALUES ($1, $2, $3)", kind, rand.Text(), l.String()); err != nil {
			return err
		}
	}
	if full && !more {
		tx.db.unfolded.Store(0)
	}
	return nil
}

// waitingTexts are texts that are in no block so far.
type waitingTexts struct {
	N     string `db:"n"`
	Texts string `db:"texts"`
}

// fold adds the texts of a kind that wait to new ones, and makes blocks of all
// when they are enough; more tells that not all were looked at.
func (tx *Tx) fold(kind string, l *rowTextList) (more bool, err error) {
	waiting, err := scan[waitingTexts](tx.x.QueryContext(tx.ctx, "SELECT n, texts FROM unsearched WHERE kind = $1 LIMIT $2", kind, mostWaiting))
	if err != nil {
		return false, err
	}
	all := slices.Clone(*l)
	for _, t := range waiting {
		rows := strings.SplitAfter(t.Texts, endOfRow)
		all = append(all, rows[:len(rows)-1]...)
	}
	if len(all) < blockRows {
		return len(waiting) == mostWaiting, nil
	}
	for _, t := range waiting {
		if _, err := tx.exec("DELETE FROM unsearched WHERE kind = $1 AND n = $2", kind, t.N); err != nil {
			return false, err
		}
	}
	*l = nil
	for len(all) > 0 {
		n := len(all)
		if n >= 2*blockRows {
			n = blockRows
		}
		if err := tx.putBlock(kind, ra.NewID[string]("blk", tx.Now), all[:n]); err != nil {
			return false, err
		}
		all = all[n:]
	}
	return len(waiting) == mostWaiting, nil
}

// foldAudit makes the blocks of the audit log that are complete, up to the last
// number, now that it grew beyond another.
func (tx *Tx) foldAudit(before, last int64) error {
	if before/blockRows == last/blockRows {
		return nil
	}
	var newest string
	if err := tx.x.GetContext(tx.ctx, &newest, "SELECT coalesce(max(id), '') FROM text_blocks WHERE kind = 'audit'"); err != nil {
		return err
	}
	first := auditEnd(newest) + blockRows
	for end := first; end <= min(last, first+mostWaiting); end += blockRows {
		rows, err := scan[auditText](tx.x.QueryContext(tx.ctx, "SELECT seq, search FROM audit WHERE seq > $1 AND seq <= $2", end-blockRows, end))
		if err != nil {
			return err
		}
		var l rowTextList
		for _, r := range rows {
			l.add(strconv.FormatInt(r.Seq, 10), r.Search)
		}
		if err := tx.putBlock("audit", fmt.Sprintf("%020d", end), l); err != nil {
			return err
		}
	}
	return nil
}

// auditEnd gives the number of the last entry in a block; 0 for none.
func auditEnd(block string) int64 {
	n, _ := strconv.ParseInt(block, 10, 64) // made by foldAudit
	return n
}

type auditText struct {
	Seq    int64  `db:"seq"`
	Search string `db:"search"`
}

// rowTextList is the texts of rows, each with the key of its row before it.
type rowTextList []string

func (l *rowTextList) add(key, text string) {
	*l = append(*l, key+endOfKey+oneLine(text)+endOfRow)
}

// String gives the form in which a list is kept.
func (l rowTextList) String() string { return strings.Join(l, "") }

// oneLine gives a text without what separates texts.
func oneLine(text string) string {
	return strings.NewReplacer(endOfKey, " ", endOfRow, " ").Replace(text)
}

// grams gives the places of a text's grams in the bitmap.
func grams(text string) []uint32 {
	out := make([]uint32, 0, 2*len(text))
	for i := range len(text) - shortest + 1 {
		g := uint32(text[i]) | uint32(text[i+1])<<8 | uint32(text[i+2])<<16
		out = append(out, g*0x9e3779b1>>(32-15))
		if i+shortest < len(text) {
			out = append(out, (g|uint32(text[i+3])<<24)*0x85ebca6b>>(32-15))
		}
	}
	return out
}

func (tx *Tx) putBlock(kind, id string, l rowTextList) error {
	var bitmap [gramBits / 8]byte
	for _, row := range l {
		_, text, _ := strings.Cut(strings.TrimSuffix(row, endOfRow), endOfKey)
		for _, g := range grams(text) {
			bitmap[g/8] |= 1 << (g % 8)
		}
	}
	_, err := tx.exec("INSERT INTO text_blocks (kind, id, grams, texts) VALUES ($1, $2, $3, $4)", kind, id, bitmap[:], l.String())
	return err
}

// search gives the keys of the rows of a kind that may hold a folded text; ok
// is false when that is not worth asking, or when there are very many.
func (tx *Tx) search(kind, text string) (keys []string, ok bool, err error) {
	if text = oneLine(text); len(text) < shortest || len(text) > longest {
		return nil, false, nil
	}
	wanted := grams(text)
	after := ""
	for {
		rows, err := scan[blockGrams](tx.x.QueryContext(tx.long(), "SELECT id, grams FROM text_blocks WHERE kind = $1 AND id > $2 ORDER BY id LIMIT $3", kind, after, blocksRead))
		if err != nil {
			return nil, false, err
		}
		for _, r := range rows {
			if after = r.ID; !r.mayHold(wanted) {
				continue
			}
			var texts string
			if err := tx.x.GetContext(tx.ctx, &texts, "SELECT texts FROM text_blocks WHERE kind = $1 AND id = $2", kind, r.ID); err != nil {
				return nil, false, err
			}
			if keys = matching(keys, texts, text); len(keys) >= fewRows {
				return nil, false, nil
			}
		}
		if len(rows) < blocksRead {
			break
		}
	}
	if kind == "audit" {
		var last []string
		err = tx.x.SelectContext(tx.ctx, &last, "SELECT CAST(seq AS TEXT) FROM audit WHERE seq > $1 LIMIT $2", auditEnd(after), fewRows)
		keys = append(keys, last...)
		return keys, len(keys) < fewRows, err
	}
	waiting, err := scan[waitingTexts](tx.x.QueryContext(tx.ctx, "SELECT n, texts FROM unsearched WHERE kind = $1", kind))
	for _, t := range waiting {
		keys = matching(keys, t.Texts, text)
	}
	return keys, len(keys) < fewRows, err
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
	for {
		at := strings.Index(texts, text)
		if at < 0 {
			return keys
		}
		from := strings.LastIndex(texts[:at], endOfRow) + 1
		end := strings.Index(texts[at:], endOfRow)
		if end < 0 {
			return keys
		}
		key, _, _ := strings.Cut(texts[from:at+end], endOfKey)
		keys = append(keys, key)
		texts = texts[at+end+1:]
	}
}

// narrow has a list look at the rows that may hold a text, where they are few;
// also names further ones.
func (tx *Tx) narrow(w *where, kind, text string, also ...string) error {
	text = ra.Fold(text)
	keys, ok, err := tx.search(kind, text)
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
