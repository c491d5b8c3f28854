package observe

import (
	"fmt"
	"strings"
)

// Markdown is the page docs/metrics.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString("# Metrics\n\n")
	b.WriteString("`/metrics` gives them in the text format of Prometheus: on the address `metrics_listen` to whoever reaches it, on the console's address to an API token that may read, and on\n" +
		"the socket in the data folder. Labels hold names an administrator chose and words of this program, never what a client sent. Besides these there are those of the Go runtime (`go_`), the\n" +
		"process (`process_`) and the database connections (`go_sql_`). `deploy/prometheus` has alert rules and `deploy/grafana` a dashboard for them.\n")
	table := func(title, text string, all []describe) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n", title, text)
		for _, d := range all {
			labels := "-"
			if len(d.labels) > 0 {
				labels = "`" + strings.Join(d.labels, "`, `") + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.name, d.kind, labels, d.help)
		}
	}
	table("What happens", "Counted on each node since its start.", happening)
	table("How things stand", "The same on every node: read from the database.", standing)
	return b.String()
}
