package console

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
)

// functions are what the views may call.
func functions(now func() time.Time, a assets) template.FuncMap {
	return template.FuncMap{
		"when":      func(t time.Time) template.HTML { return when(t, now()) },
		"stamp":     stamp,
		"badge":     func(state any) badge { return badgeOf(fmt.Sprint(state)) },
		"passBadge": passBadge,
		"lasted":    lasted,
		"words":     func(s any) string { return words(fmt.Sprint(s)) },
		"asset":     a.url,
		"icon":      icon,
		"action":    actionWords,
		"here":      here,
		"pairs":     colons,
		"count":     count,
		"plural":    plural,
		"clip":      clip,
		"add":       func(a, b int) int { return a + b },
		"num":       func(n int64) int { return int(n) },
		"join":      strings.Join,
		"took":      took,
		"size":      size,
		"cli":       func(lines ...string) []string { return lines },
		"inputID":   inputID,
	}
}

// when shows a time as people speak of it; the exact instant, in UTC, is in
// its title and for machines.
func when(t, now time.Time) template.HTML {
	if t.IsZero() {
		return `<span class="none">never</span>`
	}
	u := t.UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s UTC">%s</time>`, u.Format(time.RFC3339), u.Format("2006-01-02 15:04:05"), relative(u.Sub(now))))
}

// stamp shows a time exactly, to the minute.
func stamp(t time.Time) template.HTML {
	if t.IsZero() {
		return `<span class="none">never</span>`
	}
	u := t.UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s UTC">%s</time>`, u.Format(time.RFC3339), u.Format("2006-01-02 15:04:05"), u.Format("2006-01-02 15:04")))
}

// relative says how far away something is, in the largest unit that tells.
func relative(d time.Duration) string {
	span := d.Abs()
	if span < 45*time.Second {
		return "now"
	}
	text := spanWords(span)
	if d < 0 {
		return text + " ago"
	}
	return "in " + text
}

func spanWords(d time.Duration) string {
	const day = 24 * time.Hour
	units := []struct {
		size time.Duration
		name string
		from time.Duration // the unit is used from here on
	}{{365 * day, "year", 730 * day}, {30 * day, "month", 90 * day}, {day, "day", 2 * day}, {time.Hour, "hour", 2 * time.Hour}, {time.Minute, "minute", 0}}
	for _, u := range units {
		if d >= u.from {
			n := max(int((d+u.size/2)/u.size), 1)
			return plural(n, u.name)
		}
	}
	return ""
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if strings.HasSuffix(noun, "ty") || strings.HasSuffix(noun, "ry") {
		return count(n) + " " + strings.TrimSuffix(noun, "y") + "ies"
	}
	return count(n) + " " + noun + "s"
}

// count writes a number with its thousands apart.
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func took(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < time.Second:
		return fmt.Sprintf("%d ms", max(d.Milliseconds(), 1))
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// words makes a stable word readable: "awaiting_approval", "request.denied".
func words(s string) string {
	return strings.NewReplacer("_", " ", ".", " ", "-", " ").Replace(s)
}

// colons parts the hexadecimal of a serial or fingerprint into bytes; lines may
// break between them.
func colons(hex string) template.HTML {
	if strings.Trim(hex, "0123456789abcdef") != "" {
		return template.HTML(template.HTMLEscapeString(hex))
	}
	if len(hex)%2 == 1 {
		hex = "0" + hex
	}
	var b strings.Builder
	for i := 0; i < len(hex); i += 2 {
		if i > 0 {
			b.WriteString(":<wbr>")
		}
		b.WriteString(hex[i : i+2])
	}
	return template.HTML(b.String())
}

// here reports whether a menu entry leads to the page shown or to one above it.
func here(entry, path string) bool {
	return entry == path || entry != "/" && strings.HasPrefix(path, entry+"/")
}

// badge is a state with its tone; the tone decides colour and sign, the word
// says it.
type badge struct{ Tone, Word string }

var tones = map[string]string{
	string(ra.Valid): "good", string(ra.Superseded): "calm", string(ra.OnHold): "warn", string(ra.Revoked): "bad", string(ra.Expired): "off",
	string(ra.Requested): "busy", string(ra.AwaitingApproval): "warn", string(ra.Approved): "busy", string(ra.Submitted): "busy", string(ra.PendingAtCA): "busy",
	string(ra.Issued): "good", string(ra.DeniedState): "bad", string(ra.Failed): "bad", string(ra.Cancelled): "off",
	string(ra.DeviceEnrolled): "good", string(ra.DeviceUnenrolled): "off", string(ra.DeviceBlocked): "bad",
	string(ca.StepOK): "good", string(ca.StepWarning): "warn", string(ca.StepSkipped): "off",
	"refused": "warn", "on": "good", "disabled": "off", "late": "bad", "soon": "warn", "passed": "good", "used": "off", "open": "good", "unknown": "calm",
	"in use": "good", "servers learn it": "busy", "under way": "busy", "to come": "off", "waits for you": "warn", "done": "good", "some failed": "warn", "current": "good", "ended": "bad", "changes wait": "busy", "not made yet": "off", "settled": "off", "not settled": "warn", "on demand": "off",
	"inferred": "calm", "waiting": "busy", "not_reached": "off",
	ra.SeverityDanger: "bad", ra.SeverityAdvice: "calm", "signed off": "off", ra.FindingUnreadable: "warn", ra.FindingUnseen: "calm",
	"modern": "good", "compat": "warn", "legacy": "bad",
}

func badgeOf(state string) badge {
	tone := tones[state]
	if tone == "" {
		tone = "calm"
	}
	word := words(state)
	switch state {
	case string(ra.PendingAtCA):
		word = "pending at CA"
	case string(ca.StepOK):
		word = "OK"
	}
	if word != "" {
		word = strings.ToUpper(word[:1]) + word[1:]
	}
	return badge{tone, word}
}

// actionWords says what happens next.
func actionWords(a ra.Action) string {
	return map[ra.Action]string{
		ra.ActionNone: "Nothing", ra.ActionApprove: "People decide", ra.ActionIssue: "Ask the authority", ra.ActionFetch: "Fetch from the authority",
		ra.ActionRenew: "Renew", ra.ActionAwait: "Device renews", ra.ActionExpire: "Expires", ra.ActionRetire: "Retire", ra.ActionRevoke: "Tell the authority",
		ra.ActionDeliver: "Bring the parameters to the device", ra.ActionSync: "Take users over",
		ra.ActionPublish: "Publish in the directory", ra.ActionWithdraw: "Take out of the directory",
		ra.ActionHandOver: "Bring the key where it goes", ra.ActionTakeBack: "Take the key out of the directory",
		ra.ActionImport:   "Take certificates over",
		ra.ActionEvaluate: "The guard looks", ra.ActionMend: "Mend it, or sign it off",
	}[a]
}
