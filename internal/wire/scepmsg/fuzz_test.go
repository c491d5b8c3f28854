package scepmsg_test

import (
	"os"
	"path/filepath"
	"testing"

	"chancery/internal/wire/cms/cmstest"
	"chancery/internal/wire/scepmsg"
)

// addCaptured seeds a target with every captured message, as sent and as BER.
func addCaptured(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/*.der")
	if err != nil || len(files) == 0 {
		f.Fatalf("%d seeds, %v", len(files), err)
	}
	for _, file := range files {
		b := cmstest.Must(os.ReadFile(file))(f)
		f.Add(b)
		f.Add(cmstest.Indefinite(f, b, 100))
	}
}

func FuzzParse(f *testing.F) {
	addCaptured(f)
	a := newAuthority(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := scepmsg.Parse(b, scepmsg.Options{Floor: scepmsg.Legacy})
		if err != nil {
			if m != nil {
				t.Errorf("a message beside the error %v", err)
			}
			return
		}
		m.Open(a.ra())
		m.Check()
		if _, err := a.responder().Failure(m, scepmsg.BadRequest, m.Type.String()); err != nil {
			t.Errorf("%v cannot be answered: %v", m.Type, err)
		}
	})
}

func FuzzParseReply(f *testing.F) {
	addCaptured(f)
	a := newAuthority(f)
	c := newClient(f, cmstest.RSAKey(1))
	sent := build(f, c.request(a))
	m := parse(f, sent.Message, scepmsg.Modern)
	f.Add(cmstest.Must(a.responder().Success(m, scepmsg.Grant{Certificates: [][]byte{c.cert.Raw}}))(f))
	f.Add(cmstest.Must(a.responder().Pending(m))(f))
	f.Add(cmstest.Must(a.responder().Failure(m, scepmsg.BadTime, "text"))(f))
	e := c.expect(a, sent)
	ra := parseCert(f, cmstest.Read(f, "ra.pem"))
	e.Signers = append(e.Signers, ra)
	e.Floor = scepmsg.Legacy
	f.Fuzz(func(t *testing.T, b []byte) {
		reply, err := scepmsg.ParseReply(b, e)
		if err == nil && reply.Message.Status == scepmsg.Success && len(reply.Certificates)+len(reply.CRLs) == 0 {
			t.Error("a success with nothing in it")
		}
	})
}
