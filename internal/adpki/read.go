package adpki

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"chancery/internal/ra"
	"chancery/internal/wire/secdesc"
)

const (
	// maxObjects bounds one kind of object; a forest has hundreds at most.
	maxObjects = 10_000
	// maxNames bounds the SIDs that are looked up, batch how many at a time.
	maxNames  = 5_000
	nameBatch = 50
)

// Options says what Read needs to know besides the connection.
type Options struct {
	// Account is our service account: CORP\svc, svc@corp.example or svc; empty
	// when nobody needs to know what it may.
	Account string
	// SIDs are more that need a name, such as those AuthorityHolders gives.
	SIDs []string
	Now  func() time.Time
}

// Read reads the public key services of the forest the searcher is connected
// to. It fails only when the directory does not say where they are, or when ctx
// ends; everything else that cannot be read is in Gaps. Its errors are
// *ra.Error of the kinds the searcher gives, and ra.NotFound when the forest
// has no public key services.
func Read(ctx context.Context, dir Searcher, o Options) (*Snapshot, error) {
	root, err := readRoot(ctx, dir)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{Taken: o.Now(), Configuration: root.configuration, Domain: root.domain, Names: map[string]Principal{}}
	r := &reader{ctx: ctx, dir: dir, s: s, root: root, pki: "CN=Public Key Services,CN=Services," + root.configuration}
	if err := r.containers(); err != nil {
		return nil, err
	}
	s.Templates = readAll(r, PartTemplates, "CN=Certificate Templates,"+r.pki, "(objectClass=pKICertificateTemplate)", templateAttributes, parseTemplate)
	s.Services = readAll(r, PartServices, "CN=Enrollment Services,"+r.pki, "(objectClass=pKIEnrollmentService)", serviceAttributes, parseService)
	s.Policies = readAll(r, PartPolicies, "CN=OID,"+r.pki, "(&(objectClass=msPKI-Enterprise-Oid)(msPKI-Cert-Template-OID=*))", policyAttributes, parsePolicy)
	if list := readAll(r, PartNTAuth, "CN=NTAuthCertificates,"+r.pki, "(objectClass=certificationAuthority)", ntAuthAttributes, parseNTAuth); len(list) > 0 {
		s.NTAuth = &list[0]
	}
	r.hosts()
	s.Privileged = readAll(r, PartPrivileged, root.domain, "(&(adminCount=1)(|(objectClass=user)(objectClass=computer)))", privilegedAttributes, parsePrivileged)
	if o.Account != "" {
		r.account(o.Account)
	}
	r.names(o.SIDs)
	return s, ctx.Err()
}

type rootDSE struct{ configuration, domain, forest string }

func readRoot(ctx context.Context, dir Searcher) (rootDSE, error) {
	found, err := dir.Search(ctx, Query{Scope: Base, Filter: "(objectClass=*)",
		Attributes: []string{"configurationNamingContext", "defaultNamingContext", "rootDomainNamingContext"}})
	if err != nil {
		return rootDSE{}, err
	}
	noDirectory := ra.Errorf(ra.Invalid, "The server is not an Active Directory domain controller.").
		WithRemedy("Give the address of a domain controller of the forest the certification authority is in.")
	if len(found) != 1 {
		return rootDSE{}, noDirectory
	}
	f := &fields{entry: found[0]}
	root := rootDSE{f.text("configurationNamingContext"), f.text("defaultNamingContext"), f.text("rootDomainNamingContext")}
	if f.err != nil || root.configuration == "" || root.domain == "" {
		return rootDSE{}, noDirectory
	}
	return root, nil
}

// reader carries what all steps of Read need.
type reader struct {
	ctx  context.Context
	dir  Searcher
	s    *Snapshot
	root rootDSE
	pki  string
	// domains are the NetBIOS names by naming context.
	domains map[string]string
}

func (r *reader) gap(p Part, object, why string) {
	r.s.Gaps = append(r.s.Gaps, Gap{p, object, why})
}

// reason is what a Gap says of an error: its sentence for people.
func reason(err error) string {
	var e *ra.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return "The directory did not answer as it should."
}

// readAll reads all objects of a kind below base. One that cannot be understood
// is a gap of its own.
func readAll[T any](r *reader, p Part, base, filter string, attributes []string, parse func(Entry) (T, error)) []T {
	found, err := r.dir.Search(r.ctx, Query{Base: base, Scope: Subtree, Filter: filter, Attributes: attributes, Security: true})
	if err == nil && len(found) > maxObjects {
		err = ra.Errorf(ra.TooLarge, "There are more than %d of them.", maxObjects)
	}
	if errors.Is(err, &ra.Error{Kind: ra.NotFound}) {
		// Active Directory says the same of what is not there and of what the
		// account may not see.
		err = ra.Errorf(ra.NotFound, "The directory does not show %s: it is not there, or the account may not see it.", base)
	}
	if err != nil {
		r.gap(p, "", reason(err))
		return nil
	}
	slices.SortFunc(found, func(a, b Entry) int { return strings.Compare(a.DN, b.DN) })
	var list []T
	for _, e := range found {
		item, err := parse(e)
		if err != nil {
			r.gap(p, e.DN, fmt.Sprintf("It could not be read: %v.", err))
			continue
		}
		list = append(list, item)
	}
	return list
}

