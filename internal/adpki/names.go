package adpki

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"chancery/internal/wire/secdesc"
)

// names looks up everybody who is named in an access list. Whoever the domain
// does not know keeps the SID for a name.
func (r *reader) names(more []string) {
	sids := r.everybody(more)
	if len(sids) > maxNames {
		r.gap(PartNames, "", fmt.Sprintf("More than %d accounts and groups are named in access lists.", maxNames))
		sids = sids[:maxNames]
	}
	r.netBIOS()
	for _, sid := range sids {
		r.s.Names[sid] = Principal{SID: sid, Name: fallback(sid)}
	}
	sids = slices.DeleteFunc(sids, func(sid string) bool { return !strings.HasPrefix(sid, "S-1-5-21-") })
	bases := []string{r.root.domain}
	if r.root.forest != "" && !strings.EqualFold(r.root.forest, r.root.domain) {
		bases = append(bases, r.root.forest)
	}
	for batch := range slices.Chunk(sids, nameBatch) {
		for i, base := range bases {
			// Another domain answers with a referral, which is no gap.
			if err := r.nameBatch(base, batch); err != nil && i == 0 {
				r.gap(PartNames, "", reason(err))
				return
			}
		}
	}
	if r.s.Account.SID != "" {
		r.s.Account.Principal = r.s.Names[r.s.Account.SID]
	}
}

func fallback(sid string) string {
	if w := known(sid); w.name != "" {
		return w.name
	}
	return sid
}

// everybody lists the SIDs that will be spoken of, in order.
func (r *reader) everybody(more []string) []string {
	seen := map[string]bool{}
	for _, sid := range more {
		seen[sid] = true
	}
	for _, o := range r.s.objects() {
		if o.Security == nil {
			continue
		}
		for _, sid := range named(o.Security) {
			seen[sid] = true
		}
	}
	for _, p := range r.s.Privileged {
		seen[p.SID] = true
	}
	for _, h := range r.s.Hosts {
		seen[h.SID] = true
	}
	seen[r.s.Account.SID] = true
	delete(seen, "")
	return slices.Sorted(maps.Keys(seen))
}

// objects lists all objects of the snapshot.
func (s *Snapshot) objects() []*Object {
	var list []*Object
	for i := range s.Containers {
		list = append(list, &s.Containers[i])
	}
	for i := range s.Templates {
		list = append(list, &s.Templates[i].Object)
	}
	for i := range s.Services {
		list = append(list, &s.Services[i].Object)
	}
	for i := range s.Policies {
		list = append(list, &s.Policies[i].Object)
	}
	for i := range s.Hosts {
		list = append(list, &s.Hosts[i].Object)
	}
	for i := range s.Privileged {
		list = append(list, &s.Privileged[i].Object)
	}
	if s.NTAuth != nil {
		list = append(list, &s.NTAuth.Object)
	}
	return list
}

// netBIOS reads the short names of the forest's domains. Without them names
// stand alone.
func (r *reader) netBIOS() {
	r.domains = map[string]string{}
	found, err := r.dir.Search(r.ctx, Query{Base: "CN=Partitions," + r.root.configuration, Scope: One,
		Filter: "(&(objectClass=crossRef)(nETBIOSName=*))", Attributes: []string{"nCName", "nETBIOSName"}})
	if err != nil {
		r.gap(PartNames, "CN=Partitions,"+r.root.configuration, reason(err))
		return
	}
	for _, e := range found {
		f := &fields{entry: e}
		r.domains[strings.ToLower(f.text("nCName"))] = f.text("nETBIOSName")
	}
}

func (r *reader) nameBatch(base string, sids []string) error {
	var filter strings.Builder
	for _, sid := range sids {
		b, err := secdesc.AppendSID(nil, sid)
		if err != nil {
			continue
		}
		filter.WriteString("(objectSid=")
		for _, octet := range b {
			fmt.Fprintf(&filter, `\%02x`, octet)
		}
		filter.WriteString(")")
	}
	found, err := r.dir.Search(r.ctx, Query{Base: base, Scope: Subtree, Filter: "(|" + filter.String() + ")", Attributes: []string{"objectSid", "sAMAccountName", "cn"}})
	if err != nil {
		return err
	}
	for _, e := range found {
		f := &fields{entry: e}
		sid, name := f.sid("objectSid"), f.text("sAMAccountName")
		if name == "" {
			name = f.text("cn") // a foreign principal has no account name
		}
		if f.err != nil || name == "" {
			continue
		}
		if short := r.domains[strings.ToLower(base)]; short != "" {
			name = short + `\` + name
		}
		r.s.Names[sid] = Principal{SID: sid, Name: name, DN: e.DN}
	}
	return nil
}
