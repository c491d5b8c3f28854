package adcs

import "chancery/internal/doubles/dcerpc"

var uuid = dcerpc.MustUUID

// Interfaces and classes of DCOM and of the CA.
var (
	iidMapper       = uuid("e1af8308-5d1f-11c9-91a4-08002b14a0fa") // v3.0
	iidExporter     = uuid("99fcfec4-5260-101b-bbcb-00aa0021347a")
	iidActivator    = uuid("000001a0-0000-0000-c000-000000000046")
	iidRemUnknown   = uuid("00000131-0000-0000-c000-000000000046")
	iidRemUnknown2  = uuid("00000143-0000-0000-c000-000000000046")
	iidUnknown      = uuid("00000000-0000-0000-c000-000000000046")
	iidPropsIn      = uuid("000001a2-0000-0000-c000-000000000046")
	clsidPropsIn    = uuid("00000338-0000-0000-c000-000000000046")
	iidPropsOut     = uuid("000001a3-0000-0000-c000-000000000046")
	clsidPropsOut   = uuid("00000339-0000-0000-c000-000000000046")
	clsidInstance   = uuid("000001ab-0000-0000-c000-000000000046")
	clsidScmRequest = uuid("000001aa-0000-0000-c000-000000000046")
	clsidLocation   = uuid("000001a4-0000-0000-c000-000000000046")
	clsidScmReply   = uuid("000001b6-0000-0000-c000-000000000046")

	iidPassage      = uuid("91ae6020-9e3c-11cf-8d7c-00aa00c091be")
	clsidCertReq    = uuid("d99e6e74-fc88-11d0-b498-00a0c90312f3")
	iidCertRequest  = uuid("d99e6e70-fc88-11d0-b498-00a0c90312f3")
	iidCertRequest2 = uuid("5422fd3a-d4b8-4cef-a12e-e87d4ca22e90")
	clsidCertAdmin  = uuid("d99e6e73-fc88-11d0-b498-00a0c90312f3")
	iidCertAdmin    = uuid("d99e6e71-fc88-11d0-b498-00a0c90312f3")
	iidCertAdmin2   = uuid("7fe0d935-dda6-443f-85d0-1cfb58fe41dd")

	ndr20 = uuid("8a885d04-1ceb-11c9-9fe8-08002b104860")
)

// names are the interfaces of the CA's objects as Fault's NoInterface has them.
var names = map[dcerpc.UUID]string{iidCertRequest: "ICertRequestD", iidCertRequest2: "ICertRequestD2", iidCertAdmin: "ICertAdminD", iidCertAdmin2: "ICertAdminD2"}

// offers tells which interfaces the objects of a class have.
func offers(class, iid dcerpc.UUID) bool {
	switch class {
	case clsidCertReq:
		return iid == iidCertRequest || iid == iidCertRequest2 || iid == iidUnknown
	case clsidCertAdmin:
		return iid == iidCertAdmin || iid == iidCertAdmin2 || iid == iidUnknown
	}
	return false
}

// servers makes what listens at the two ports.
func (ca *CA) servers() (front, back *dcerpc.Server, err error) {
	logon := dcerpc.Logon{Domain: ca.cfg.Domain, DNSDomain: ca.cfg.DNSDomain, Computer: ca.cfg.Computer,
		Account: ca.logOn, Principal: ca.principal, Keytab: ca.cfg.Keytab,
		RequireMIC: ca.cfg.RequireMIC, RequireListMIC: ca.cfg.RequireListMIC, Now: ca.cfg.Now, Seen: ca.seen}
	server := func(interfaces ...dcerpc.Interface) *dcerpc.Server {
		return &dcerpc.Server{Interfaces: interfaces, Logon: logon, MaxFrag: ca.cfg.MaxFrag, NoHeaderSigning: ca.cfg.NoHeaderSigning}
	}
	mapper := dcerpc.Interface{ID: iidMapper, Version: 3, Serve: ca.serveMapper}
	if ca.cfg.MapperLogin {
		mapper.Level = dcerpc.LevelConnect
	}
	front = server(mapper, dcerpc.Interface{ID: iidActivator, Serve: ca.serveActivator})
	if !ca.cfg.NoServerAlive {
		front.Interfaces = append(front.Interfaces, dcerpc.Interface{ID: iidExporter, Serve: ca.serveExporter})
	}
	level := func(flag uint32) byte {
		if ca.cfg.InterfaceFlags&flag != 0 {
			return dcerpc.LevelPrivacy
		}
		return dcerpc.LevelConnect
	}
	request, admin := level(IfEncryptRequest), level(IfEncryptAdmin)
	object := func(iid dcerpc.UUID, level byte, table map[uint16]method) dcerpc.Interface {
		return dcerpc.Interface{ID: iid, Level: level, Serve: func(c *dcerpc.Call) dcerpc.Reply { return ca.serveObject(c, table) }}
	}
	back = server(
		dcerpc.Interface{ID: iidPassage, Level: request, Serve: ca.servePassage},
		object(iidCertRequest, request, requestMethods), object(iidCertRequest2, request, request2Methods),
		object(iidCertAdmin, admin, adminMethods), object(iidCertAdmin2, admin, admin2Methods),
		dcerpc.Interface{ID: iidRemUnknown, Level: dcerpc.LevelIntegrity, Serve: ca.serveRemUnknown},
		dcerpc.Interface{ID: iidRemUnknown2, Level: dcerpc.LevelIntegrity, Serve: ca.serveRemUnknown})
	return front, back, nil
}

// words makes a reply of nothing but numbers.
func words(w *dcerpc.Writer, numbers ...uint32) dcerpc.Reply {
	for _, n := range numbers {
		w.U32(n)
	}
	return dcerpc.Reply{Stub: w.Bytes()}
}
