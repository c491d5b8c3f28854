package adcs

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"chancery/internal/doubles/dcerpc"
)

// Tables of the database, as EnumViewColumnTable and column numbers have them.
const (
	tableRequests   = 0
	tableAttributes = 0x4000
	tableMask       = 0xF000

	indexedColumn = 0x00010000
)

// Numbers that stand for the rows of a kind instead of a column.
const (
	queuePending = 0xFFFFFFFF
	logIssued    = 0xFFFFFFFE
	logFailed    = 0xFFFFFFFD
	logRevoked   = 0xFFFFFFF9
)

// column is a column of a table: a name, a type and how a value is had from a
// record, which is a row or, of the table of attributes, a row with one of its
// attributes.
type column struct {
	name string
	kind uint32
	get  func(*record) any // uint32, time.Time, []byte or string; nil: none
}

type record struct {
	ca          *CA
	row         *row
	name, value string
}

// columns are those of the table of requests.
var columns = []column{
	{"Request.RequestID", typeLong | indexedColumn, func(r *record) any { return r.row.ID }},
	{"Request.RawRequest", typeBinary, func(r *record) any { return r.row.raw }},
	{"Request.RequestType", typeLong, func(r *record) any { return r.row.flags & formMask }},
	{"Request.StatusCode", typeLong, func(r *record) any { return r.row.Status }},
	{"Request.Disposition", typeLong | indexedColumn, func(r *record) any { return uint32(r.row.Disposition) }},
	{"Request.DispositionMessage", typeString, func(r *record) any { return r.row.Message }},
	{"Request.SubmittedWhen", typeDate | indexedColumn, func(r *record) any { return r.row.Submitted }},
	{"Request.ResolvedWhen", typeDate | indexedColumn, func(r *record) any { return r.row.resolved }},
	{"Request.RevokedWhen", typeDate, func(r *record) any { return r.row.Revoked }},
	{"Request.RevokedEffectiveWhen", typeDate | indexedColumn, func(r *record) any { return r.row.effect }},
	{"Request.RevokedReason", typeLong, func(r *record) any {
		if r.row.Revoked.IsZero() {
			return nil
		}
		return r.row.Reason
	}},
	{"Request.RequesterName", typeString | indexedColumn, func(r *record) any { return r.row.Requester }},
	{"Request.CallerName", typeString | indexedColumn, func(r *record) any { return r.row.Caller }},
	{"Request.RequestAttributes", typeString, func(r *record) any { return r.row.Attributes }},
	{"RequestID", typeLong | indexedColumn, func(r *record) any { return r.row.ID }},
	{"RawCertificate", typeBinary, issuedOnly(func(r *record) any {
		if r.row.hidden {
			return nil
		}
		return r.row.Certificate.Raw
	})},
	{"CertificateTemplate", typeString | indexedColumn, func(r *record) any {
		if i := slices.IndexFunc(r.ca.catalog, func(t Template) bool { return t.Name == r.row.Template }); i >= 0 && r.ca.catalog[i].OID != "" {
			return r.ca.catalog[i].OID
		}
		return r.row.Template
	}},
	{"SerialNumber", typeString | indexedColumn, func(r *record) any { return r.row.serial }},
	{"NotBefore", typeDate, issuedOnly(func(r *record) any { return r.row.Certificate.NotBefore })},
	{"NotAfter", typeDate | indexedColumn, issuedOnly(func(r *record) any { return r.row.Certificate.NotAfter })},
	{"SubjectKeyIdentifier", typeString, issuedOnly(func(r *record) any { return hexText(r.row.Certificate.SubjectKeyId) })},
	{"CommonName", typeString | indexedColumn, issuedOnly(func(r *record) any { return r.row.Certificate.Subject.CommonName })},
	{"DistinguishedName", typeString, issuedOnly(func(r *record) any { return r.row.Certificate.Subject.String() })},
}

// attributeColumns are those of the table of attributes.
var attributeColumns = []column{
	{"AttributeRequestId", typeLong | indexedColumn, func(r *record) any { return r.row.ID }},
	{"AttributeName", typeString, func(r *record) any { return r.name }},
	{"AttributeValue", typeString, func(r *record) any { return r.value }},
}

func issuedOnly(get func(*record) any) func(*record) any {
	return func(r *record) any {
		if r.row.Certificate == nil {
			return nil
		}
		return get(r)
	}
}

// hexText writes octets as the database does: pairs with blanks.
func hexText(b []byte) string {
	const digits = "0123456789abcdef"
	var s []byte
	for i, c := range b {
		if i > 0 {
			s = append(s, ' ')
		}
		s = append(s, digits[c>>4], digits[c&15])
	}
	return string(s)
}

func tableColumns(table uint32) []column {
	switch table {
	case tableRequests:
		return columns
	case tableAttributes:
		return attributeColumns
	}
	return nil
}

