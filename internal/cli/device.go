package cli

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chancery/internal/api/client"
	"chancery/internal/api/resource"
)

func (p *Program) devices() *cobra.Command {
	var q resource.DeviceQuery
	filter := func(f *pflag.FlagSet) {
		f.StringVar(&q.Text, "text", "", "part of the name, serial number or platform ID")
		f.StringVar(&q.Group, "group", "", "this group and everything below it")
		f.StringVar(&q.Platform, "platform", "", "ios, ipados, macos, windows, android or linux")
		f.StringVar(&q.State, "state", "", "enrolled, unenrolled or blocked")
		f.StringVar(&q.User, "user", "", "whose devices")
	}
	resolve := func(s *session) (err error) {
		if q.Group, err = s.groupID(q.Group); err == nil {
			q.User, err = s.userID(q.User)
		}
		return err
	}
	list := p.list("List devices", "  chancery device list --group Acme --platform ios", filter, func(s *session, l *listing) error {
		if err := resolve(s); err != nil {
			return err
		}
		return show(s, l, func(page resource.PageQuery) (resource.Page[resource.Device], error) {
			q.PageQuery = page
			return s.c.Devices(s.ctx, q)
		}, []column[resource.Device]{{"NAME", func(d resource.Device) string { return d.Name }}, {"PLATFORM", func(d resource.Device) string { return d.Platform }},
			{"STATE", func(d resource.Device) string { return d.State }}, {"USER", func(d resource.Device) string { return s.label("user", d.UserID) }},
			{"GROUP", func(d resource.Device) string { return s.groupName(d.GroupID) }}, {"PLATFORM ID", func(d resource.Device) string { return d.PlatformID }},
			{"ID", func(d resource.Device) string { return d.ID }}},
			"There is no device. Add one with: chancery device create PLATFORM-ID --platform PLATFORM --group GROUP, or many with: chancery device import FILE")
	})
	display := p.verb("show DEVICE", "Show a device", "", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.deviceID(args[0])
		if err != nil {
			return err
		}
		d, err := s.c.Device(s.ctx, id)
		if err != nil {
			return err
		}
		return s.facts(d, fact{"name", d.Name}, fact{"id", d.ID}, fact{"state", d.State}, fact{"platform", d.Platform}, fact{"platform id", d.PlatformID},
			fact{"group", s.groupName(d.GroupID)}, fact{"user", s.label("user", d.UserID)}, fact{"serial number", d.SerialNumber}, fact{"model", d.Model},
			fact{"OS version", d.OSVersion}, fact{"ownership", d.Ownership}, fact{"attributes", pairs(d.Attributes)}, fact{"created", when(d.CreatedAt)}, fact{"changed", when(d.UpdatedAt)})
	})
	var fill, refill func(*session) (resource.DeviceInput, error)
	create := p.verb("create PLATFORM-ID", "Add a device", "  chancery device create 00008110-000A --platform ios --group Acme --user ada --name \"Ada's iPhone\"", cobra.ExactArgs(1),
		func(s *session, args []string) error {
			in, err := fill(s)
			if err != nil {
				return err
			}
			in.PlatformID = &args[0]
			d, err := s.c.CreateDevice(s.ctx, in)
			if err != nil {
				return err
			}
			return s.say(d, "Added device %s (%s).", d.Name, d.ID)
		})
	fill = deviceFlags(create)
	update := p.verb("update DEVICE", "Change a device", "", cobra.ExactArgs(1), func(s *session, args []string) error {
		in, err := refill(s)
		if err != nil {
			return err
		}
		id, err := s.deviceID(args[0])
		if err != nil {
			return err
		}
		d, err := s.c.UpdateDevice(s.ctx, id, in)
		if err != nil {
			return err
		}
		return s.say(d, "Changed device %s.", d.Name)
	})
	refill = deviceFlags(update)
	out := p.verb("export", "Write devices as CSV", "  chancery device export > devices.csv", cobra.NoArgs, func(s *session, _ []string) error {
		if err := resolve(s); err != nil {
			return err
		}
		return s.c.ExportDevices(s.ctx, q, s.Stdout)
	})
	filter(out.Flags())
	return noun("device", "Devices: what holds certificates", list, display, create, update,
		p.deviceState("enrol", "Put a device in service again", "", func(s *session, id string) (resource.Device, error) { return s.c.EnrolDevice(s.ctx, id) }),
		p.deviceState("unenrol", "Take a device out of service", "Unenrol device %q? Certificates whose template says so are revoked.",
			func(s *session, id string) (resource.Device, error) { return s.c.UnenrolDevice(s.ctx, id) }),
		p.deviceState("block", "Stop a device from asking for anything", "Block device %q?", func(s *session, id string) (resource.Device, error) { return s.c.BlockDevice(s.ctx, id) }),
		p.delete("delete DEVICE", "Delete a device without certificates in use", "device", (*session).deviceID, func(s *session, id string) error { return s.c.DeleteDevice(s.ctx, id) }),
		p.take("Take devices in from CSV", "  chancery device import devices.csv --group Acme --dry-run", (*client.Client).ImportDevices), out)
}

func (p *Program) deviceState(name, about, question string, act func(*session, string) (resource.Device, error)) *cobra.Command {
	return p.verb(name+" DEVICE", about, "", cobra.ExactArgs(1), func(s *session, args []string) error {
		id, err := s.deviceID(args[0])
		if err != nil {
			return err
		}
		if question != "" {
			if err := s.confirm(question, args[0]); err != nil {
				return err
			}
		}
		d, err := act(s, id)
		if err != nil {
			return err
		}
		return s.say(d, "Device %s is %s.", d.Name, d.State)
	})
}

func deviceFlags(c *cobra.Command) func(*session) (resource.DeviceInput, error) {
	var group, user, platform, name, serial, model, osVersion, ownership string
	var attributes map[string]string
	f := c.Flags()
	f.StringVar(&group, "group", "", "organization group")
	f.StringVar(&user, "user", "", "whose device it is; empty: nobody's")
	f.StringVar(&platform, "platform", "", "ios, ipados, macos, windows, android or linux")
	f.StringVar(&name, "name", "", "what people call it")
	f.StringVar(&serial, "serial-number", "", "serial number")
	f.StringVar(&model, "model", "", "model")
	f.StringVar(&osVersion, "os-version", "", "version of the operating system")
	f.StringVar(&ownership, "ownership", "", "C corporate, E employee, S shared")
	f.StringToStringVar(&attributes, "attribute", nil, "KEY=VALUE, repeated; replaces all of them")
	return func(s *session) (in resource.DeviceInput, err error) {
		in = resource.DeviceInput{Platform: given(f, "platform", platform), Name: given(f, "name", name), SerialNumber: given(f, "serial-number", serial),
			Model: given(f, "model", model), OSVersion: given(f, "os-version", osVersion), Ownership: given(f, "ownership", ownership), Attributes: attributes}
		if in.GroupID, err = reference(f, "group", group, s.groupID); err != nil {
			return in, err
		}
		in.UserID, err = reference(f, "user", user, s.userID)
		return in, err
	}
}
