package inventory_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"chancery/internal/inventory"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// counts is an import's result without its faults.
func counts(r *inventory.ImportResult) string {
	return fmt.Sprintf("%d rows: %d created, %d updated, %d unchanged, %d failed", r.Rows, r.Created, r.Updated, r.Unchanged, r.Failed)
}

func (w *world) importUsers(file string, in inventory.Import) *inventory.ImportResult {
	w.t.Helper()
	return must(w.ImportUsers(w.t.Context(), w.owner, strings.NewReader(file), in))(w.t)
}

func (w *world) importDevices(file string, in inventory.Import) *inventory.ImportResult {
	w.t.Helper()
	return must(w.ImportDevices(w.t.Context(), w.owner, strings.NewReader(file), in))(w.t)
}

func TestImportUsers(t *testing.T) {
	each(t, func(w *world) {
		in := inventory.Import{Group: w.berlin.ID}
		file := "\ufeffName;E-Mail;First name;Disabled;attribute.Dept;notes\n" +
			"jane;jane@acme.example;Jane;no;R&D;x\n" + // line 2
			"bob;not an address;Bob;;;\n" + // 3
			"JANE;;;;;\n" + // 4
			"too;few\n" + // 5
			"ann;ann@acme.example;\"Ann; \"\"A\"\"\";yes;;\n" + // 6
			";;;;;\n" + // 7
			"eve;;;perhaps;;\n" // 8
		in.Columns = map[string]string{"E-Mail": "email", "notes": "-"}
		dry := in
		dry.DryRun = true
		want := "7 rows: 2 created, 0 updated, 0 unchanged, 5 failed"
		before := len(w.trail())
		same(w.t, "dry run", counts(w.importUsers(file, dry)), want)
		same(w.t, "audit after the dry run", len(w.trail()), before)
		got := w.importUsers(file, in)
		same(w.t, "first run", counts(got), want)
		var faults []string
		for _, f := range got.Faults {
			faults = append(faults, fmt.Sprintf("%d %s %s", f.Line, f.Key, f.Err.Field))
			if f.Err.Message == "" || f.Err.Remedy == "" {
				w.t.Errorf("line %d: message %q and remedy %q must say something", f.Line, f.Err.Message, f.Err.Remedy)
			}
		}
		same(w.t, "faults", faults, []string{"3 bob email", "4 JANE name", "5  ", "7  name", "8 eve disabled"})
		same(w.t, "audit", w.trail()[before:], []string{"user.created", "user.created"})
		users, _, err := w.FindUsers(w.t.Context(), w.owner, store.UserFilter{})
		if err != nil || len(users) != 2 {
			w.t.Fatalf("users: %v, %v", users, err)
		}
		if u := users[0]; u.Name != "ann" || u.FirstName != `Ann; "A"` || !u.Disabled || len(u.Attributes) != 0 {
			w.t.Errorf("ann is %+v", u)
		}
		if u := users[1]; u.Email != "jane@acme.example" || u.Disabled || u.Attributes["Dept"] != "R&D" || u.GroupID != w.berlin.ID {
			w.t.Errorf("jane is %+v", u)
		}
		same(w.t, "the same again", counts(w.importUsers(file, in)), "7 rows: 0 created, 0 updated, 2 unchanged, 5 failed")
		same(w.t, "fewer columns", counts(w.importUsers("name,attribute.room\njane,4\n", in)), "1 rows: 0 created, 1 updated, 0 unchanged, 0 failed")
		u := must(w.User(w.t.Context(), w.owner, users[1].ID))(w.t)
		same(w.t, "what has no column stays", u.Attributes, map[string]string{"Dept": "R&D", "room": "4"})
		same(w.t, "an empty cell", counts(w.importUsers("name,email,attribute.room\njane,,\n", in)), "1 rows: 0 created, 1 updated, 0 unchanged, 0 failed")
		u = must(w.User(w.t.Context(), w.owner, users[1].ID))(w.t)
		if u.Email != "" || len(u.Attributes) != 1 {
			w.t.Errorf("an empty cell empties, got %+v", u)
		}
	})
}

