package console

import (
	"fmt"
	"time"

	"chancery/internal/authority"
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
		base := p.Base(v.PublicURL)
		data.Unnamed = data.Unnamed || p.Address == ""
		data.OCSP = base + "/ocsp"
		certificates[hash] = base + "/pki/" + hash[:16] + ".cer"
		name, err := pkixmsg.ParseNameDER(p.Issuer.RawSubject)
		if err != nil {
			return nil, err
		}
		out := publication{Subject: name.String(), Fold: len(p.Lists) >= foldLists}
		for _, l := range p.Lists {
			l.Address = p.At(l, v.PublicURL)
			line := listLine{PublishedList: l, Part: partWords(l), State: l.State(v.Now()), Also: l.Also(l.Address)}
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

func partWords(l lifecycle.PublishedList) string {
	part, of := l.Part()
	if of == 1 {
		return "All revocations"
	}
	return fmt.Sprintf("Part %d of %d", part, of)
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
