package console

func (v *visit) renewAuthorityPage() error { return v.askRenewAuthority(nil) }

// askRenewAuthority is the step before an authority gets a new signing
// certificate. The page of what has expired leads here too.
func (v *visit) askRenewAuthority(wrong error) error {
	a, err := v.loadAuthority()
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Renew the signing certificate", About: a.Name,
		Effect: []string{"The authority gets a new signing certificate below its root, and issues with it from then on.",
			"Certificates issued before stay valid as long as the former signing certificate does. Their revocation lists are kept up.",
			"Whoever checks certificates against a stored copy of the signing certificate needs the new one: it is in the chain on the page of the authority."},
		Form: form{Cancel: "/authorities/" + string(a.ID), Danger: true}, CLI: []string{"chancery authority renew " + string(a.ID)}}, nil, nil, wrong)
}

func (v *visit) renewAuthority() error {
	a, err := v.loadAuthority()
	if err != nil {
		return err
	}
	if err := v.Authorities.Renew(v.ctx(), v.actor, a.ID); err != nil {
		return v.askRenewAuthority(err)
	}
	return v.done("/authorities/"+string(a.ID), "The signing certificate is renewed.")
}
