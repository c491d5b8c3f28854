package console

import (
	"fmt"
	"strings"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/lifecycle"
	"chancery/internal/wire/pkixmsg"
)

// publication is what one issuing certificate tells relying parties.
type publication struct {
	Subject string
	Lists   []listLine
	Bytes   int64
	Next    time.Time // the end of the list that ends first
	Fold    bool      // too many to show at once
}

// listLine is one revocation list.
type listLine struct {
	lifecycle.PublishedList
	Part  string // which revocations are on it
	State string
	Also  []string // addresses that certificates issued earlier name it by
}

// foldLists is from how many lists on they are shown only when asked for.
const foldLists = 9

// published fills in where revocations are found, for an authority whose lists
// are signed here. It gives the address of each issuer's certificate, by the
// hash of its key.
func (v *visit) published(data *authorityView) (certificates map[string]string, err error) {
	all, err := v.Lifecycle.Published(v.ctx(), v.actor, data.Authority.ID)
	if err != nil {
		return nil, err
	}
	certificates = map[string]string{}
	for _, p := range all {
		hash := authority.Hash(p.Issuer.RawSubjectPublicKeyInfo)
		base, _, named := strings.Cut(p.Address, "/pki/")
		if !named {
			base, data.Unnamed = strings.TrimRight(v.PublicURL, "/"), true
		}
		data.OCSP = base + "/ocsp"
		certificates[hash] = base + "/pki/" + hash[:16] + ".cer"
		name, err := pkixmsg.ParseNameDER(p.Issuer.RawSubject)
		if err != nil {
			return nil, err
		}
		out := publication{Subject: name.String(), Fold: len(p.Lists) >= foldLists}
		for _, l := range p.Lists {
			if l.Address == "" {
				l.Address = listAddress(base, hash, l.Name)
			}
			line := listLine{PublishedList: l, Part: partWords(l.Name), State: listState(l, v.Now())}
			for _, point := range l.Points {
				if point != l.Address {
					line.Also = append(line.Also, point)
				}
			}
			out.Bytes += l.Bytes
			if l.Number > 0 && (out.Next.IsZero() || l.NextUpdate.Before(out.Next)) {
				out.Next = l.NextUpdate
			}
			out.Lists = append(out.Lists, line)
		}
		data.Published = append(data.Published, out)
	}
	return certificates, nil
}

// listAddress is where this server gives a list out, named or not.
func listAddress(base, hash, name string) string {
	if name != "" {
		name = "-" + name
	}
	return base + "/pki/" + hash[:16] + name + ".crl"
}

func partWords(name string) string {
	shard, _ := ca.ParseShard(name)
	if shard.Count <= 1 {
		return "All revocations"
	}
	return fmt.Sprintf("Part %d of %d", shard.Index+1, shard.Count)
}

func listState(l lifecycle.PublishedList, now time.Time) string {
	switch {
	case l.Number == 0:
		return "not made yet"
	case !l.NextUpdate.After(now):
		return "ended"
	case l.Stale() && l.OnDemand:
		return "on demand"
	case l.Stale():
		return "changes wait"
	}
	return "current"
}

// size writes a number of bytes as people read it.
func size(n int64) string {
	switch {
	case n < 1000:
		return plural(int(n), "byte")
	case n < 1000*1000:
		return fmt.Sprintf("%.1f kB", float64(n)/1000)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1000/1000)
}
