"""An independent client of the double, on impacket.

It reads one JSON object a line from standard input, does what it says, and
writes one JSON object a line: the result, or {"error": code} with the status of
a fault or the HRESULT of a call. Binary values are hexadecimal.
"""
import json
import sys
from struct import pack, unpack

from impacket import uuid
from impacket.dcerpc.v5 import epm, transport
from impacket.dcerpc.v5.dcomrt import (
    DCOMANSWER, DCOMCALL, DCOMConnection, IID_IRemUnknown, IObjectExporter, REMINTERFACEREF, RemRelease)
from impacket.dcerpc.v5.dtypes import DWORD, DWORD_ARRAY, LONG, LPWSTR, NULL, ULONG
from impacket.dcerpc.v5.ndr import NDRCALL, NDRSTRUCT, NDRUniConformantArray
from impacket.dcerpc.v5.rprn import PBYTE_ARRAY
from impacket.dcerpc.v5.rpcrt import (
    DCERPCException, RPC_C_AUTHN_GSS_NEGOTIATE, RPC_C_AUTHN_LEVEL_NONE, rpc_status_codes)
from impacket.hresult_errors import ERROR_MESSAGES
from impacket.uuid import string_to_bin, uuidtup_to_bin

PASSAGE = uuidtup_to_bin(("91ae6020-9e3c-11cf-8d7c-00aa00c091be", "0.0"))
CLSID = {"request": string_to_bin("d99e6e74-fc88-11d0-b498-00a0c90312f3"),
         "admin": string_to_bin("d99e6e73-fc88-11d0-b498-00a0c90312f3")}
IID = {"ICertRequestD": "d99e6e70-fc88-11d0-b498-00a0c90312f3",
       "ICertRequestD2": "5422fd3a-d4b8-4cef-a12e-e87d4ca22e90",
       "ICertAdminD": "d99e6e71-fc88-11d0-b498-00a0c90312f3",
       "ICertAdminD2": "7fe0d935-dda6-443f-85d0-1cfb58fe41dd"}

IID = {name: uuidtup_to_bin((text, "0.0")) for name, text in IID.items()}


class DCERPCSessionError(DCERPCException):
    """What impacket raises for a return value that is not zero."""

    def __init__(self, error_string=None, error_code=None, packet=None):
        DCERPCException.__init__(self, error_string, error_code, packet)


class BLOB(NDRSTRUCT):
    structure = (("cb", ULONG), ("pb", PBYTE_ARRAY))


class FILETIME(NDRSTRUCT):
    structure = (("low", DWORD), ("high", DWORD))


def blob(data):
    b = BLOB()
    b["cb"] = len(data)
    b["pb"] = data if data else NULL
    return b


def octets(b):
    return b"".join(b["pb"]).hex() if b["cb"] else ""


ENROL_OUT = (("id", DWORD), ("disposition", DWORD), ("chain", BLOB), ("cert", BLOB), ("message", BLOB))


class CertServerRequest(NDRCALL):
    opnum = 0
    structure = (("dwFlags", DWORD), ("authority", LPWSTR), ("id", DWORD), ("attribs", BLOB), ("request", BLOB))


class CertServerRequestResponse(NDRCALL):
    structure = ENROL_OUT + (("ErrorCode", ULONG),)


def method(name, number, args, out):
    """A method of an object, and its answer."""
    call = type(name, (DCOMCALL,), {"opnum": number, "structure": tuple(args)})
    reply = type(name + "Response", (DCOMANSWER,), {"structure": tuple(out) + (("ErrorCode", ULONG),)})
    globals()[name], globals()[name + "Response"] = call, reply
    return call


