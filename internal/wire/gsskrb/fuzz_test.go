package gsskrb

import (
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// FuzzFinish: no answer makes a panic, and none but the server's a context.
func FuzzFinish(f *testing.F) {
	key := types.EncryptionKey{KeyType: etypeID.AES256_CTS_HMAC_SHA1_96, KeyValue: make([]byte, 32)}
	_, _ = rand.Read(key.KeyValue)
	part := replyPart{Time: noon.Truncate(time.Second), Micros: 1, Seq: 5}
	f.Add(answer(f, key, part), false)
	f.Add(frame(tokenReply, answer(f, key, part)), true)
	no := messages.NewKRBError(types.NewPrincipalName(1, "host/ca1"), "CORP.EXAMPLE", CodeSkew, "")
	if b, err := no.Marshal(); err == nil {
		f.Add(b, false)
		f.Add(frame(tokenError, b), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, framed bool) {
		style := DCE
		if framed {
			style = Mutual
		}
		l, _, err := Start(style, shown(key), noon)
		if err != nil {
			t.Fatal(err)
		}
		if c, _, err := l.Finish(b); err == nil || c != nil {
			t.Error("a context with somebody who does not have the key")
		}
	})
}

// FuzzPart: what is inside an answer may be anything, too.
func FuzzPart(f *testing.F) {
	clear, err := asn1.MarshalWithParams(replyPart{Time: noon.Truncate(time.Second), Micros: 123456, Seq: 5, Subkey: subkey{18, make([]byte, 32)}}, replyPartTag)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(clear)
	f.Fuzz(func(t *testing.T, b []byte) {
		key := counting(32)
		sealed, err := crypto.GetEncryptedData(b, key, usageAPRep, 0)
		if err != nil {
			t.Fatal(err)
		}
		wrapped, err := asn1.MarshalWithParams(reply{Version: 5, Type: replyType, Part: encrypted{Type: sealed.EType, Cipher: sealed.Cipher}}, replyTag)
		if err != nil {
			t.Fatal(err)
		}
		l, _, err := Start(DCE, shown(key), noon)
		if err != nil {
			t.Fatal(err)
		}
		c, third, err := l.Finish(wrapped)
		if (err == nil) != (c != nil) || (err == nil) != (third != nil) {
			t.Errorf("%v, %v, %v", c, third, err)
		}
	})
}

// FuzzUnseal: no message makes a panic, and none but the server's opens.
func FuzzUnseal(f *testing.F) {
	key := types.EncryptionKey{KeyType: etypeID.AES256_CTS_HMAC_SHA1_96, KeyValue: make([]byte, 32)}
	_, _ = rand.Read(key.KeyValue)
	f.Add([]byte("data"), make([]byte, TokenSize))
	f.Add([]byte{}, append([]byte{5, 4, 7, 0xff, 0, 16, 0, 28, 0, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 60)...))
	f.Add([]byte("data"), append([]byte{5, 4, 7, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 60)...))
	f.Fuzz(func(t *testing.T, data, token []byte) {
		c := started(t, key, true, 0, 0)
		if err := c.Unseal([]byte("before"), data, []byte("behind"), token); !errors.Is(err, Tampered) && !errors.Is(err, Malformed) {
			t.Errorf("got %v; want %v", err, Tampered)
		}
		if err := c.Verify(data, token); !errors.Is(err, Tampered) {
			t.Errorf("got %v; want %v", err, Tampered)
		}
	})
}
