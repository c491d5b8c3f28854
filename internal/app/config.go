package app

import (
	"io"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"chancery/internal/ca"
	"chancery/internal/egress"
	"chancery/internal/ra"
	"chancery/internal/setting"
)

// DefaultData is where the data lives when nobody says otherwise.
const DefaultData = "chancery-data"

// Config holds what must be known before the database is open. Everything else
// is data. No configuration at all gives a working trial.
type Config struct {
	Data          string // folder
	Listen        string // host:port for everything, or for people when DeviceListen is set
	DeviceListen  string // host:port for devices and relying parties
	PublicURL     string // how devices and relying parties reach this server
	Database      string
	MasterKey     string   // path
	Certificate   string   // path of the TLS certificate chain, PEM
	Key           string   // path of its key, PEM
	MetricsListen string   // host:port of the metrics, to whoever reaches it; empty: none
	TraceURL      string   // OTLP receiver of spans; empty: none
	EgressAllow   []string // what may be reached of what people type (package egress)
	LogLevel      string
	LogFormat     string
	TrustClock    bool // the clock at this start is right, however far it is from what is on record

	// Log, when set, is used instead of LogLevel and LogFormat.
	Log *slog.Logger

	// The rest is for Go programs that start the server in a world of their
	// own; it has no flag, variable or line in the file.

	// Step, when set, is called with the label of each step that enroll.Steps
	// and lifecycle.Steps list, just before it is taken.
	Step func(label string)
	// Now is the clock of the server's business; nil means the system's.
	Now func() time.Time
	// Kinds are kinds of authority besides those the product has.
	Kinds []ca.Kind
}

// Describe names the settings.
func (c *Config) Describe(f *setting.Form) {
	f.Section("Where the data lives", "")
	f.Text(&c.Data, "data", "Data folder").Default(DefaultData)
	f.Text(&c.Database, "database", "Database").Help("sqlite:PATH or postgres://USER@HOST/DATABASE; empty: SQLite in the data folder.")
	f.Text(&c.MasterKey, "master_key", "Master key file").Help("Empty: master.key in the data folder. Keep a copy in another place: without it no secret can be opened.")
	f.Section("Addresses", "")
	f.Text(&c.Listen, "listen", "Listen address").Default("127.0.0.1:8600").Help("host:port of the console and API, and of devices too unless they have an address of their own.")
	f.Text(&c.DeviceListen, "device_listen", "Listen address for devices").Help("host:port of SCEP, CRL and OCSP. Set it in production, so that devices never reach the console.")
	f.URL(&c.PublicURL, "public_url", "Public URL").Help("How devices and relying parties reach this server; it is written into certificates. Empty: http:// and the listen address.")
	f.Text(&c.Certificate, "tls_certificate", "TLS certificate file").Help("PEM chain for the listen address; empty: plain HTTP, for loopback or behind a proxy.")
	f.Text(&c.Key, "tls_key", "TLS key file")
	f.Section("The way out", "Where this server may connect to when somebody types an address, such as that of an authority.")
	f.List(&c.EgressAllow, "egress_allow", "Addresses it may connect to").Default(egress.Default).Check(func(allow []string) error { _, err := egress.Parse(allow); return err }).
		Help("The words public and private (RFC 1918, RFC 4193), addresses, and ranges such as 10.1.0.0/16. The machine itself and link-local addresses must be named to be reached.")
	f.Section("Watching", "")
	f.Text(&c.MetricsListen, "metrics_listen", "Listen address for metrics").Help("host:port where Prometheus reads /metrics without a token; choose one only it can reach. Empty: with an API token on the console's address only.")
	f.Text(&c.TraceURL, "trace_url", "Receiver of traces").Help("OTLP over HTTP, such as http://127.0.0.1:4318. Empty: none are sent.")
	f.Section("Clock", "")
	f.Bool(&c.TrustClock, "trust_clock", "Trust the clock").Help("Take the clock at this start for right, however far it is from what is on record. Give it once, after a wrong clock was set right.")
	f.Section("Log", "")
	f.Choice(&c.LogLevel, "log_level", "Log level").Options(setting.Option{Value: "debug", Label: "Debug"}, setting.Option{Value: "info", Label: "Info"},
		setting.Option{Value: "warn", Label: "Warnings"}, setting.Option{Value: "error", Label: "Errors"}).Default("info")
	f.Choice(&c.LogFormat, "log_format", "Log format").Options(setting.Option{Value: "text", Label: "Text"}, setting.Option{Value: "json", Label: "JSON"}).Default("text")
}

// Validate looks at what belongs together.
func (c *Config) Validate() error {
	var p ra.Problems
	if (c.Certificate == "") != (c.Key == "") {
		p.Add("tls_key", "A TLS certificate and its key go together.", "Set both tls_certificate and tls_key, or none.")
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			p.Add("public_url", "The public URL must be a scheme and a host, and nothing more.", "Write it as http://pki.example.org.")
		}
	}
	return p.Err()
}

// settle fills what follows from other settings.
func (c *Config) settle() {
	if c.Data == "" {
		c.Data = DefaultData
	}
	if c.Database == "" {
		c.Database = "sqlite:" + filepath.Join(c.Data, "chancery.db")
	}
	if c.MasterKey == "" {
		c.MasterKey = filepath.Join(c.Data, "master.key")
	}
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	if c.EgressAllow == nil {
		c.EgressAllow = egress.Default
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

func (c *Config) logger(w io.Writer) *slog.Logger {
	if c.Log != nil {
		return c.Log
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		level = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