func TestImportDevices(t *testing.T) {
	each(t, func(w *world) {
		jane, boss := w.user(w.berlin, "jane"), w.user(w.acme, "boss")
		stranger := w.user(w.other, "stranger")
		w.device(w.paris, "p-1")
		file := "platform_id,platform,name,user,ownership,attributes\n" +
			"d-1,iOS,One,jane,c,\"{\"\"asset\"\":\"\"7\"\"}\"\n" +
			"d-2,android,,BOSS,,\n" +
			"d-3,linux,Three," + string(boss.ID) + ",E,\n" +
			"d-4,linux,Four," + string(stranger.ID) + ",,\n" +
			"d-5,linux,Five,nobody,,\n" +
			"d-6,symbian,Six,,,\n" +
			"d-7,linux,Seven,,,[]\n" +
			"p-1,ios,Renamed,,,\n"
		in := inventory.Import{Group: w.berlin.ID}
		got := w.importDevices(file, in)
		same(w.t, "first run", counts(got), "8 rows: 3 created, 1 updated, 0 unchanged, 4 failed")
		var fields []string
		for _, f := range got.Faults {
			fields = append(fields, f.Key+" "+f.Err.Field)
		}
		same(w.t, "faults", fields, []string{"d-4 user_id", "d-5 user", "d-6 platform", "d-7 attributes"})
		list, _, err := w.FindDevices(w.t.Context(), w.owner, store.DeviceFilter{})
		if err != nil {
			w.t.Fatal(err)
		}
		found := map[string]*ra.Device{}
		for _, d := range list {
			found[d.PlatformID] = d
		}
		if d := found["d-1"]; d.UserID != jane.ID || d.Platform != ra.IOS || d.Attributes["asset"] != "7" || d.Ownership != "C" {
			w.t.Errorf("d-1 is %+v", d)
		}
		if d := found["d-2"]; d.UserID != boss.ID || d.Name != "d-2" {
			w.t.Errorf("d-2 is %+v", d)
		}
		if d := found["p-1"]; d.GroupID != w.paris.ID || d.Name != "Renamed" {
			w.t.Errorf("p-1 is %+v, want it to stay in its group", d)
		}
		same(w.t, "the same again", counts(w.importDevices(file, in)), "8 rows: 0 created, 0 updated, 4 unchanged, 4 failed")

		operator := as(ra.RoleOperator, w.berlin)
		r, err := w.ImportDevices(w.t.Context(), operator, strings.NewReader("platform_id,platform,group_id\np-1,ios,\nq-1,ios,"+string(w.paris.ID)+"\n"), in)
		if err != nil || r.Failed != 2 {
			w.t.Fatalf("as an operator of Berlin: %+v, %v", r, err)
		}
		wantKind(w.t, "a device known beside", r.Faults[0].Err, ra.Conflict)
		wantKind(w.t, "a row for a group beside", r.Faults[1].Err, ra.NotFound)
		same(w.t, "a move by column", counts(w.importDevices("platform_id,group_id\np-1,"+string(w.berlin.ID)+"\n", inventory.Import{})),
			"1 rows: 0 created, 1 updated, 0 unchanged, 0 failed")
	})
}

