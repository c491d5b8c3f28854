package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"chancery/internal/api/client"
	"chancery/internal/api/resource"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/enroll"
	"chancery/internal/lifecycle"
	"chancery/internal/ra"
)

// killedServer, in the environment, makes this program a server that is killed in
// the middle of its work; it says how, as JSON of a killed.
const killedServer = "CHANCERY_TEST_KILLED_SERVER"

// killed is a server that ends at a step, as when its machine loses power.
type killed struct {
	Data  string
	Step  string
	Hosts map[string]string // the DNS it asks
	Ahead time.Duration     // of its clock
}

// serve serves until the step comes, or who started it is gone.
func (k killed) serve() error {
	(&zone{hosts: k.Hosts}).use()
	clock := &clock{}
	clock.skip(k.Ahead)
	_, err := Start(context.Background(), Config{Data: k.Data, Listen: "127.0.0.1:0", Log: quiet(), EgressAllow: []string{"127.0.0.0/8"}, Now: clock.now, Step: func(label string) {
		if label == k.Step {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // it does not come back from that
		}
	}})
	if err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString("ready\n"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// instead runs a server of the same data in a process of its own in place of the
// one that runs here, has something done with it, during which it has to be killed,
// and runs the one here again.
func (c *corp) instead(step string, do func(*client.Client)) {
	c.t.Helper()
	cfg := c.Config // the App is gone soon
	cfg.Listen, cfg.PublicURL = "127.0.0.1:0", ""
	c.stop()
	how, err := json.Marshal(killed{Data: cfg.Data, Step: step, Hosts: c.dns.hosts, Ahead: time.Duration(c.clock.ahead.Load())})
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.CommandContext(c.t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), killedServer+"="+string(how))
	var said strings.Builder
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		_ = cmd.Process.Kill()
		c.t.Fatalf("a server of its own: %v %q, %v\n%s", err, line, cmd.Wait(), said.String())
	}
	web, done, err := Local(c.t.Context(), cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	do(&client.Client{HTTP: web, Base: LocalURL})
	err = errors.Join(done(), cmd.Wait())
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		c.t.Fatalf("at step %s it was not killed: %v\n%s", step, err, said.String())
	}
	c.site = startSite(c.t, cfg)
	c.office = c.admin()
}

// TestADCSKilled: a server that is killed between writing down what it wants and
// writing down what it got has one certificate of each request when it runs again,
// and has revoked what it was to revoke.
func TestADCSKilled(t *testing.T) {
	c := startCorp(t, played.Config{})
	server := c.template(c.authority("Corp CA", nil), "WebServer")
	for _, at := range []struct {
		step string
		lost bool // and the answer of the CA, too
		rows int  // at the CA by then
	}{
		{enroll.StepAsk, false, 0},
		{enroll.StepAnswer, false, 1},
		{enroll.StepAnswer, true, 1},
		{enroll.StepRecord, false, 1},
	} {
		if at.lost {
			c.ca.SetFault(played.Fault{At: played.Request, Act: played.CutAfter})
		}
		before := len(c.ca.Requests())
		user := string(c.d.users["ada"])
		c.instead(at.step, func(office *client.Client) {
			if r, err := office.CreateRequest(t.Context(), resource.RequestInput{TemplateID: server.ID, UserID: user, Wait: true}, ""); err == nil {
				t.Errorf("%+v: it answered all the same: %+v", at, r)
			}
		})
		if n := len(c.ca.Requests()) - before; n != at.rows {
			t.Errorf("%+v: %d requests arrived", at, n)
		}
		open, err := c.office.Requests(t.Context(), resource.RequestQuery{States: []string{string(ra.Submitted)}})
		if err != nil || len(open.Items) != 1 {
			t.Fatalf("%+v: %d requests wait: %v", at, len(open.Items), err)
		}
		r := c.settled(open.Items[0])
		if row := c.caRow(r); !c.certificate(r).Equal(row.Certificate) {
			t.Errorf("%+v: the CA has another certificate", at)
		}
	}
	for _, step := range []string{lifecycle.StepRevokeTell, lifecycle.StepRevokeConfirm} {
		r := c.order(server, "bela")
		id := c.now(r).CertificateID
		c.instead(step, func(office *client.Client) {
			if _, err := office.RevokeCertificate(t.Context(), id, resource.RevokeInput{Reason: "keyCompromise"}); err == nil {
				t.Errorf("%s: it answered all the same", step)
			}
		})
		c.confirmed(r)
		if row := c.caRow(r); row.Disposition != 21 || row.Reason != uint32(ra.KeyCompromise) {
			t.Errorf("%s: %+v", step, row)
		}
	}
	if r, err := c.Audit.Verify(t.Context(), localActor()); err != nil || r.Problem != "" {
		t.Errorf("audit log: %+v, %v", r, err)
	}
}
