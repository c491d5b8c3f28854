package adcs_test

import (
	"bufio"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"

	"chancery/internal/doubles/adcs"
)

// debianPython is the interpreter that Debian packages are for.
const debianPython = "/usr/bin/python3"

// python drives testdata/client.py, which knows nothing of the double.
type python struct {
	t     *testing.T
	ca    *adcs.CA
	in    io.WriteCloser
	out   *bufio.Scanner
	login map[string]any // who its connections are of
}

// object is a JSON object.
type object = map[string]any

func startPython(t *testing.T, ca *adcs.CA, user string, env ...string) *python {
	t.Helper()
	if out, err := exec.Command(debianPython, "-c", "import impacket").CombinedOutput(); err != nil {
		t.Fatalf("python3-impacket: %v: %s\nhint: scripts/deps", err, out)
	}
	cmd := exec.Command(debianPython, "testdata/client.py")
	cmd.Env, cmd.Stderr = append(os.Environ(), env...), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	p := &python{t: t, ca: ca, in: in, out: bufio.NewScanner(out), login: object{"user": user, "password": "secret of " + user}}
	p.out.Buffer(nil, 4<<20)
	return p
}

// do has one thing done.
func (p *python) do(what string, args object) object {
	p.t.Helper()
	message := object{"do": what, "host": "127.0.0.1"}
	for _, from := range []object{p.login, args} {
		for k, v := range from {
			message[k] = v
		}
	}
	line, err := json.Marshal(message)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		p.t.Fatal(err)
	}
	if !p.out.Scan() {
		p.t.Fatalf("%s: the client died: %v", what, p.out.Err())
	}
	var result object
	if err := json.Unmarshal(p.out.Bytes(), &result); err != nil {
		p.t.Fatal(err)
	}
	return result
}

// ok is do for what succeeds.
func (p *python) ok(what string, args object) object {
	p.t.Helper()
	result := p.do(what, args)
	if result["error"] != nil {
		p.t.Fatalf("%s: %v", what, result)
	}
	return result
}

// fails is do for what fails with a code.
func (p *python) fails(code uint32, what string, args object) {
	p.t.Helper()
	if result := p.do(what, args); errorOf(result) != code {
		p.t.Errorf("%s: %v, not 0x%08X", what, result, code)
	}
}

func errorOf(result object) uint32 {
	code, _ := result["error"].(float64)
	return uint32(int64(code))
}

// call and refused call a method of an object the client has.
func (p *python) call(iid, method string, args object) object {
	p.t.Helper()
	return p.ok("call", p.method(iid, method, args))
}

func (p *python) refused(code uint32, iid, method string, args object) {
	p.t.Helper()
	p.fails(code, "call", p.method(iid, method, args))
}

func (p *python) method(iid, method string, args object) object {
	all := object{"authority": p.ca.Name()}
	for k, v := range args {
		all[k] = v
	}
	return object{"iid": iid, "method": method, "args": all}
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// passage connects to ICertPassage.
func (p *python) passage() *python {
	p.t.Helper()
	p.ok("passage", object{"port": portOf(p.t, p.ca.ServerAddress())})
	return p
}

// dcom logs on and activates interfaces: the first of a class, the others by
// asking the object.
func (p *python) dcom(class string, iids ...string) *python {
	p.t.Helper()
	p.ok("dcom", object{"port": portOf(p.t, p.ca.MapperAddress())})
	p.ok("activate", object{"class": class, "iid": iids[0]})
	for _, iid := range iids[1:] {
		p.ok("query", object{"from": iids[0], "iid": iid})
	}
	return p
}

// enrol asks over ICertPassage.
func (p *python) enrol(template string, request []byte, more ...object) object {
	p.t.Helper()
	args := object{"authority": p.ca.Name(), "attributes": "CertificateTemplate:" + template, "request": hex.EncodeToString(request)}
	for _, m := range more {
		for k, v := range m {
			args[k] = v
		}
	}
	return p.ok("enrol", args)
}

func certificate(t *testing.T, answer object) *x509.Certificate {
	t.Helper()
	if answer["disposition"] != 3.0 {
		t.Fatalf("not issued: %v", answer)
	}
	der, err := hex.DecodeString(answer["cert"].(string))
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// disposition is the answer's, as a number.
func disposition(answer object) uint32 {
	d, _ := answer["disposition"].(float64)
	return uint32(int64(d))
}

var keys = sync.OnceValue(func() (k [2]*rsa.PrivateKey) {
	for i := range k {
		k[i], _ = rsa.GenerateKey(rand.Reader, 2048)
	}
	return k
})

// csr makes a request for a name.
func csr(t *testing.T, key crypto.Signer, cn string, extensions ...pkix.Extension) []byte {
	t.Helper()
	r := &x509.CertificateRequest{ExtraExtensions: extensions}
	if cn != "" {
		r.Subject = pkix.Name{CommonName: cn}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, r, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

const sid = "S-1-5-21-3981832230-819177259-90020688-1105"

// start runs a CA of a usual kind: a requester, a manager, a user.
func start(t *testing.T, cfg adcs.Config) *adcs.CA {
	t.Helper()
	account := func(user string, rights adcs.Rights) adcs.Account {
		return adcs.Account{User: user, Password: "secret of " + user, Rights: rights, SID: sid, UPN: user + "@corp.example"}
	}
	if cfg.Accounts == nil {
		cfg.Accounts = []adcs.Account{account("ra", 0), account("manager", adcs.Everybody|adcs.Officer), account("admin", adcs.Everybody|adcs.Officer|adcs.ManageCA),
			account("alice", 0), account("nobody", adcs.NoRights)}
	}
	return adcs.Start(t, cfg)
}
