package chaos

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
)

// hereAsk is one ask for a certificate whose key is made by the server.
type hereAsk struct {
	key     string // idempotency key
	request string
	cert    string // row
	place   *place

	cancelled bool // while the authority thought about it
}

// mostHere is how many certificates an operator asks for; the server renews
// every one of them again and again.
const mostHere = 8

// operate asks for certificates whose keys are made here, and repeats each ask
// under the same idempotency key until it has an answer.
func (d *device) operate(ctx context.Context) {
	for n := 0; n < mostHere && d.w.parked.enter(); n++ {
		a := &hereAsk{key: fmt.Sprintf("%s-%d", d.id, n), place: d.at}
		d.askHere(ctx, a, d.dice.chance(50))
		d.w.parked.leave()
	}
}

func (d *device) askHere(ctx context.Context, a *hereAsk, wait bool) {
	in := resource.RequestInput{TemplateID: a.place.here, DeviceID: d.id, Wait: wait}
	cancelling := false
	done := d.until(ctx, func() error {
		if cancelling {
			return d.cancelHere(ctx, a)
		}
		r, err := d.api().CreateRequest(ctx, in, a.key)
		if err != nil {
			return err
		}
		if a.request != "" && a.request != r.ID {
			d.w.flaw("double", "idempotency key %s led to requests %s and %s", a.key, a.request, r.ID)
		}
		a.request = r.ID
		switch ra.RequestState(r.State) {
		case ra.Issued:
			a.cert = r.CertificateID
			return nil
		case ra.Failed, ra.DeniedState, ra.Cancelled:
			d.w.flaw("refused", "request %s ended as %s: %s", r.ID, r.State, r.Reason)
			return nil
		}
		if r.State == string(ra.PendingAtCA) && d.dice.chance(60) {
			cancelling = true // from now on: the key is free once it is cancelled
			d.w.giveUpOn(r.ID)
		}
		return errPending
	})
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	d.w.here = append(d.w.here, a)
	if done {
		d.w.report.made(a.cancelled)
	}
}

// cancelHere cancels what the authority still thinks about, unless it has
// answered meanwhile.
func (d *device) cancelHere(ctx context.Context, a *hereAsk) error {
	r, err := d.api().CancelRequest(ctx, a.request)
	if ra.KindOf(err) == ra.Conflict {
		r, err = d.api().Request(ctx, a.request)
	}
	if err != nil {
		return err
	}
	switch ra.RequestState(r.State) {
	case ra.Cancelled:
		a.cancelled = true
		return nil
	case ra.Issued:
		a.cert = r.CertificateID
		return nil
	}
	return errPending
}

// newcomer makes an authority with an endpoint of its own and asks it for its
// certificates: the server's own certificates are made on the way. What was
// made by an answer that got lost is found by its name.
func (d *device) newcomer(ctx context.Context, name string) {
	defer d.w.parked.leave()
	api, display := d.api, "Newcomer "+name
	var group, id string
	if !d.until(ctx, func() error {
		groups, err := api().Groups(ctx, resource.GroupQuery{})
		if err != nil {
			return err
		}
		group = groups.Items[0].ID
		all, err := api().Authorities(ctx, resource.AuthorityQuery{})
		if err != nil {
			return err
		}
		for _, a := range all.Items {
			if a.Name == display {
				id = a.ID
				return nil
			}
		}
		a, err := api().CreateAuthority(ctx, resource.AuthorityInput{Kind: p("embedded"), GroupID: &group, Name: &display})
		id = a.ID
		return err
	}) {
		return
	}
	var made *place
	for try := 0; made == nil; try++ {
		var err error
		if made, err = d.w.makePlace(ctx, api(), group, id, fmt.Sprintf("new-%s-%d", name, try)); err != nil && !d.wait(ctx) {
			return
		}
	}
	d.until(ctx, func() error {
		_, err := fetchQuery(ctx, d.web, publicURL+made.path+"?operation=GetCACert")
		return err
	})
}

func fetchQuery(ctx context.Context, web *http.Client, address string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	response, err := web.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return response.StatusCode, fmt.Errorf("%w: HTTP %d", errUnavailable, response.StatusCode)
	}
	return response.StatusCode, nil
}
