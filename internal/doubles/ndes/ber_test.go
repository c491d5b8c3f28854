package ndes

import (
	"bytes"
	"encoding/hex"
	"testing"
)

func TestWellFormed(t *testing.T) {
	deep := func(n int) string { return hex.EncodeToString(bytes.Repeat([]byte{0x30, 0x80}, n)) }
	for text, want := range map[string]bool{
		"0500": true, "30030500": false, "3002050000": false, "3003020101": true, "308203e8": false, "04810161": true,
		"3080050000": false, "30800500" + "0000": true, "30800000": false, "0480610000": false, "2480040161" + "0000": true,
		"1f8101" + "0161": true, "1f81": false, "1f8101": false, "30": false, "": false, "0485010101010161": false, "30840000000205" + "00": true,
		"3002300105": false, "3004308005000000": false, // a part that ends after the whole
		deep(47) + "0500" + hex.EncodeToString(make([]byte, 2*47)): true,
		deep(48) + "0500" + hex.EncodeToString(make([]byte, 2*48)): false,
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := wellFormed(b) == nil; got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
