package api

import (
	"context"
	"io"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/inventory"
	"chancery/internal/ra"
	"chancery/internal/store"
)

func (s *Server) listDevices(ctx context.Context, actor ra.Actor, in *resource.DeviceQuery) (*body[resource.Page[resource.Device]], error) {
	list, next, err := s.Inventory.FindDevices(ctx, actor, deviceFilter(in))
	return listed(list, next, err, resource.OfDevice)
}

func (s *Server) createDevice(ctx context.Context, actor ra.Actor, in *body[resource.DeviceInput]) (*tagged[resource.Device], error) {
	d, err := s.Inventory.CreateDevice(ctx, actor, deviceInput(in.Body))
	return one(d, err, resource.OfDevice, deviceUpdated)
}

func (s *Server) showDevice(ctx context.Context, actor ra.Actor, in *ByID) (*tagged[resource.Device], error) {
	d, err := s.Inventory.Device(ctx, actor, ra.DeviceID(in.ID))
	return one(d, err, resource.OfDevice, deviceUpdated)
}

func (s *Server) updateDevice(ctx context.Context, actor ra.Actor, in *change[resource.DeviceInput]) (*tagged[resource.Device], error) {
	d, err := s.Inventory.Device(ctx, actor, ra.DeviceID(in.ID))
	if err == nil {
		err = ifMatch(in.IfMatch, d.UpdatedAt)
	}
	if err == nil {
		d, err = s.Inventory.UpdateDevice(ctx, actor, ra.DeviceID(in.ID), deviceInput(in.Body))
	}
	return one(d, err, resource.OfDevice, deviceUpdated)
}

func (s *Server) deleteDevice(ctx context.Context, actor ra.Actor, in *ByID) (*none, error) {
	return nil, s.Inventory.DeleteDevice(ctx, actor, ra.DeviceID(in.ID))
}

func (s *Server) unenrolDevice(ctx context.Context, actor ra.Actor, in *ByID) (*tagged[resource.Device], error) {
	d, err := s.Inventory.UnenrolDevice(ctx, actor, ra.DeviceID(in.ID))
	return one(d, err, resource.OfDevice, deviceUpdated)
}

func (s *Server) enrolDevice(ctx context.Context, actor ra.Actor, in *ByID) (*tagged[resource.Device], error) {
	d, err := s.Inventory.EnrolDevice(ctx, actor, ra.DeviceID(in.ID))
	return one(d, err, resource.OfDevice, deviceUpdated)
}

func (s *Server) blockDevice(ctx context.Context, actor ra.Actor, in *ByID) (*tagged[resource.Device], error) {
	d, err := s.Inventory.BlockDevice(ctx, actor, ra.DeviceID(in.ID))
	return one(d, err, resource.OfDevice, deviceUpdated)
}

func (s *Server) importDevices(ctx context.Context, actor ra.Actor, in *importInput) (*body[resource.ImportReport], error) {
	return taken(s.Inventory.ImportDevices(ctx, actor, in.reader(), in.options()))
}

func (s *Server) exportDevices(ctx context.Context, actor ra.Actor, in *resource.DeviceQuery) (*download, error) {
	first := deviceFilter(in)
	first.Limit = 1
	if _, _, err := s.Inventory.FindDevices(ctx, actor, first); err != nil {
		return nil, err
	}
	return s.csvFile("devices.csv", func(ctx context.Context, to io.Writer) error {
		return s.Inventory.ExportDevices(ctx, actor, deviceFilter(in), to)
	}), nil
}

func deviceFilter(in *resource.DeviceQuery) store.DeviceFilter {
	return store.DeviceFilter{Groups: groups(in.Group), Platform: ra.Platform(in.Platform), State: ra.DeviceState(in.State), User: ra.UserID(in.User),
		Text: in.Text, Page: pageOf(in.PageQuery)}
}

func deviceInput(in resource.DeviceInput) inventory.DeviceInput {
	return inventory.DeviceInput{GroupID: (*ra.GroupID)(in.GroupID), UserID: (*ra.UserID)(in.UserID), Platform: (*ra.Platform)(in.Platform), PlatformID: in.PlatformID,
		Name: in.Name, SerialNumber: in.SerialNumber, Model: in.Model, OSVersion: in.OSVersion, Ownership: in.Ownership, Attributes: in.Attributes}
}

func deviceUpdated(d *ra.Device) time.Time { return d.UpdatedAt }
