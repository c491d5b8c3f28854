package embedded_test

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/secret"
	"chancery/internal/wire/pkixmsg"
)

// TestShardPoint: what a certificate names is what the list says it is found at,
// byte for byte.
func TestShardPoint(t *testing.T) {
	w := newWorld(t, `{"crl_shards": 16}`)
	c := w.connect()
	issuing := spkiHash(c.Issuers()[0])
	if c.CRLShards(issuing) != 16 || c.CRLShards(spkiHash(c.Issuers()[1])) != 1 {
		t.Errorf("the issuing CA has %d lists, the root %d", c.CRLShards(issuing), c.CRLShards(spkiHash(c.Issuers()[1])))
	}
	seen := map[string]bool{}
	for i := range 12 {
		leaf := w.issue(w.order(fmt.Sprintf("req_%d", i), pkixmsg.P256)).Chain[0]
		shard := ca.ShardOf(leaf.SerialNumber, 16)
		point := c.CRLPoint(issuing, shard)
		if len(leaf.CRLDistributionPoints) != 1 || leaf.CRLDistributionPoints[0] != point {
			t.Errorf("the certificate names %v, its list is at %s", leaf.CRLDistributionPoints, point)
		}
		seen[point] = true
		der, err := c.SignCRLFor(t.Context(), issuing, ca.CRLOrder{Number: 1, ThisUpdate: start, NextUpdate: start.Add(time.Hour), Points: []string{point, "http://old.example.test/x.crl"}})
		if err != nil {
			t.Fatal(err)
		}
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, e := range list.Extensions {
			if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 28}) {
				continue
			}
			found = true
			var idp struct {
				Point struct {
					Names []asn1.RawValue `asn1:"tag:0"`
				} `asn1:"tag:0"`
			}
			if rest, err := asn1.Unmarshal(e.Value, &idp); err != nil || len(rest) > 0 || !e.Critical || len(idp.Point.Names) != 2 || string(idp.Point.Names[0].Bytes) != point || idp.Point.Names[0].Tag != 6 {
				t.Errorf("issuing distribution point %x: %v", e.Value, err)
			}
		}
		if !found {
			t.Error("the list of a part has no issuing distribution point")
		}
	}
	if len(seen) < 2 {
		t.Errorf("twelve certificates name %d list", len(seen))
	}
	if got := c.CRLPoint("00", ca.Shard{}); got != "" {
		t.Errorf("an unknown issuer's list is at %s", got)
	}
	w.env.PublicURL = ""
	if c := w.connect(); c.CRLShards(issuing) != 1 || c.CRLPoint(issuing, ca.Shard{}) != "" {
		t.Error("revocations are divided although no certificate says where")
	}
}

// TestRootList: the root lists what it revoked, unless its key was taken away.
func TestRootList(t *testing.T) {
	w := newWorld(t, `{}`)
	c := w.connect()
	root := c.Issuers()[1]
	w.verifyList(c, root)
	issuing := c.Issuers()[0]
	if want := c.CRLPoint(spkiHash(root), ca.Shard{}); len(issuing.CRLDistributionPoints) != 1 || issuing.CRLDistributionPoints[0] != want || len(issuing.OCSPServer) != 0 {
		t.Errorf("the issuing CA points at %v, %v; want %s", issuing.CRLDistributionPoints, issuing.OCSPServer, want)
	}
	for name, text := range map[string]string{"absent": "", "damaged": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		w.settings.RootKey = secret.New(text)
		if c := w.connect(); len(c.Issuers()) != 1 {
			t.Errorf("a root whose key is %s signs", name)
		}
		w.issue(w.order("req_"+name, pkixmsg.P256))
	}
}
