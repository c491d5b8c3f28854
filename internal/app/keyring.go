package app

import (
	"context"

	"chancery/internal/keyring"
	"chancery/internal/seal"
)

// joinKeyring brings the master key of this server up to date before anything
// is sealed or opened with it.
func (a *App) joinKeyring(ctx context.Context, box *seal.Box) error {
	a.Keyring = &keyring.Service{DB: a.DB, Box: box, Path: a.Config.MasterKey, Node: node(a.Config), Queue: a.queue, Now: a.Config.Now, Log: a.Log, Step: a.Config.Step}
	a.Keyring.Handle()
	return a.Keyring.Catch(ctx)
}

// beginKeyring follows rotations of the master key until the function that it
// leaves behind is called.
func (a *App) beginKeyring(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Keyring.Run(ctx)
	}()
	a.endKeyring = func() {
		cancel()
		<-done
	}
}