// cell encodes a value; nil is an empty cell.
func cell(v any) []byte {
	switch v := v.(type) {
	case uint32:
		return number(v)
	case time.Time:
		if v.IsZero() {
			return nil
		}
		return binary.LittleEndian.AppendUint64(nil, dcerpc.Filetime(v))
	case []byte:
		return v
	case string:
		if v == "" {
			return nil
		}
		return wideZ(v)
	}
	return nil
}

func parseEnumColumns(r *dcerpc.Reader) func(*session) uint32 {
	authority, _ := r.UniqueString(textLimit)
	table, first, count := r.U32(), r.U32(), r.U32()
	return admin(authority, Read|Officer|ManageCA|Auditor, func(s *session) uint32 {
		all := tableColumns(table)
		if all == nil {
			return invalidArg
		}
		if first >= uint32(len(all)) {
			return overflow
		}
		all = all[first:]
		all = all[:min(count, uint32(len(all)))]
		var blob, text []byte
		at := uint32(len(all) * 20)
		for i, c := range all {
			name := at + uint32(len(text))
			text = append(text, wideZ(c.name)...)
			text = append(text, make([]byte, -len(text)&3)...)
			for _, v := range []uint32{c.kind, table | (first + uint32(i)), 8192, name, name} {
				blob = binary.LittleEndian.AppendUint32(blob, v)
			}
		}
		s.w.U32(uint32(len(all)))
		s.w.Blob(append(blob, text...))
		return 0
	})
}

// restriction is a condition on a column, an order, or both.
type restriction struct {
	column         uint32
	seek, sort     int32
	value          []byte
	there          bool
	announcedBytes uint32
}

// view is an open view: its records as they were when it was opened.
type view struct {
	columns []uint32
	records []record
}

func parseOpenView(r *dcerpc.Reader) func(*session) uint32 {
	authority, _ := r.UniqueString(textLimit)
	n := int(r.U32())
	if r.Count(20) != n || n > 64 {
		r.Fail("count of restrictions")
		n = 0
	}
	conditions := make([]restriction, n)
	for i := range conditions {
		c := &conditions[i]
		c.column, c.seek, c.sort = r.U32(), int32(r.U32()), int32(r.U32())
		c.there, c.announcedBytes = r.Pointer(), r.U32()
	}
	for i := range conditions {
		if c := &conditions[i]; c.there {
			if r.U32() != c.announcedBytes || c.announcedBytes > 1<<20 {
				r.Fail("size of a value")
				break
			}
			c.value = bytes.Clone(r.Bytes(int(c.announcedBytes)))
		}
	}
	m := int(r.U32())
	if r.Count(4) != m || m > 1024 {
		r.Fail("count of columns")
		m = 0
	}
	ids := make([]uint32, m)
	for i := range ids {
		ids[i] = r.U32()
	}
	first, most := r.U32(), r.U32()
	return admin(authority, Read|Officer|ManageCA|Auditor, func(s *session) uint32 {
		if s.object.view != nil {
			return unexpected
		}
		v, code := s.ca.openView(conditions, ids)
		if code != 0 {
			return code
		}
		s.object.view = v
		return s.page(first, most)
	})
}

func parseEnumView(r *dcerpc.Reader) func(*session) uint32 {
	authority, _ := r.UniqueString(textLimit)
	first, most := r.U32(), r.U32()
	return admin(authority, Read|Officer|ManageCA|Auditor, func(s *session) uint32 {
		if s.object.view == nil {
			return invalidHandle
		}
		return s.page(first, most)
	})
}

func parseCloseView(r *dcerpc.Reader) func(*session) uint32 {
	authority, _ := r.UniqueString(textLimit)
	return admin(authority, Read|Officer|ManageCA|Auditor, func(s *session) uint32 {
		if s.object.view == nil {
			return unexpected
		}
		s.object.view = nil
		return 0
	})
}

// openView takes the records that meet all conditions; ca.mu is held.
func (ca *CA) openView(conditions []restriction, ids []uint32) (*view, uint32) {
	table := uint32(tableRequests)
	v := &view{columns: ids}
	if len(ids) == 1 && ids[0] >= logRevoked {
		v.columns = nil
		for i := range columns {
			v.columns = append(v.columns, uint32(i))
		}
	}
	for _, id := range v.columns {
		table = id & tableMask
	}
	all := tableColumns(table)
	if all == nil {
		return nil, invalidArg
	}
	for _, id := range v.columns {
		if id&tableMask != table || id&^uint32(tableMask) >= uint32(len(all)) {
			return nil, invalidArg
		}
	}
	for _, row := range ca.rows {
		if table == tableRequests {
			v.records = append(v.records, record{ca: ca, row: row})
			continue
		}
		for line := range strings.SplitSeq(row.Attributes, "\n") {
			if name, value, ok := strings.Cut(line, ":"); ok {
				v.records = append(v.records, record{ca: ca, row: row, name: strings.TrimSpace(name), value: strings.TrimSpace(value)})
			}
		}
	}
	if !oneOrder(conditions, all) {
		return nil, invalidArg
	}
	for _, c := range conditions {
		if code := v.restrict(c, table, all); code != 0 {
			return nil, code
		}
	}
	for i := range v.records { // as they are now
		frozen := *v.records[i].row
		v.records[i].row = &frozen
	}
	return v, 0
}

