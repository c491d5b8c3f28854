package pkixmsg

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// acePrefix marks a label in Punycode (RFC 5890 §2.3.2.5).
const acePrefix = "xn--"

// The parameters of RFC 3492 §5.
const (
	punyBase        = 36
	punyMin         = 1
	punyMax         = 26
	punySkew        = 38
	punyDamp        = 700
	punyInitialBias = 72
	punyInitialN    = 128
	punyDigits      = "abcdefghijklmnopqrstuvwxyz0123456789"
	maxPunyRunes    = 256
)

// adapt is RFC 3492 §6.1.
func adapt(delta, points int, first bool) int {
	if first {
		delta /= punyDamp
	} else {
		delta /= 2
	}
	delta += delta / points
	k := 0
	for ; delta > (punyBase-punyMin)*punyMax/2; k += punyBase {
		delta /= punyBase - punyMin
	}
	return k + (punyBase-punyMin+1)*delta/(delta+punySkew)
}

func threshold(k, bias int) int { return min(max(k-bias, punyMin), punyMax) }

// decodePunycode reads the part of an A-label behind the prefix, in small
// letters (RFC 3492 §6.2).
func decodePunycode(s string) (runes []rune, ok bool) {
	if i := strings.LastIndexByte(s, '-'); i >= 0 {
		runes, s = []rune(s[:i]), s[i+1:]
	}
	n, i, bias := punyInitialN, 0, punyInitialBias
	for len(s) > 0 {
		before, weight := i, 1
		for k := punyBase; ; k += punyBase {
			if len(s) == 0 {
				return nil, false
			}
			digit := strings.IndexByte(punyDigits, s[0])
			s = s[1:]
			if digit < 0 {
				return nil, false
			}
			i += digit * weight
			t := threshold(k, bias)
			if digit < t {
				break
			}
			if weight *= punyBase - t; weight > 1<<30 || i > 1<<30 {
				return nil, false
			}
		}
		points := len(runes) + 1
		bias = adapt(i-before, points, before == 0)
		n += i / points
		i %= points
		if n > utf8.MaxRune || !utf8.ValidRune(rune(n)) || points > maxPunyRunes {
			return nil, false
		}
		runes = slices.Insert(runes, i, rune(n))
		i++
	}
	return runes, true
}

// encodePunycode is RFC 3492 §6.3; ok is false for labels longer than any host
// name has.
func encodePunycode(runes []rune) (coded string, ok bool) {
	if len(runes) > maxPunyRunes {
		return "", false
	}
	var b strings.Builder
	for _, r := range runes {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
		}
	}
	basic := b.Len()
	if basic > 0 {
		b.WriteByte('-')
	}
	n, delta, bias := rune(punyInitialN), 0, punyInitialBias
	for done := basic; done < len(runes); n++ {
		next := rune(utf8.MaxRune)
		for _, r := range runes {
			if r >= n {
				next = min(next, r)
			}
		}
		delta += int(next-n) * (done + 1)
		n = next
		for _, r := range runes {
			if r < n {
				delta++
			}
			if r != n {
				continue
			}
			writePunyDelta(&b, delta, bias)
			bias = adapt(delta, done+1, done == basic)
			delta = 0
			done++
		}
		delta++
	}
	return b.String(), true
}

func writePunyDelta(b *strings.Builder, delta, bias int) {
	for k := punyBase; ; k += punyBase {
		t := threshold(k, bias)
		if delta < t {
			b.WriteByte(punyDigits[delta])
			return
		}
		b.WriteByte(punyDigits[t+(delta-t)%(punyBase-t)])
		delta = (delta - t) / (punyBase - t)
	}
}