func parseObject(e Entry) (Object, error) {
	f := &fields{entry: e}
	o := f.object()
	return o, f.err
}

// containers reads the top and what is right below it; that of the object
// identifiers is one of them itself. Without the top there
// is nothing to read at all.
func (r *reader) containers() error {
	found, err := r.dir.Search(r.ctx, Query{Base: r.pki, Scope: Base, Filter: "(objectClass=*)", Attributes: objectAttributes, Security: true})
	if errors.Is(err, &ra.Error{Kind: ra.NotFound}) || err == nil && len(found) != 1 {
		return ra.Errorf(ra.NotFound, "The directory shows no public key services.").WithCause(err).
			WithRemedy("Check that the forest has an enterprise certification authority and that the account may read the configuration naming context.")
	}
	if err != nil {
		return err
	}
	top, err := parseObject(found[0])
	if err != nil {
		r.gap(PartContainers, found[0].DN, fmt.Sprintf("It could not be read: %v.", err))
	} else {
		r.s.Containers = append(r.s.Containers, top)
	}
	below, err := r.dir.Search(r.ctx, Query{Base: r.pki, Scope: One, Filter: "(|(objectClass=container)(cn=OID))", Attributes: objectAttributes, Security: true})
	if err != nil {
		r.gap(PartContainers, "", reason(err))
		return nil
	}
	for _, e := range below {
		o, err := parseObject(e)
		if err != nil {
			r.gap(PartContainers, e.DN, fmt.Sprintf("It could not be read: %v.", err))
			continue
		}
		r.s.Containers = append(r.s.Containers, o)
	}
	return nil
}

// hosts finds the computer accounts of the services by their DNS names.
func (r *reader) hosts() {
	var filter strings.Builder
	names := map[string]bool{}
	for _, s := range r.s.Services {
		if host := strings.ToLower(s.Host); host != "" && !names[host] {
			names[host] = true
			filter.WriteString("(dNSHostName=" + escape(s.Host) + ")")
		}
	}
	if len(names) == 0 {
		return
	}
	r.s.Hosts = readAll(r, PartHosts, r.root.domain, "(&(objectClass=computer)(|"+filter.String()+"))", hostAttributes, parseHost)
	for _, h := range r.s.Hosts {
		delete(names, strings.ToLower(h.DNSName))
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		r.gap(PartHosts, name, "Its computer account is not in the domain that was asked.")
	}
}

// account finds our account and all groups it is in, which only a search of
// the account itself computes (MS-ADTS §3.1.1.4.5.19).
func (r *reader) account(login string) {
	name := login
	if _, after, ok := strings.Cut(login, `\`); ok {
		name = after
	}
	filter := "(|(userPrincipalName=" + escape(login) + ")(sAMAccountName=" + escape(name) + "))"
	if before, _, ok := strings.Cut(login, "@"); ok {
		filter = "(|(userPrincipalName=" + escape(login) + ")(sAMAccountName=" + escape(before) + "))"
	}
	attributes := []string{"objectSid", "sAMAccountName", "userPrincipalName"}
	found, err := r.dir.Search(r.ctx, Query{Base: r.root.domain, Scope: Subtree, Filter: filter, Attributes: attributes})
	if err != nil {
		r.gap(PartAccount, "", reason(err))
		return
	}
	if len(found) > 1 { // the principal name is the better one to go by
		found = slices.DeleteFunc(found, func(e Entry) bool {
			return !strings.EqualFold((&fields{entry: e}).text("userPrincipalName"), login)
		})
	}
	if len(found) != 1 {
		r.gap(PartAccount, "", "The service account was not found in the directory.")
		return
	}
	dn := found[0].DN
	groups, err := r.dir.Search(r.ctx, Query{Base: dn, Scope: Base, Filter: "(objectClass=*)", Attributes: []string{"tokenGroups"}})
	if err != nil || len(groups) != 1 {
		r.gap(PartAccount, "", "The groups of the service account could not be read.")
		return
	}
	f := &fields{entry: found[0]}
	a := Account{Principal: Principal{SID: f.sid("objectSid"), Name: f.text("sAMAccountName"), DN: dn}}
	g := &fields{entry: groups[0]}
	a.Token = []string{a.SID, sidEveryone, sidAuthenticated}
	for _, b := range g.all("tokenGroups") {
		sid, err := secdesc.ParseSID(b)
		if err != nil {
			g.fail("tokenGroups", "is not a security identifier")
			break
		}
		a.Token = append(a.Token, sid)
	}
	if f.err != nil || g.err != nil {
		r.gap(PartAccount, "", "The service account could not be read.")
		return
	}
	r.s.Account = a
}

// escape makes a value safe in a filter (RFC 4515 §3).
func escape(value string) string {
	var b strings.Builder
	for i := range len(value) {
		switch c := value[i]; c {
		case 0, '(', ')', '*', '\\':
			fmt.Fprintf(&b, `\%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
