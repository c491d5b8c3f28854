package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"chancery/internal/ra"
)

// Blocks of texts are made beside the work: whoever stores a row only leaves
// its text behind. One step makes a few blocks, which keeps those who write
// from writing for a millisecond or two; everything else happens before.

// foldedAtOnce is how many texts one step folds, unless they were stored
// together.
const foldedAtOnce = 4 * blockRows

// errFolded says that another node folded the same texts.
var errFolded = errors.New("store: the texts are in a block already")

// FoldTexts makes blocks of the texts that wait, as far as there are enough of
// a kind. Searches find texts just as well before, but have to read all of
// those. Several nodes may do it at the same time. When ctx ends, what was
// folded so far stays so.
func (db *DB) FoldTexts(ctx context.Context) error {
	for _, kind := range searchedKinds {
		for more := true; more; {
			var err error
			if more, err = db.foldSome(ctx, kind); errors.Is(err, errFolded) {
				break // it goes on with them
			} else if err != nil {
				return err
			}
		}
	}
	for more := true; more; {
		var err error
		if more, err = db.foldAudit(ctx); errors.Is(err, errFolded) {
			break
		} else if err != nil {
			return err
		}
	}
	return nil
}

// foldSome makes one step with a kind; more tells that another makes sense.
func (db *DB) foldSome(ctx context.Context, kind string) (more bool, err error) {
	var texts rowTextList
	var taken []string
	if err := db.Read(ctx, func(tx *Tx) error {
		var waiting []string
		if err := tx.x.SelectContext(tx.ctx, &waiting, "SELECT n FROM unsearched WHERE kind = $1 LIMIT $2", kind, foldedAtOnce); err != nil {
			return err
		}
		for _, n := range waiting {
			var some []string
			if err := tx.x.SelectContext(tx.ctx, &some, "SELECT texts FROM unsearched WHERE kind = $1 AND n = $2", kind, n); err != nil {
				return err
			}
			taken = append(taken, n)
			for _, t := range some {
				rows := strings.SplitAfter(t, endOfRow)
				texts = append(texts, rows[:len(rows)-1]...)
			}
			if len(texts) >= foldedAtOnce {
				more = true
				return nil
			}
		}
		return nil
	}); err != nil || len(texts) < blockRows {
		return false, err
	}
	var blocks []textBlock
	for len(texts) > 0 {
		n := len(texts)
		if n >= 2*blockRows {
			n = blockRows
		}
		blocks = append(blocks, newBlock(kind, ra.NewID[string]("blk", db.now()), texts[:n]))
		texts = texts[n:]
	}
	return more, db.Write(ctx, func(tx *Tx) error {
		for _, n := range taken {
			if gone, err := tx.exec("DELETE FROM unsearched WHERE kind = $1 AND n = $2", kind, n); err != nil {
				return err
			} else if gone == 0 {
				return errFolded
			}
		}
		return tx.putBlocks(blocks)
	})
}

// foldAudit makes one step with the audit log: its blocks end where the number
// of an entry is a multiple of their size.
func (db *DB) foldAudit(ctx context.Context) (more bool, err error) {
	var blocks []textBlock
	if err := db.Read(ctx, func(tx *Tx) error {
		var newest string
		if err := tx.x.GetContext(tx.ctx, &newest, "SELECT coalesce(max(id), '') FROM text_blocks WHERE kind = 'audit'"); err != nil {
			return err
		}
		for end := auditEnd(newest) + blockRows; len(blocks) < foldedAtOnce/blockRows; end += blockRows {
			rows, err := scan[auditText](tx.x.QueryContext(tx.ctx, "SELECT seq, search FROM audit WHERE seq > $1 AND seq <= $2", end-blockRows, end))
			if err != nil || len(rows) < blockRows {
				return err
			}
			var texts rowTextList
			for _, r := range rows {
				texts.add(strconv.FormatInt(r.Seq, 10), r.Search)
			}
			blocks = append(blocks, newBlock("audit", fmt.Sprintf("%020d", end), texts))
		}
		more = true
		return nil
	}); err != nil || len(blocks) == 0 {
		return false, err
	}
	err = db.Write(ctx, func(tx *Tx) error { return tx.putBlocks(blocks) })
	if ra.KindOf(err) == ra.Conflict {
		return false, errFolded
	}
	return more, err
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

// textBlock is a row of text_blocks.
type textBlock struct {
	Kind  string
	ID    string
	Grams []byte
	Texts string
}

func newBlock(kind, id string, l rowTextList) textBlock {
	bitmap := make([]byte, gramBits/8)
	var places []uint32
	for _, row := range l {
		_, text, _ := strings.Cut(strings.TrimSuffix(row, endOfRow), endOfKey)
		places = grams(places[:0], text)
		for _, g := range places {
			bitmap[g/8] |= 1 << (g % 8)
		}
	}
	return textBlock{kind, id, bitmap, l.String()}
}

func (tx *Tx) putBlocks(blocks []textBlock) error {
	for _, b := range blocks {
		_, err := tx.exec("INSERT INTO text_blocks (kind, id, grams, texts) VALUES ($1, $2, $3, $4)", b.Kind, b.ID, b.Grams, b.Texts)
		if err != nil {
			return tx.conflict("text_blocks", err)
		}
	}
	return nil
}

// grams appends the places of a text's grams in the bitmap.
func grams(places []uint32, text string) []uint32 {
	const shift = 32 - 15 // of gramBits
	for i := range len(text) {
		g := uint32(0)
		for n := range min(longestGram, len(text)-i) {
			g |= uint32(text[i+n]) << (8 * n)
			places = append(places, (g^uint32(n+1)*0x27d4eb2f)*0x9e3779b1>>shift)
		}
	}
	return places
}
