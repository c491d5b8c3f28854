package adcs

import (
	"context"
	"crypto/x509"
	"math"
	"strings"

	"chancery/internal/adcsclient"
	"chancery/internal/ca"
	"chancery/internal/ra"
)

// Lister is a Connector whose protocols have DCOM, so that the CA's database can be
// read: the requests that were issued, in the order of their numbers, with what was
// revoked since.
//
// The database is a table that changes while it is read, for hours where it is
// large. Each session reads what follows the last number that was given (read.go),
// so that a session that breaks costs nothing but another one.
//
// What a release from hold leaves in the database is not told anywhere: where the
// CA keeps its time as that of the last change of the revocation, Listing.Changed
// finds it; elsewhere only reading everything does.
type Lister struct{ *Connector }

// portion is how many certificates are given at once.
const portion = 500

// List gives the certificates of the CA's database. It needs Read at the CA, or
// Issue and Manage Certificates. A certificate that the database does not show is
// asked for by its serial number; one that cannot be had so either is given without
// its octets.
//
// A revocation whose time lies ahead counts from now on, as the CA's own console
// shows it.
func (l *Lister) List(ctx context.Context, from ca.Listing, each func([]ca.Listed) error) error {
	name, err := l.authority(ctx)
	if err != nil {
		return err
	}
	templates, err := l.templates(ctx)
	if err != nil {
		return err
	}
	q := adcsclient.Query{After: uint32(min(max(from.After, 0), math.MaxUint32)), EndsAfter: from.EndsAfter}
	all := &reader{c: l.Connector, name: name, q: q}
	next := all.next
	if !from.Changed.IsZero() {
		since := from.Changed.Add(-clockDifference)
		revoked := &reader{c: l.Connector, name: name, q: q}
		all.q.ResolvedSince, revoked.q.RevokedSince = since, since
		defer revoked.close(ctx)
		next = merged(all, revoked)
	}
	defer all.close(ctx)
	var list []ca.Listed
	for {
		r, err := next(ctx)
		if r != nil {
			list = append(list, l.listed(r, templates))
		}
		if len(list) > 0 && (len(list) == portion || r == nil) {
			if err := each(list); err != nil {
				return err
			}
			list = nil
		}
		if err != nil || r == nil {
			return err
		}
	}
}

// merged gives the records of two readers in order, each once.
func merged(a, b *reader) func(context.Context) (*adcsclient.Record, error) {
	return func(ctx context.Context) (*adcsclient.Record, error) {
		first, err := a.peek(ctx)
		if err != nil {
			return nil, err
		}
		second, err := b.peek(ctx)
		switch {
		case err != nil:
			return nil, err
		case second == nil || first != nil && first.RequestID < second.RequestID:
			return a.next(ctx)
		case first != nil && first.RequestID == second.RequestID:
			if _, err := a.next(ctx); err != nil {
				return nil, err
			}
		}
		return b.next(ctx)
	}
}

// templates gives the names of templates by their OIDs, of those that the CA issues
// now. A CA that has no list of them has none.
func (l *Lister) templates(ctx context.Context) (map[string]string, error) {
	names := map[string]string{}
	err := l.with(ctx, true, func(ctx context.Context, client *adcsclient.Client) error {
		list, err := client.Templates(ctx)
		for _, t := range list {
			names[t.OID] = t.Name
		}
		return err
	})
	if ra.KindOf(err) == ra.RefusedByCA {
		err = nil
	}
	return names, err
}

// listed makes a record ready to be given.
func (l *Lister) listed(r *adcsclient.Record, templates map[string]string) ca.Listed {
	out := ca.Listed{Number: int64(r.RequestID), DER: r.Certificate, State: ra.Valid, Requester: r.Requester,
		ByUs: sameAccount(l.settings.User, l.settings.Realm, r.Caller), Template: template(r, templates), Request: request(r)}
	if r.Disposition == adcsclient.RowRevoked {
		out.State, out.RevokedAt, out.Reason = ra.Revoked, r.RevokedAt, ra.RevocationReason(r.Reason)
		if out.Reason == ra.CertificateHold {
			out.State = ra.OnHold
		}
	}
	return out
}

// template gives the name of a record's template. The database has the OID of all
// but the oldest; one that the CA does not issue any more is named by the request
// itself, or else by its OID.
func template(r *adcsclient.Record, names map[string]string) string {
	if r.Template == "" || !isOID(r.Template) {
		return r.Template
	}
	if name, ok := names[r.Template]; ok {
		return name
	}
	if name, ok := r.Attributes.Get("CertificateTemplate"); ok && name != "" && !isOID(name) {
		return name // the CA has refused what does not agree with the template
	}
	return r.Template
}

func isOID(text string) bool {
	return strings.Contains(text, ".") && strings.Trim(text, "0123456789.") == ""
}

// request gives the request of this house that a record's attribute names. Whoever
// may ask the CA can send such an attribute.
func request(r *adcsclient.Record) ra.RequestID {
	id, _ := r.Attributes.Get(attributeRequest)
	if rest, ok := strings.CutPrefix(id, ra.RequestPrefix+"_"); ok && len(rest) > 0 && len(rest) <= 64 && strings.Trim(rest, "0123456789abcdefghijklmnopqrstuvwxyz_") == "" {
		return ra.RequestID(id)
	}
	return ""
}

// sameAccount reports whether the database means our account by a caller, which it
// writes as DOMAIN\account. Ours is that, or account@REALM, whose first label is
// taken for the domain's short name; where it is another, the account is to be
// entered with it.
func sameAccount(user, realm, caller string) bool {
	domain, name := account(user)
	if domain == "" {
		domain = realm
	}
	callerDomain, callerName := account(caller)
	if callerName == "" || !strings.EqualFold(name, callerName) {
		return false
	}
	short := func(s string) string {
		first, _, _ := strings.Cut(s, ".")
		return first
	}
	return domain == "" || callerDomain == "" || strings.EqualFold(domain, callerDomain) ||
		strings.Contains(domain, ".") != strings.Contains(callerDomain, ".") && strings.EqualFold(short(domain), short(callerDomain))
}

// account takes a name of an account apart.
func account(text string) (domain, name string) {
	if domain, name, ok := strings.Cut(text, `\`); ok {
		return domain, name
	}
	name, domain, _ = strings.Cut(text, "@")
	return domain, name
}

// Issuers gives every certificate that the CA has had, the present one first: CAs
// are renewed, with the same key or with a new one.
func (l *Lister) Issuers(ctx context.Context) (list []*x509.Certificate, err error) {
	err = l.with(ctx, true, func(ctx context.Context, client *adcsclient.Client) error {
		list, err = client.SigningCertificates(ctx)
		return err
	})
	if err == nil {
		err = l.checkCA(list[0])
	}
	if err != nil {
		return nil, err
	}
	return list, nil
}
