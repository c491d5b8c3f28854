package adcs

import (
	"context"
	"strings"

	"chancery/internal/adcsclient"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/setting"
)

// describeGuard names the settings of the guard, which others run.
func (s *Settings) describeGuard(f *setting.Form) {
	f.Section("Guard", "It looks daily, and with each test of the connection, whether somebody without rights can become anybody through this CA or its templates.")
	f.Text(&s.Directory, "directory", "Directory").MaxLength(60).
		Help("A directory of this forest that is defined here, by its ID. Its account reads templates, their rights and what they require; any user may. Left empty, only what the CA itself tells is judged.")
	f.List(&s.GuardAdmins, "guard_admins", "Administrators' groups").MaxLength(200).Check(checkSIDs).Advanced().
		Help("SIDs of groups of yours that may change templates and CAs, besides the usual ones.")
	f.List(&s.GuardLarge, "guard_large", "Large groups").MaxLength(200).Check(checkSIDs).Advanced().
		Help("SIDs of groups that nearly everybody is in: their rights count as everybody's.")
}

// Guard says what the guard needs to know.
func (s *Settings) Guard() ca.Guard {
	return ca.Guard{Directory: ra.DirectoryID(s.Directory), Account: s.User, Admins: s.GuardAdmins, Large: s.GuardLarge}
}

func checkSIDs(list []string) error {
	for _, sid := range list {
		if rest, ok := strings.CutPrefix(sid, "S-1-"); !ok || rest == "" || strings.Trim(rest, "0123456789-") != "" {
			return ra.Errorf(ra.Invalid, "%.80q is not a security identifier.", sid).WithRemedy("Give the group's objectSid, such as S-1-5-21-1004336348-1177238915-682003330-1604.")
		}
	}
	return nil
}

// Posture asks the CA about its own configuration, in one session. Low-privileged
// accounts are refused some of it.
func (c *Connector) Posture(ctx context.Context) ca.Posture {
	p := ca.Posture{Host: c.host}
	if c.agent != nil {
		p.Agent = c.agent.Certificate
	}
	err := c.with(ctx, true, func(ctx context.Context, client *adcsclient.Client) error {
		flags, err := client.EditFlags(ctx)
		if ra.KindOf(err) == ra.Unreachable {
			return err // neither is the rest
		}
		p.EditFlags = ca.Answered(flags, err)
		p.InterfaceFlags = ca.Answered(client.InterfaceFlags(ctx))
		extensions, err := client.DisableExtensionList(ctx)
		p.DisabledExtensions = ca.Answered(identifiers(extensions), err)
		p.Security = ca.Answered(client.Security(ctx))
		return nil
	})
	if err != nil {
		p.EditFlags, p.InterfaceFlags = ca.Answered(uint32(0), err), ca.Answered(uint32(0), err)
		p.DisabledExtensions, p.Security = ca.Answered[[]string](nil, err), ca.Answered[[]byte](nil, err)
	}
	p.Name = ca.Answered(c.authority(ctx))
	return p
}

// identifiers reads a list of object identifiers, whatever is between them.
func identifiers(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
}
