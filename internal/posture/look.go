package posture

import (
	"context"
	"slices"
	"strings"

	"chancery/internal/adpki"
	"chancery/internal/adpki/guard"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/wire/secdesc"
)

// look is all that was seen of an authority at one time.
type look struct {
	guard.Input
	unread  []guard.Finding // pages that could not be asked
	more    []ra.Finding    // what is no ESC condition: of the enrollment agent, of logons
	problem error           // why the directory could not be read
}

// look asks the authority, its directory and its web pages. What does not answer
// is unknown, with the reason.
func (s *Service) look(ctx context.Context, o *authority.Open) (*look, error) {
	l := &look{Input: guard.Input{Trust: guard.Trust{Admins: o.Guard.Admins, Large: o.Guard.Large}}}
	told := ca.Posture{}
	if x, ok := o.Connector.(ca.Exposed); ok {
		told = x.Posture(ctx)
	}
	l.Authority = guard.Authority{Name: o.Authority.Name, Host: told.Host, EditFlags: fact(told.EditFlags), InterfaceFlags: fact(told.InterfaceFlags),
		DisabledExtensions: fact(told.DisabledExtensions), Security: descriptor(told.Security)}
	if l.problem = s.readDirectory(ctx, o, l); l.problem != nil {
		s.Log.Warn("the directory of an authority's guard was not read", "authority", o.Authority.Name, "directory", o.Guard.Directory, "error", l.problem)
		l.Directory = blind(ra.AsError(l.problem).Message)
	}
	switch service := l.service(); {
	case told.Name.Known:
		l.Authority.Name = told.Name.Value
	case service != nil:
		l.Authority.Name = service.DisplayName
	}
	l.more = slices.Concat(ofAgent(told.Agent, s.Now()), l.ofLogons(s.Now()))
	if err := s.askPages(ctx, o, l); err != nil {
		return nil, err
	}
	return l, ctx.Err()
}

func fact[T any](a ca.Answer[T]) guard.Fact[T] {
	return guard.Fact[T]{Value: a.Value, Known: a.Known, Why: a.Why}
}

func descriptor(a ca.Answer[[]byte]) guard.Fact[*secdesc.Descriptor] {
	if !a.Known {
		return guard.Unknown[*secdesc.Descriptor](a.Why)
	}
	d, err := secdesc.Parse(a.Value)
	if err != nil {
		return guard.Unknown[*secdesc.Descriptor]("Its access list cannot be understood.")
	}
	return guard.Known(d)
}

// noDirectory is why templates are not judged where no directory is set.
const noDirectory = "No directory is set for this authority."

func (s *Service) readDirectory(ctx context.Context, o *authority.Open, l *look) error {
	if o.Guard.Directory == "" {
		l.Directory = blind(noDirectory)
		return nil
	}
	conn, err := s.Directories.Connect(ctx, o.Guard.Directory)
	if err != nil {
		return err
	}
	defer conn.Close()
	options := adpki.Options{Account: o.Guard.Account, Now: s.Now}
	if l.Authority.Security.Known {
		for _, h := range adpki.AuthorityHolders(l.Authority.Security.Value, adpki.ManageAuthority, adpki.ManageCertificates) {
			options.SIDs = append(options.SIDs, h.SID)
		}
	}
	l.Directory, err = adpki.Read(ctx, adpki.FromLDAP(conn), options)
	return err
}

// blind is a snapshot of a directory that nobody could read.
func blind(why string) *adpki.Snapshot {
	s := &adpki.Snapshot{Names: map[string]adpki.Principal{}}
	for _, p := range parts {
		s.Gaps = append(s.Gaps, adpki.Gap{Part: p, Why: why})
	}
	return s
}

var parts = []adpki.Part{adpki.PartTemplates, adpki.PartServices, adpki.PartNTAuth, adpki.PartPolicies, adpki.PartContainers, adpki.PartHosts,
	adpki.PartPrivileged, adpki.PartNames, adpki.PartAccount}

// service finds the authority among the enrollment services of its forest; nil
// when it is not there.
func (l *look) service() *adpki.Service {
	for i := range l.Directory.Services {
		s := &l.Directory.Services[i]
		if strings.EqualFold(s.DisplayName, l.Authority.Name) || strings.EqualFold(s.Name, l.Authority.Name) || l.Authority.Host != "" && strings.EqualFold(s.Host, l.Authority.Host) {
			return s
		}
	}
	return nil
}

// report judges what was seen. Where the directory was not read, the templates are
// those of before.
func (l *look) report(o *authority.Open, by ra.Actor, before *ra.PostureReport) *ra.PostureReport {
	r := &ra.PostureReport{Directory: o.Guard.Directory, Account: o.Guard.Account, By: by.Name}
	if l.Directory.Account.SID != "" {
		r.Account = l.Directory.Account.Name
	}
	judged := guard.Evaluate(l.Input)
	at := slices.IndexFunc(judged, func(f guard.Finding) bool { return f.ID == "ESC9" })
	for _, f := range slices.Insert(judged, at, l.unread...) {
		r.Findings = append(r.Findings, finding(f))
	}
	r.Findings = append(r.Findings, l.more...)
	if _, missing := l.Directory.Gap(adpki.PartTemplates); missing {
		if before != nil && before.Directory == r.Directory {
			r.Templates, r.ReadAt = before.Templates, before.ReadAt
		}
		return r
	}
	r.Templates, r.ReadAt = l.templates(), l.Directory.Taken
	return r
}

func finding(f guard.Finding) ra.Finding {
	out := ra.Finding{Condition: f.ID, Key: f.Key, State: string(f.State), Severity: string(f.Severity), Object: f.Object, Template: f.Template,
		Authority: strings.HasPrefix(f.Key, f.ID+":authority:"), Sentence: f.Sentence, Remedy: f.Remedy, Script: f.Script, Hash: f.Hash}
	if f.State == guard.Unreadable && strings.HasSuffix(f.Sentence, noDirectory) {
		out.Sentence, out.Remedy = strings.ToUpper(f.Sentence[:1])+f.Sentence[1:], "Set the directory of the CA's forest in the settings of the authority."
	}
	for _, p := range f.Who {
		out.Who = append(out.Who, ra.Principal{SID: p.SID, Name: p.Name})
	}
	return out
}

// templates says of each template of the directory what it requires.
func (l *look) templates() []ra.IssuingTemplate {
	service := l.service()
	list := make([]ra.IssuingTemplate, 0, len(l.Directory.Templates))
	for i := range l.Directory.Templates {
		t := &l.Directory.Templates[i]
		out := ra.IssuingTemplate{Name: t.Name, Title: t.DisplayName, OID: t.OID, Impossible: t.Impossible(), Purposes: t.Purposes(), Enroll: "unknown"}
		for _, r := range t.Requirements() {
			if !r.Impossible {
				out.Requires = append(out.Requires, r.Text)
			}
		}
		if service != nil {
			out.Issued = service.Offers(t.Name)
		} else {
			out.Issued = len(l.Directory.PublishedBy(t.Name)) > 0
		}
		if l.Directory.Account.SID != "" {
			switch t.MayEnroll(l.Directory.Account.Token) {
			case secdesc.Granted:
				out.Enroll = "yes"
			case secdesc.Denied:
				out.Enroll = "no"
			}
		}
		list = append(list, out)
	}
	return list
}
