package app

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"chancery/internal/doubles/ndes"
	"chancery/internal/ra"
)

// enrols has a device fetch its parameters and enrol, on any goroutine.
func (v *traveller) enrols(ctx context.Context, n int) (err error) {
	if v.given, err = v.office.PassParameters(ctx, v.pass.ID); err != nil {
		return fmt.Errorf("parameters: %w", err)
	}
	c, err := v.simple(n)
	if err != nil {
		return err
	}
	if err := c.look(ctx); err != nil {
		return fmt.Errorf("look: %w", err)
	}
	cert, err := c.send(ctx)
	if err == nil {
		err = cert.CheckSignatureFrom(v.issuer)
	}
	return err
}

// TestSCEPCrowd: two hundred devices want to enrol at a server that knows five
// challenges at once. All do; the server never has to say that its cache is
// full, and no challenge is wasted, although the connection is tested all the
// while.
func TestSCEPCrowd(t *testing.T) {
	const devices, workers = 200, 20
	double, settings := startNDES(t, ndes.Config{PasswordMax: 5})
	settings["cache_size"], settings["cache_reserve"] = 5, 0 // the last one, too
	crowd := startFront(t, nil).behind("NDES", "ndes", double.Issuer(), settings)
	waiting := make(chan *traveller, devices)
	for n := range devices {
		waiting <- crowd.announce(t, fmt.Sprintf("device-%03d", n), ra.PassProxy)
	}
	close(waiting)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	results := make(chan error)
	for n := range workers {
		go func() {
			for v := range waiting {
				if err := v.enrols(ctx, n); err != nil {
					results <- fmt.Errorf("%s: %w", v.device.Name, err)
				} else {
					results <- nil
				}
			}
		}()
	}
	for n := range devices {
		if n%40 == 0 {
			crowd.connects()
		}
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	subjects := map[string]bool{}
	for _, i := range double.Issued() {
		subjects[i.Subject] = true
	}
	if c := double.Counts(); len(double.Issued()) != devices || len(subjects) != devices || c != (ndes.Counts{Pages: devices, Minted: devices, Used: devices}) {
		t.Errorf("%d certificates for %d devices; the challenge page: %+v", len(double.Issued()), len(subjects), c)
	}
	r, err := crowd.admin().AuthorityChallenges(t.Context(), string(crowd.authority.ID))
	if err != nil || r.Capacity != 5 || r.Out != 0 || r.Waiting != 0 {
		t.Errorf("in the end: %+v, %v", r, err)
	}
}

// TestSCEPQueueIsLeft: who waits for the turn of a device and goes away does not
// stand in the queue any longer.
func TestSCEPQueueIsLeft(t *testing.T) {
	double, settings := startNDES(t, ndes.Config{})
	queue := startFront(t, nil).behind("NDES", "ndes", double.Issuer(), settings)
	for n := range 4 { // all there are, but for the one left to others
		queue.visit(t, fmt.Sprintf("device-%d", n), ra.PassProxy)
	}
	v := queue.announce(t, "late", ra.PassProxy)
	until := func(waiting int) {
		t.Helper()
		for range 150 {
			r, err := queue.admin().AuthorityChallenges(t.Context(), string(queue.authority.ID))
			if err != nil {
				t.Fatal(err)
			}
			if r.Waiting == waiting {
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
		t.Fatalf("after a while there are not %d waiting", waiting)
	}
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := v.office.PassParameters(ctx, v.pass.ID)
		gone <- err
	}()
	until(1)
	leave()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller got %v", err)
	}
	until(0)
}