// TestImportBatches: more rows than a batch, some refused, and rows that clash
// with what somebody else stores in the same moment.
func TestImportBatches(t *testing.T) {
	each(t, func(w *world) {
		var b strings.Builder
		b.WriteString("name,email\n")
		for i := range 1201 {
			address := fmt.Sprintf("u%d@acme.example", i)
			if i%100 == 50 {
				address = "nowhere"
			}
			fmt.Fprintf(&b, "u%d,%s\n", i, address)
		}
		in := inventory.Import{Group: w.berlin.ID}
		same(w.t, "dry run", counts(w.importUsers(b.String(), inventory.Import{Group: w.berlin.ID, DryRun: true})), "1201 rows: 1189 created, 0 updated, 0 unchanged, 12 failed")
		same(w.t, "first run", counts(w.importUsers(b.String(), in)), "1201 rows: 1189 created, 0 updated, 0 unchanged, 12 failed")
		same(w.t, "second run", counts(w.importUsers(strings.ReplaceAll(b.String(), "u7@", "u7x@"), in)), "1201 rows: 0 created, 1 updated, 1188 unchanged, 12 failed")

		slow := io.MultiReader(strings.NewReader("name,email\nu1,u1@acme.example\n"), iotest.ErrReader(errors.New("connection lost")))
		r, err := w.ImportUsers(w.t.Context(), w.owner, slow, in)
		if err == nil || counts(r) != "1 rows: 0 created, 0 updated, 1 unchanged, 0 failed" {
			w.t.Errorf("after a lost connection: %s, %v, want what came before and an error", counts(r), err)
		}
	})
}

func TestImportRefusesFiles(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		for name, c := range map[string]struct {
			file    string
			columns map[string]string
			kind    ra.Kind
		}{
			"empty":          {"", nil, ra.Invalid},
			"unknown column": {"name,shoe_size\n", nil, ra.Invalid},
			"no key":         {"email\n", nil, ra.Invalid},
			"twice":          {"name,Name\n", nil, ra.Invalid},
			"bad heading":    {"na\"me\n", nil, ra.Invalid},
			"mapped twice":   {"name,login\n", map[string]string{"login": "name"}, ra.Invalid},
			"only a heading": {"name\n", nil, ""},
			"tabs":           {"name\temail\nx\tx@y\n", nil, ""},
			"too large":      {"name\n" + strings.Repeat("x", inventory.MaxImportBytes), nil, ra.TooLarge},
		} {
			_, err := w.ImportUsers(ctx, w.owner, strings.NewReader(c.file), inventory.Import{Group: w.berlin.ID, Columns: c.columns, DryRun: true})
			wantKind(w.t, name, err, c.kind)
		}
		r := w.importUsers("name\na\x00b\n\xff\n\"x\ny\"\nz\"z\nok\n", inventory.Import{Group: w.berlin.ID})
		same(w.t, "odd bytes", counts(r), "5 rows: 1 created, 0 updated, 0 unchanged, 4 failed")
		r = w.importUsers("name\nhomeless\n", inventory.Import{})
		same(w.t, "no group", counts(r), "1 rows: 0 created, 0 updated, 0 unchanged, 1 failed")
		_, err := w.ImportUsers(ctx, as(ra.RoleViewer, w.berlin), strings.NewReader("name\nx\n"), inventory.Import{})
		wantKind(w.t, "a viewer without a group", err, ra.Denied)
	})
}

func TestImportRowLimit(t *testing.T) {
	each(t, func(w *world) {
		file := "name\n" + strings.Repeat(",\n", inventory.MaxImportRows+1) // refused without a look at the database
		r, err := w.ImportUsers(w.t.Context(), w.owner, strings.NewReader(file), inventory.Import{Group: w.berlin.ID})
		wantKind(w.t, "a row too many", err, ra.TooLarge)
		same(w.t, "rows", r.Failed, inventory.MaxImportRows)
		same(w.t, "faults told", len(r.Faults), 1000)
	})
}

