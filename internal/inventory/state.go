package inventory

import (
	"context"

	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// UnenrolDevice takes a device out of service: it can ask for nothing more,
// and OnUnenrol sees to what it holds. A device that is unenrolled already
// stays as it is.
func (s *Service) UnenrolDevice(ctx context.Context, actor ra.Actor, id ra.DeviceID) (*ra.Device, error) {
	return s.move(ctx, actor, id, ra.DeviceUnenrolled, audit.DeviceUnenrolled, "unenrolled", s.OnUnenrol)
}

// EnrolDevice puts a device in service again: one that was unenrolled or
// blocked.
func (s *Service) EnrolDevice(ctx context.Context, actor ra.Actor, id ra.DeviceID) (*ra.Device, error) {
	return s.move(ctx, actor, id, ra.DeviceEnrolled, audit.DeviceEnrolled, "enrolled", nil)
}

// BlockDevice stops a device from asking for anything and leaves it what it
// holds.
func (s *Service) BlockDevice(ctx context.Context, actor ra.Actor, id ra.DeviceID) (*ra.Device, error) {
	return s.move(ctx, actor, id, ra.DeviceBlocked, audit.DeviceBlocked, "blocked", nil)
}

func (s *Service) move(ctx context.Context, actor ra.Actor, id ra.DeviceID, to ra.DeviceState, code, word string,
	hook func(*store.Tx, ra.Actor, *ra.Device) error) (*ra.Device, error) {
	return write(ctx, s.DB, func(tx *store.Tx) (*ra.Device, error) {
		d, err := editableDevice(tx, actor, id)
		if err != nil || d.State == to {
			return d, err
		}
		if hook != nil {
			if err := hook(tx, actor, d); err != nil {
				return nil, err
			}
		}
		from := d.State
		d.State = to
		if err := tx.UpdateDevice(d); err != nil {
			return nil, err
		}
		return d, audit.Record(tx, audit.Entry{Code: code, Actor: actor, Group: d.GroupID, Object: string(d.ID), Related: string(d.UserID),
			Message: "Device " + d.Name + " " + word + ".", Details: map[string]any{"changes": []audit.Change{{Field: "state", Before: from, After: to}}}})
	})
}
