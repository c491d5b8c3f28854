// Package sceppolicy describes the switches of one SCEP address: what a device
// may use and what it must prove. The description gives form, JSON, flags and
// documentation; package enroll keeps the values, and the SCEP door obeys
// them.
package sceppolicy

import (
	"time"

	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/setting"
)

// Endpoint holds the switches of one SCEP address. The defaults are the
// strict ones; what opens something needs an explicit word.
type Endpoint struct {
	Floor           string
	LegacyUntil     string // RFC 3339 date
	LegacyAccepted  bool
	StaticOn        bool
	Static          secret.Text
	ChallengeLife   time.Duration
	ChallengeUses   int
	ChallengeLength int
	ByAddress       bool // the challenge may be in the address instead of the request
	Renewal         bool
	RenewalWindow   int // days before expiry; 0: any time
	ChainInReply    bool
	SubjectKeyOther bool
	ClockSkew       time.Duration
	IssuersToo      bool   // GetCACert gives the certificates of an authority elsewhere as well
	RAAuthority     string // ID of the authority that issues the RA certificate; empty: found
}

// The floors of algorithms, from strict to lenient.
const (
	Modern = "modern"
	Compat = "compat"
	Legacy = "legacy"
)

// Describe names the settings.
func (s *Endpoint) Describe(f *setting.Form) {
	f.Section("Algorithms", "What a device may use. Nothing weaker than 3DES is ever sent.")
	f.Choice(&s.Floor, "floor", "Algorithm floor").Options(
		setting.Option{Value: Modern, Label: "Modern", Help: "AES and SHA-256 or better."},
		setting.Option{Value: Compat, Label: "Compatible", Help: "Also 3DES and SHA-1, for old network gear."},
		setting.Option{Value: Legacy, Label: "Legacy", Help: "Also reads single DES and MD5. Anyone on the path may read such requests."},
	).Default(Modern)
	f.Bool(&s.LegacyAccepted, "legacy_accepted", "I accept the risk of the legacy floor").When("floor", Legacy)
	f.Text(&s.LegacyUntil, "legacy_until", "Legacy floor ends on").Placeholder("2027-06-30").When("floor", Legacy).
		Help("On this day the endpoint goes back to the modern floor by itself.")
	f.Section("Challenges", "One challenge is for one device and one template.")
	f.Duration(&s.ChallengeLife, "challenge_life", "Life of a challenge").Default(time.Hour).Between(time.Minute, 90*24*time.Hour)
	f.Int(&s.ChallengeUses, "challenge_uses", "Uses of a challenge").Default(1).Between(1, 10)
	f.Int(&s.ChallengeLength, "challenge_length", "Length of a challenge").Default(32).Between(22, 255).Help("Characters of A-Z, a-z and 0-9; 22 are 128 bits.")
	f.Bool(&s.ByAddress, "challenge_in_address", "The challenge may be in the address").Advanced().
		Help("A device may then send its challenge as the last part of the address instead of in its request. For an authority behind this server that refuses requests with a challenge it does not know. Use HTTPS, so that nobody on the way reads it.")
	f.Bool(&s.StaticOn, "static_on", "Accept a static challenge").Help("Whoever knows it can enrol any device of the group by naming it in the subject's serial number or common name. Use it only for gear that can do nothing else.")
	f.Secret(&s.Static, "static", "Static challenge").When("static_on", "true")
	f.Section("Renewal", "")
	f.Bool(&s.Renewal, "renewal", "Renew by the old certificate").Default(true)
	f.Int(&s.RenewalWindow, "renewal_window_days", "Renewal opens this many days before expiry").Between(0, 3650).Help("0: at any time.")
	f.Section("Messages", "")
	f.Bool(&s.ChainInReply, "chain_in_reply", "Send the issuing certificates with the answer").Help("Some VPN clients need them, some routers refuse them.").Advanced()
	f.Bool(&s.SubjectKeyOther, "subject_key_may_differ", "The request's key may differ from the key that signs the message").Advanced()
	f.Text(&s.RAAuthority, "ra_authority", "Authority of the RA certificate").Placeholder("ca_01...").Advanced().
		Help("An embedded authority. Left empty, it is the template's own, or for an authority elsewhere the embedded one that is nearest: in the endpoint's group or above it.")
	f.Bool(&s.IssuersToo, "issuers_too", "Give the certificates of an authority elsewhere, too").Advanced().
		Help("For clients that want the issuing CA from GetCACert. Where the RA certificate is of another authority, there are two chains then, and certmonger may take the wrong one to encrypt to.")
	f.Duration(&s.ClockSkew, "clock_skew", "Clock difference allowed").Default(24*time.Hour).Between(time.Minute, 10*365*24*time.Hour).Advanced()
}

// Validate looks at what belongs together.
func (s *Endpoint) Validate() error {
	var p ra.Problems
	if s.Floor == Legacy {
		if !s.LegacyAccepted {
			p.Add("legacy_accepted", "The legacy floor needs to be accepted explicitly.", "Tick it, or choose another floor.")
		}
		if _, err := time.Parse(time.DateOnly, s.LegacyUntil); err != nil {
			p.Add("legacy_until", "The legacy floor needs an end date.", "Write a date as 2027-06-30.")
		}
	}
	if s.StaticOn && len(s.Static.Reveal()) < 16 {
		p.Add("static", "A static challenge needs at least 16 characters.", "Use a longer one; chancery makes one if you ask it for a token.")
	}
	return p.Err()
}

// FloorAt is the floor that holds now: a legacy floor ends on its date.
func (s *Endpoint) FloorAt(now time.Time) string {
	if s.Floor != Legacy {
		return s.Floor
	}
	until, err := time.Parse(time.DateOnly, s.LegacyUntil)
	if err != nil || now.After(until.AddDate(0, 0, 1)) {
		return Modern
	}
	return Legacy
}