// TestExportComesBack: an export taken in again changes nothing, whatever is in
// it; and no cell begins like a formula.
func TestExportComesBack(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		for i, text := range []string{"=cmd", "+49 30 1", "-x", "@x", "'quoted", "''=x", "a,b", `say "hi"`, "ä;ö", "plain"} {
			u := must(w.CreateUser(ctx, w.owner, inventory.UserInput{GroupID: &w.berlin.ID, Name: &text, DisplayName: &text, Email: ptr("a@b.example"),
				Attributes: map[string]string{"phone_number": text}}))(w.t)
			must(w.CreateDevice(ctx, w.owner, inventory.DeviceInput{GroupID: &w.berlin.ID, Platform: ptr(ra.Linux), PlatformID: &text, Name: ptr(fmt.Sprint("n", i)),
				UserID: &u.ID, Attributes: map[string]string{"note": text}}))(w.t)
		}
		w.user(w.paris, "elsewhere")
		var users, devices bytes.Buffer
		operator := as(ra.RoleOperator, w.berlin)
		if err := errors.Join(w.ExportUsers(ctx, operator, store.UserFilter{}, &users), w.ExportDevices(ctx, operator, store.DeviceFilter{}, &devices)); err != nil {
			w.t.Fatal(err)
		}
		if strings.Contains(users.String(), "elsewhere") {
			w.t.Error("the export shows another group")
		}
		for _, cell := range []string{",=", ",+", ",@", ",-"} {
			if strings.Contains(users.String()+devices.String(), cell) {
				w.t.Errorf("a cell begins with %q", cell[1:])
			}
		}
		same(w.t, "heading", strings.SplitN(devices.String(), "\n", 2)[0], "id,group_name,user_name,state,group_id,platform_id,platform,name,serial_number,model,os_version,ownership,user,attributes")
		ru, err1 := w.ImportUsers(ctx, operator, &users, inventory.Import{})
		rd, err2 := w.ImportDevices(ctx, operator, &devices, inventory.Import{})
		if err := errors.Join(err1, err2); err != nil {
			w.t.Fatal(err)
		}
		same(w.t, "users taken in again", counts(ru), "10 rows: 0 created, 0 updated, 10 unchanged, 0 failed")
		same(w.t, "devices taken in again", counts(rd), "10 rows: 0 created, 0 updated, 10 unchanged, 0 failed")
	})
}

// TestImportBesideOthers takes the same file in twice at once: each row is
// created once, and nobody fails.
func TestImportBesideOthers(t *testing.T) {
	each(t, func(w *world) {
		var b strings.Builder
		b.WriteString("platform_id,platform\n")
		for i := range 600 {
			fmt.Fprintf(&b, "d%d,linux\n", i)
		}
		results := make(chan *inventory.ImportResult, 2)
		for range 2 {
			go func() {
				r, err := w.ImportDevices(w.t.Context(), w.owner, strings.NewReader(b.String()), inventory.Import{Group: w.berlin.ID})
				if err != nil {
					w.t.Error(err)
				}
				results <- r
			}()
		}
		first, second := <-results, <-results
		if first.Created+second.Created != 600 || first.Failed+second.Failed+first.Unchanged+second.Unchanged != 600 {
			w.t.Errorf("got %s and %s, want 600 created in all", counts(first), counts(second))
		}
		var n int
		for _, e := range w.entries() {
			if e.Code == "device.created" && e.At.Equal(w.clock.Now().Truncate(time.Millisecond)) {
				n++
			}
		}
		same(w.t, "audit entries", n, 600)
	})
}

// FuzzImport: no file makes the import panic, and what it counts adds up.
func FuzzImport(f *testing.F) {
	for _, seed := range []string{"name,email\njane,jane@acme.example\n", "\ufeffname;sid\nx;S-1-5-18\n", "name\n\"a\n", "name,attributes\nx,\"{\"\"a\"\":\"\"b\"\"}\"\n", "attribute.a,name\n'=x,'\n", "", "name\n\x00\n"} {
		f.Add(seed)
	}
	db, err := store.Open(f.Context(), "sqlite:"+f.TempDir()+"/fuzz.db", nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { db.Close() })
	s := &inventory.Service{DB: db, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	owner := ra.Actor{Name: "owner", Grants: []ra.Grant{{Role: ra.RoleOwner}}}
	g, err := s.CreateGroup(f.Context(), owner, inventory.GroupInput{Name: ptr("g")})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, file string) {
		r, err := s.ImportUsers(t.Context(), owner, strings.NewReader(file), inventory.Import{Group: g.ID, DryRun: true})
		if ra.KindOf(err) == ra.Internal {
			t.Fatal(err)
		}
		if r.Created+r.Updated+r.Unchanged+r.Failed != r.Rows {
			t.Errorf("%+v does not add up", r)
		}
	})
}
