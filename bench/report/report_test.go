package report

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, test := range []struct {
		name   string
		values []time.Duration
		p      float64
		want   time.Duration
	}{
		{"none", nil, 0.5, 0},
		{"one, low", []time.Duration{7}, 0, 7},
		{"one, high", []time.Duration{7}, 1, 7},
		{"median of two is the lower", []time.Duration{1, 9}, 0.5, 1},
		{"median of three", []time.Duration{1, 5, 9}, 0.5, 5},
		{"p50 of a hundred", hundred, 0.5, 50},
		{"p95 of a hundred", hundred, 0.95, 95},
		{"p99 of a hundred", hundred, 0.99, 99},
		{"p100 of a hundred", hundred, 1, 100},
		{"p99 of ten is the largest", hundred[:10], 0.99, 10},
	} {
		if got := Percentile(test.values, test.p); got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := Median(test.values); got != test.want {
			t.Errorf("Median(%v) = %v, want %v", test.values, got, test.want)
		}
	}
	order := []float64{9, 1, 5}
	if Median(order); order[0] != 9 {
		t.Errorf("Median sorted its argument: %v", order)
	}
}

func TestGoal(t *testing.T) {
	for _, test := range []struct {
		name string
		goal Goal
		met  bool
	}{
		{"at least, just", Goal{Bound: AtLeast, Want: 1.15, Got: 1.15}, true},
		{"at least, rounds up to it", Goal{Bound: AtLeast, Want: 1.15, Got: 1.1499}, false},
		{"below, equal", Goal{Bound: Below, Want: 100, Got: 100}, false},
		{"below", Goal{Bound: Below, Want: 100, Got: 99.9}, true},
		{"at most, equal", Goal{Bound: AtMost, Want: 2, Got: 2}, true},
		{"at most, above", Goal{Bound: AtMost, Want: 2, Got: 2.01}, false},
		{"no figure", Goal{Bound: Below, Want: 100, Got: math.NaN()}, false},
		{"broken", Goal{Bound: Below, Want: 100, Err: errors.New("gone")}, false},
	} {
		if got := test.goal.Met(); got != test.met {
			t.Errorf("%s: met %v, want %v", test.name, got, test.met)
		}
	}
}

func TestWrite(t *testing.T) {
	r := &Report{Title: "Bench", Facts: [][2]string{{"processor", "one | two"}}}
	r.Goal("faster", 1.234, AtLeast, 1.15, "x")
	r.Goal("small enough", 170.4, Below, 150, " MB")
	r.Failed("ocsp", errors.New("no\nanswer"))
	s := r.Section("SCEP", "server", "per second", "share", "key")
	s.Row("ours", Number(1234.5), "90 %", "p-256")
	s.Row("a peer", Number(7.126), "", "2048 bits")
	s.Note("%d rounds", 3)
	broken := r.Section("Broken", "server")
	broken.Err = errors.New("it fell over")

	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	want := `# Bench

| what      | is         |
| --------- | ---------- |
| processor | one \| two |

## Goals

| goal         | wanted         | measured         | verdict |
| ------------ | -------------- | ---------------- | ------- |
| faster       | >= 1.15x       | 1.23x            | PASS    |
| small enough | < 150 MB       | 170 MB           | MISS    |
| ocsp         | >= 1 whole run | error: no answer | MISS    |

## SCEP

| server | per second | share | key       |
| ------ | ---------: | ----: | --------- |
| ours   |       1234 |  90 % | p-256     |
| a peer |       7.13 |       | 2048 bits |

- 3 rounds

## Broken

The case ended early: it fell over
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if r.Missed() != 2 {
		t.Errorf("missed %d, want 2", r.Missed())
	}
}