AUTHORITY = ("authority", LPWSTR)
METHODS = {
    "Request": method("Request", 3, (("dwFlags", DWORD), AUTHORITY, ("id", DWORD), ("attributes", LPWSTR), ("request", BLOB)), ENROL_OUT),
    "GetCACert": method("GetCACert", 4, (("what", DWORD), AUTHORITY), (("blob", BLOB),)),
    "Ping": method("Ping", 5, (AUTHORITY,), ()),
    "Request2": method("Request2", 6, (AUTHORITY, ("dwFlags", DWORD), ("serial", LPWSTR), ("id", DWORD), ("attributes", LPWSTR), ("request", BLOB)), ENROL_OUT),
    "GetCAProperty": method("GetCAProperty", 7, (AUTHORITY, ("property", LONG), ("index", LONG), ("type", LONG)), (("blob", BLOB),)),
    "Ping2": method("Ping2", 9, (AUTHORITY,), ()),
    "ResubmitRequest": method("ResubmitRequest", 5, (AUTHORITY, ("id", DWORD)), (("disposition", DWORD),)),
    "DenyRequest": method("DenyRequest", 6, (AUTHORITY, ("id", DWORD)), ()),
    "IsValidCertificate": method("IsValidCertificate", 7, (AUTHORITY, ("serial", LPWSTR)), (("reason", DWORD), ("disposition", DWORD))),
    "RevokeCertificate": method("RevokeCertificate", 10, (AUTHORITY, ("serial", LPWSTR), ("reason", DWORD), ("when", FILETIME)), ()),
    "EnumView": method("EnumView", 15, (AUTHORITY, ("first", DWORD), ("count", DWORD)), (("fetched", DWORD), ("blob", BLOB))),
    "CloseView": method("CloseView", 16, (AUTHORITY,), ()),
    "PublishCRLs": method("PublishCRLs", 31, (AUTHORITY, ("when", FILETIME), ("flags", DWORD)), ()),
    "EnumViewColumnTable": method("EnumViewColumnTable", 35, (AUTHORITY, ("table", DWORD), ("first", DWORD), ("count", DWORD)), (("count", DWORD), ("blob", BLOB))),
    "GetCASecurity": method("GetCASecurity", 36, (AUTHORITY,), (("blob", BLOB),)),
    "GetMyRoles": method("GetMyRoles", 47, (AUTHORITY,), (("roles", DWORD),)),
}


class RESTRICTION(NDRSTRUCT):
    structure = (("column", DWORD), ("seek", LONG), ("sort", LONG), ("value", PBYTE_ARRAY), ("size", DWORD))


class RESTRICTIONS(NDRUniConformantArray):
    item = RESTRICTION


METHODS["OpenView"] = method("OpenView", 14, (
    AUTHORITY, ("conditions", DWORD), ("restrictions", RESTRICTIONS), ("wanted", DWORD), ("columns", DWORD_ARRAY),
    ("first", DWORD), ("count", DWORD)), (("fetched", DWORD), ("blob", BLOB)))


class Connection(DCOMConnection):
    """DCOM over a mapper that is not at port 135."""

    def __init__(self, port, *args, **kwargs):
        self.port = port
        super().__init__(*args, **kwargs)

    def initConnection(self):
        t = transport.DCERPCTransportFactory("ncacn_ip_tcp:%s[%d]" % (self._DCOMConnection__target, self.port))
        t.set_credentials(self._DCOMConnection__userName, self._DCOMConnection__password, self._DCOMConnection__domain)
        t.set_kerberos(self._DCOMConnection__doKerberos, self._DCOMConnection__kdcHost)
        p = t.get_dce_rpc()
        p.set_auth_level(self._DCOMConnection__authLevel)
        if self._DCOMConnection__doKerberos:
            p.set_auth_type(RPC_C_AUTHN_GSS_NEGOTIATE)
        p.connect()
        self._DCOMConnection__portmap = p
        DCOMConnection.PORTMAPS[self._DCOMConnection__target] = p


def receive(self, forceRecv=0, count=0):
    """What impacket does, which waits for ever when the connection has ended."""
    s, b = self.get_socket(), b""
    while True:
        part = s.recv(count - len(b) if count else 8192)
        if not part:
            raise EOFError("the connection has ended")
        b += part
        if len(b) >= count:
            return b