// oneOrder tells whether a view is in one order at most, by a column that has an
// index.
func oneOrder(conditions []restriction, all []column) bool {
	orders := 0
	for _, c := range conditions {
		if c.sort == 0 {
			continue
		}
		if i := c.column &^ uint32(tableMask); c.sort < 0 || c.sort > 2 || i >= uint32(len(all)) || all[i].kind&indexedColumn == 0 {
			return false
		}
		orders++
	}
	return orders <= 1
}

// restrict applies one condition.
func (v *view) restrict(c restriction, table uint32, all []column) uint32 {
	if c.column >= logRevoked {
		kinds := map[uint32][]int{queuePending: {rowPending}, logIssued: {rowIssued, rowRevoked}, logFailed: {rowFailed, rowDenied}, logRevoked: {rowRevoked}}[c.column]
		v.records = slices.DeleteFunc(v.records, func(r record) bool { return !slices.Contains(kinds, r.row.Disposition) })
		return 0
	}
	if c.column&tableMask != table || c.column&^uint32(tableMask) >= uint32(len(all)) {
		return invalidArg
	}
	get, kind := all[c.column&^uint32(tableMask)].get, all[c.column&^uint32(tableMask)].kind&0xff
	if c.seek != 0 {
		holds := map[int32]func(int) bool{1: func(o int) bool { return o == 0 }, 2: func(o int) bool { return o < 0 }, 4: func(o int) bool { return o <= 0 },
			8: func(o int) bool { return o >= 0 }, 0x10: func(o int) bool { return o > 0 }}[c.seek]
		wrongSize := kind == typeLong && len(c.value) != 4 || kind == typeDate && len(c.value) != 8 || kind == typeString && (len(c.value) < 2 || len(c.value)%2 != 0)
		if holds == nil || wrongSize {
			return invalidArg
		}
		v.records = slices.DeleteFunc(v.records, func(r record) bool {
			have := cell(get(&r))
			return have == nil || !holds(compare(kind, have, c.value))
		})
	}
	if c.sort != 0 {
		slices.SortStableFunc(v.records, func(a, b record) int {
			o := compare(kind, cell(get(&a)), cell(get(&b)))
			if c.sort == 2 {
				return -o
			}
			return o
		})
	}
	return 0
}

// compare compares two encoded values; text without regard to case.
func compare(kind uint32, a, b []byte) int {
	switch kind {
	case typeLong, typeDate:
		a, b = slices.Clone(a), slices.Clone(b)
		slices.Reverse(a)
		slices.Reverse(b)
	case typeString:
		return strings.Compare(strings.ToLower(dcerpc.Narrow(a)), strings.ToLower(dcerpc.Narrow(b)))
	}
	return bytes.Compare(a, b)
}

// page writes records from the first on, which is 1, as CERTTRANSDBRESULTROWs.
// A record that says how many there were ends the view.
func (s *session) page(first, most uint32) uint32 {
	v := s.object.view
	all := tableColumns(tableRequests)
	if len(v.columns) > 0 {
		all = tableColumns(v.columns[0] & tableMask)
	}
	start := int(min(max(first, 1)-1, uint32(len(v.records))))
	end := start + int(min(most, 500, uint32(len(v.records)-start)))
	le := binary.LittleEndian
	var blob []byte
	for i := start; i < end; i++ {
		head := make([]byte, 12, 12+16*len(v.columns))
		var data []byte
		for _, id := range v.columns {
			c := all[id&^uint32(tableMask)]
			value := cell(c.get(&v.records[i]))
			offset := 0
			if value != nil {
				offset = 12 + 16*len(v.columns) + len(data)
			}
			for _, u := range []uint32{c.kind & 0xff, id, uint32(offset), uint32(len(value))} {
				head = le.AppendUint32(head, u)
			}
			data = append(append(data, value...), make([]byte, -len(value)&7)...)
		}
		le.PutUint32(head, uint32(i+1))
		le.PutUint32(head[4:], uint32(len(v.columns)))
		le.PutUint32(head[8:], uint32(len(head)+len(data)))
		blob = append(append(blob, head...), data...)
	}
	if end == len(v.records) && uint32(end-start) < most {
		for _, u := range []uint32{uint32(end + 1), ^uint32(end + 1), 12} {
			blob = le.AppendUint32(blob, u)
		}
	}
	s.w.U32(uint32(end - start))
	s.w.Blob(blob)
	s.cut = s.ca.given(end - start)
	if s.ca.cfg.EndsFalse && end == len(v.records) {
		return endsFalse
	}
	return 0
}
