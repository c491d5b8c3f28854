package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"chancery/bench/report"
)

// limit is what one core needs for the key operations of an enrolment, with Go's
// own cryptography, in seconds. Nothing a server does can be faster.
type limit struct {
	RSASign    float64
	RSADecrypt float64
	RSAVerify  float64
	ECDSASign  float64
}

// perSecondRSA is how many enrolments a second these allow with an RSA-2048
// issuing CA: open the message, sign the certificate, sign the answer.
func (l limit) perSecondRSA() float64 { return 1 / (l.RSADecrypt + 2*l.RSASign) }

// perSecondECDSA is the same with a P-256 issuing CA.
func (l limit) perSecondECDSA() float64 { return 1 / (l.RSADecrypt + l.RSASign + l.ECDSASign) }

// perSecondProxied is how many enrolments a second a proxy can look at that opens
// nothing: it verifies the message and the answer.
func (l limit) perSecondProxied() float64 { return 1 / (2 * l.RSAVerify) }

// askLimit has a process of its own measure on the server's core.
func askLimit() (limit, error) {
	self, err := os.Executable()
	if err != nil {
		return limit{}, err
	}
	out, err := exec.Command("taskset", "-c", serverCore.String(), self, "limit").Output()
	if err != nil {
		return limit{}, fmt.Errorf("measuring the limit: %w", err)
	}
	var l limit
	return l, json.Unmarshal(out, &l)
}

// measureLimit times the operations in turn for a while, in processor
// time, so that a neighbour does not make the limit lower, and gives the median
// of each. It panics where the standard library fails, which it does not.
func measureLimit() limit {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	digest := sha256.Sum256([]byte("an enrolment"))
	wrapped, err := rsa.EncryptPKCS1v15(rand.Reader, &key.PublicKey, digest[:16])
	must(err)
	session := make([]byte, 16)
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	must(err)
	var sign, decrypt, verify, ecdsaSign []float64
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		sign = append(sign, timed(func() error { _, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:]); return err }))
		decrypt = append(decrypt, timed(func() error { return rsa.DecryptPKCS1v15SessionKey(nil, key, wrapped, session) }))
		verify = append(verify, timed(func() error { return rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], signature) }))
		ecdsaSign = append(ecdsaSign, timed(func() error { _, err := ecdsa.SignASN1(rand.Reader, ec, digest[:]); return err }))
	}
	return limit{report.Median(sign), report.Median(decrypt), report.Median(verify), report.Median(ecdsaSign)}
}

// timed gives the processor time of one of several calls, in seconds.
func timed(f func() error) float64 {
	const calls = 10
	began := threadCPU()
	for range calls {
		must(f())
	}
	return (threadCPU() - began).Seconds() / calls
}

// threadCPU is the processor time of the thread that asks.
func threadCPU() time.Duration {
	const clock = 3 // CLOCK_THREAD_CPUTIME_ID of clock_gettime(2); getrusage counts in ticks
	var t syscall.Timespec
	if _, _, err := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&t)), 0); err != 0 {
		panic(err)
	}
	return time.Duration(t.Nano())
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
