package setting

import (
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// parseDuration reads a time span: an optional number of whole days such as
// 90d, then what time.ParseDuration accepts. Negative spans are refused.
func parseDuration(s string) (time.Duration, bool) {
	var days time.Duration
	if head, rest, found := strings.Cut(s, "d"); found {
		n, err := strconv.ParseUint(head, 10, 64)
		if err != nil || n > uint64(math.MaxInt64/day) {
			return 0, false
		}
		days = time.Duration(n) * day
		if s = rest; s == "" {
			return days, true
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > math.MaxInt64-days {
		return 0, false
	}
	return days + d, true
}

// formatDuration writes a time span in the shortest form parseDuration reads
// back: days, hours, minutes, seconds, leaving out what is zero.
func formatDuration(d time.Duration) string {
	if d <= 0 {
		return d.String()
	}
	var b strings.Builder
	for _, unit := range []struct {
		span time.Duration
		name string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if n := d / unit.span; n > 0 {
			b.WriteString(strconv.FormatInt(int64(n), 10) + unit.name)
			d %= unit.span
		}
	}
	if d > 0 {
		b.WriteString(strings.Replace(d.String(), "µ", "u", 1))
	}
	return b.String()
}
