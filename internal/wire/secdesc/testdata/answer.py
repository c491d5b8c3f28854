# Reads {"packed": [{hex, asks: [{sids, mask}]}], "sddl": [text]} and answers what
# Samba makes of it: the fields of every descriptor, and whether its own access
# check grants what is asked. Descriptors written in SDDL come back packed.
import json, sys
import samba.security
from samba import NTSTATUSError
from samba.dcerpc import security
from samba.ndr import ndr_pack, ndr_unpack

DOMAIN = security.dom_sid("S-1-5-21-3981832230-819177259-90020688")


def entry(ace):
    guids = {"object": "", "inherited": ""}
    if ace.type in (5, 6):
        if ace.object.flags & 1:
            guids["object"] = str(ace.object.type)
        if ace.object.flags & 2:
            guids["inherited"] = str(ace.object.inherited_type)
    return {"kind": ace.type, "flags": ace.flags, "mask": ace.access_mask & 0xFFFFFFFF, "sid": str(ace.trustee), **guids}


def fields(sd):
    return {
        "owner": str(sd.owner_sid) if sd.owner_sid else "",
        "group": str(sd.group_sid) if sd.group_sid else "",
        "open": sd.dacl is None,
        "entries": [entry(a) for a in sd.dacl.aces] if sd.dacl else [],
    }


def granted(sd, ask):
    token = security.token()
    token.sids = [security.dom_sid(s) for s in ask["sids"]]
    token.num_sids = len(ask["sids"])
    try:
        samba.security.access_check(sd, token, ask["mask"])
        return True
    except NTSTATUSError:
        return False


given = json.load(sys.stdin)
out = {"packed": [], "sddl": []}
for item in given["packed"]:
    sd = ndr_unpack(security.descriptor, bytes.fromhex(item["hex"]))
    out["packed"].append({**fields(sd), "granted": [granted(sd, a) for a in item["asks"]]})
for text in given["sddl"]:
    sd = security.descriptor.from_sddl(text, DOMAIN)
    out["sddl"].append({**fields(sd), "hex": ndr_pack(sd).hex()})
json.dump(out, sys.stdout)