transport.TCPTransport.recv = receive


class Client:
    def __init__(self):
        self.passage = None
        self.dcom = None
        self.objects = {}

    def rpc(self, a, port, interface):
        t = transport.DCERPCTransportFactory("ncacn_ip_tcp:%s[%d]" % (a["host"], port))
        level = a.get("level", 6)
        if level > 1:
            t.set_credentials(a.get("user", ""), a.get("password", ""), a.get("domain", "CORP"))
            t.set_kerberos(a.get("kerberos", False), a.get("kdc"))
        dce = t.get_dce_rpc()
        dce.set_auth_level(level if level > 1 else RPC_C_AUTHN_LEVEL_NONE)
        if a.get("kerberos"):
            dce.set_auth_type(RPC_C_AUTHN_GSS_NEGOTIATE)
        dce.connect()
        if a.get("fragment"):
            dce.set_max_fragment_size(a["fragment"])
        dce.bind(interface)
        return dce

    def do_map(self, a):
        t = transport.DCERPCTransportFactory("ncacn_ip_tcp:%s[%d]" % (a["host"], a["port"]))
        dce = t.get_dce_rpc()
        dce.connect()
        return {"binding": epm.hept_map(a["host"], string_to_bin(a["interface"]) + pack("<HH", 0, 0), protocol="ncacn_ip_tcp", dce=dce)}

    def do_alive(self, a):
        t = transport.DCERPCTransportFactory("ncacn_ip_tcp:%s[%d]" % (a["host"], a["port"]))
        dce = t.get_dce_rpc()
        dce.set_auth_level(RPC_C_AUTHN_LEVEL_NONE)
        dce.connect()
        return {"bindings": [b["aNetworkAddr"].rstrip("\x00") for b in IObjectExporter(dce).ServerAlive2()]}

    def do_passage(self, a):
        """Connects to ICertPassage."""
        self.passage = self.rpc(a, a["port"], PASSAGE)
        return {}

    def do_pipe(self, a):
        """Connects to ICertPassage at the pipe of an SMB server."""
        t = transport.DCERPCTransportFactory(r"ncacn_np:%s[\pipe\cert]" % a["host"])
        t.set_dport(a["port"])
        t.set_credentials(a["user"], a["password"], "CORP")
        self.passage = t.get_dce_rpc()
        self.passage.set_auth_level(a.get("level", 6))
        self.passage.connect()
        self.passage.bind(PASSAGE)
        return {}

    def do_enrol(self, a):
        r = CertServerRequest()
        r["dwFlags"], r["id"] = a.get("flags", 0), a.get("id", 0)
        r["authority"] = a["authority"] + "\x00"
        text = a.get("attributes")
        attribs = bytes.fromhex(a["attribs"]) if "attribs" in a else (text + "\x00").encode("utf-16le") if text is not None else b""
        r["attribs"], r["request"] = blob(attribs), blob(bytes.fromhex(a.get("request", "")))
        return self.enrolled(self.passage.request(r, checkError=False))

    def enrolled(self, o):
        if o["ErrorCode"]:
            return {"error": o["ErrorCode"]}
        text = bytes.fromhex(octets(o["message"])).decode("utf-16le").rstrip("\x00")
        return {"id": o["id"], "disposition": o["disposition"], "chain": octets(o["chain"]), "cert": octets(o["cert"]), "message": text}

    def do_raw(self, a):
        """Sends octets of any kind as the parameters of a call of ICertPassage."""
        self.passage.call(a["opnum"], bytes.fromhex(a["stub"]))
        return {"stub": self.passage.recv().hex()}

    def do_dcom(self, a):
        """Logs on for DCOM."""
        self.dcom = Connection(a["port"], a["host"], a.get("user", ""), a.get("password", ""), a.get("domain", "CORP"),
                               authLevel=a.get("level", 6), doKerberos=a.get("kerberos", False), kdcHost=a.get("kdc"))
        return {}

    def do_activate(self, a):
        """Makes an object and keeps its interface under the interface's name."""
        self.objects[a["iid"]] = self.dcom.CoCreateInstanceEx(CLSID[a["class"]], IID[a["iid"]])
        return {}

    def do_query(self, a):
        """Asks an object for another of its interfaces."""
        o = self.objects[a["from"]]
        self.objects[a["iid"]] = o.RemQueryInterface(1, (IID[a["iid"]],))
        return {}

    def do_release(self, a):
        o = self.objects[a["iid"]]
        r = RemRelease()
        r["ORPCthis"] = o.get_cinstance().get_ORPCthis()
        r["ORPCthis"]["flags"] = 0
        r["cInterfaceRefs"] = 1
        e = REMINTERFACEREF()
        e["ipid"], e["cPublicRefs"] = o.get_iPid(), a["count"]
        r["InterfaceRefs"].append(e)
        o.request(r, IID_IRemUnknown, o.get_ipidRemUnknown())
        return {}

    def do_call(self, a):
        """Calls a method of an interface by name."""
        o, m = self.objects[a["iid"]], METHODS[a["method"]]()
        for k, v in a["args"].items():
            if k in ("request",):
                v = blob(bytes.fromhex(v))
            elif k in ("authority", "attributes", "serial"):
                v = NULL if v is None else v + "\x00"
            elif k == "when":
                t = FILETIME()
                t["low"], t["high"] = v & 0xffffffff, v >> 32
                v = t
            elif k == "restrictions":
                list_ = []
                for c in v:
                    r = RESTRICTION()
                    r["column"], r["seek"], r["sort"] = c["column"], c["seek"], c["sort"]
                    value = bytes.fromhex(c["value"])
                    r["value"], r["size"] = value, len(value)
                    list_.append(r)
                v = list_
            m[k] = v
        out = o.request(m, IID[a["iid"]], uuid=o.get_iPid())
        if a["method"] in ("Request", "Request2"):
            return self.enrolled(out)
        if out["ErrorCode"]:
            return {"error": out["ErrorCode"]}
        result = {}
        for k in ("disposition", "reason", "roles", "fetched", "count"):
            try:
                result[k] = out[k]
            except Exception:
                pass
        try:
            result["blob"] = octets(out["blob"])
        except Exception:
            pass
        return result

    def do_config(self, a):
        """GetConfigEntry with octets put together by hand: its third string has no referent id."""
        def text(s):
            b = (s + "\x00").encode("utf-16le")
            n = len(s) + 1
            return pack("<LLL", n, 0, n) + b + b"\x00" * (-len(b) % 4)
        o = self.objects[a["iid"]]
        o.connect(IID[a["iid"]])
        dce = o.get_dce_rpc()
        stub = pack("<HHLL", 5, 7, 0, 0) + uuid.generate() + pack("<L", 0)
        stub += pack("<L", 0x20000) + text(a["authority"]) + pack("<L", 0x20004) + text(a["node"]) + text(a["entry"])
        dce.call(44, stub, o.get_iPid())
        return {"stub": dce.recv().hex()}


def code_of(e):
    """The number of an error, which impacket sometimes only has a text for."""
    code = getattr(e, "error_code", None)
    if code is None:
        for known, text in rpc_status_codes.items():
            if str(e) == text:
                return known
        for known, (name, _) in ERROR_MESSAGES.items():
            if str(e).startswith(name + " - "):
                return known
    return code


def main():
    client = Client()
    for line in sys.stdin:
        a = json.loads(line)
        try:
            result = getattr(client, "do_" + a["do"])(a)
        except DCERPCException as e:
            result = {"error": code_of(e) or -1, "text": str(e)}
        except Exception as e:
            result = {"error": -1, "text": "%s: %s" % (type(e).__name__, e)}
        print(json.dumps(result), flush=True)
    import os
    os._exit(0)  # the timer of DCOM's pings is still running


main()
