package pkixmsg

import (
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// What follows recognises structures by their shape and names their parts. An
// element that does not have the shape keeps its plain tag; nothing here refuses
// anything but too large an input.

// is reports whether the tags of the first children are these.
func (n *Node) is(tags ...cbasn1.Tag) bool {
	if len(n.Children) < len(tags) {
		return false
	}
	for i, tag := range tags {
		if n.Children[i].tag != tag {
			return false
		}
	}
	return true
}

func (n *Node) child(i int) *Node {
	if i < len(n.Children) {
		return n.Children[i]
	}
	return &Node{}
}

func contextTag(number uint8) cbasn1.Tag { return cbasn1.Tag(number).ContextSpecific() }

func constructedTag(number uint8) cbasn1.Tag { return contextTag(number).Constructed() }

func (n *Node) isTime() bool {
	return n.is(cbasn1.UTCTime) || n.is(cbasn1.GeneralizedTime)
}

// label names the parts of a whole certificate or request, of what either
// signs, of a public key, of a list of extensions or of a SubjectAltName.
func (p *treeParser) label(root *Node) error {
	if root.tag != cbasn1.SEQUENCE {
		return nil
	}
	if len(root.Children) == 3 && root.is(cbasn1.SEQUENCE, cbasn1.SEQUENCE, cbasn1.BIT_STRING) {
		root.Children[1].Label, root.Children[2].Label = "signatureAlgorithm", "signature"
		inner := root.Children[0]
		switch {
		case isRequestInfo(inner):
			root.Label = "CertificationRequest"
		case isTBSCertificate(inner):
			root.Label = "Certificate"
		}
		return p.labelBody(inner)
	}
	return p.labelBody(root)
}

func (p *treeParser) labelBody(n *Node) error {
	switch {
	case isRequestInfo(n):
		return p.labelRequestInfo(n)
	case isTBSCertificate(n):
		return p.labelTBSCertificate(n)
	case isSPKI(n):
		return p.labelSPKI(n)
	case isExtension(n.child(0)):
		return p.labelExtensions(n)
	case isGeneralName(n.child(0)):
		labelGeneralNames(n)
	}
	return nil
}

func isSPKI(n *Node) bool {
	return n.tag == cbasn1.SEQUENCE && len(n.Children) == 2 && n.is(cbasn1.SEQUENCE, cbasn1.BIT_STRING) &&
		n.Children[0].is(cbasn1.OBJECT_IDENTIFIER)
}

func isExtension(n *Node) bool {
	return n.tag == cbasn1.SEQUENCE && (len(n.Children) == 2 && n.is(cbasn1.OBJECT_IDENTIFIER, cbasn1.OCTET_STRING) ||
		len(n.Children) == 3 && n.is(cbasn1.OBJECT_IDENTIFIER, cbasn1.BOOLEAN, cbasn1.OCTET_STRING))
}

func isGeneralName(n *Node) bool { return generalNameLabels[n.tag] != "" }

func isRequestInfo(n *Node) bool {
	return n.tag == cbasn1.SEQUENCE && n.is(cbasn1.INTEGER, cbasn1.SEQUENCE, cbasn1.SEQUENCE) &&
		isSPKI(n.Children[2]) && (len(n.Children) == 3 || n.child(3).tag == tagExplicit0)
}

// isTBSCertificate knows versions 1 to 3 (RFC 5280 §4.1).
func isTBSCertificate(n *Node) bool {
	if n.tag != cbasn1.SEQUENCE {
		return false
	}
	i := tbsFields(n)
	return len(n.Children) >= i+6 && n.Children[i].tag == cbasn1.INTEGER &&
		n.Children[i+3].isTime() && isSPKI(n.Children[i+5])
}

// tbsFields gives the index of the serial number, behind an optional version.
func tbsFields(n *Node) int {
	if n.is(tagExplicit0) {
		return 1
	}
	return 0
}

func (p *treeParser) labelRequestInfo(n *Node) error {
	n.Label = "certificationRequestInfo"
	n.Children[0].Label, n.Children[1].Label = "version", "subject"
	if err := p.labelSPKI(n.Children[2]); err != nil {
		return err
	}
	attributes := n.child(3)
	attributes.Label = "attributes"
	for _, a := range attributes.Children {
		if !a.is(cbasn1.OBJECT_IDENTIFIER, cbasn1.SET) {
			continue
		}
		if oid := a.Children[0].OID; oid != OIDExtensionRequest && oid != OIDMicrosoftExtensionsAttr {
			continue
		}
		for _, list := range a.Children[1].Children {
			if err := p.labelExtensions(list); err != nil {
				return err
			}
		}
	}
	return nil
}

// hideSecrets takes the value out of everything that stands beside the identifier
// of a challenge password, wherever in the tree that is.
func hideSecrets(n *Node) {
	secret := n.child(0).OID == OIDChallengePassword
	for i, child := range n.Children {
		if secret && i > 0 {
			hide(child)
		} else {
			hideSecrets(child)
		}
	}
}

func hide(n *Node) {
	n.OID, n.Name, n.Value = "", "", ""
	if len(n.Children) == 0 {
		n.Value = "(hidden)"
	}
	for _, child := range n.Children {
		hide(child)
	}
}

func (p *treeParser) labelTBSCertificate(n *Node) error {
	n.Label = "tbsCertificate"
	first := tbsFields(n)
	if first == 1 {
		n.Children[0].Label = "version"
	}
	for i, label := range []string{"serialNumber", "signature", "issuer", "validity", "subject"} {
		n.Children[first+i].Label = label
	}
	validity := n.Children[first+3]
	validity.child(0).Label, validity.child(1).Label = "notBefore", "notAfter"
	if err := p.labelSPKI(n.Children[first+5]); err != nil {
		return err
	}
	for _, child := range n.Children[first+6:] {
		switch child.tag {
		case contextTag(1):
			child.Label = "issuerUniqueID"
		case contextTag(2):
			child.Label = "subjectUniqueID"
		case constructedTag(3):
			for _, list := range child.Children {
				if err := p.labelExtensions(list); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (p *treeParser) labelSPKI(n *Node) error {
	n.Label = "subjectPublicKeyInfo"
	n.Children[0].Label, n.Children[1].Label = "algorithm", "subjectPublicKey"
	if oid := n.Children[0].Children[0].OID; oid != oidRSA && oid != oidPSS {
		return nil
	}
	key := n.Children[1]
	if err := p.open(key, 1); err != nil {
		return err
	}
	if rsaKey := key.child(0); rsaKey.is(cbasn1.INTEGER, cbasn1.INTEGER) {
		rsaKey.Label = "RSAPublicKey"
		rsaKey.Children[0].Label, rsaKey.Children[1].Label = "modulus", "publicExponent"
	}
	return nil
}

func (p *treeParser) labelExtensions(list *Node) error {
	list.Label = "extensions"
	for _, e := range list.Children {
		if !isExtension(e) {
			continue
		}
		if len(e.Children) == 3 {
			e.Children[1].Label = "critical"
		}
		value := e.Children[len(e.Children)-1]
		value.Label = "extnValue"
		if err := p.open(value, 0); err != nil {
			return err
		}
		labelExtensionValue(e.Children[0].OID, value.child(0))
	}
	return nil
}

// labelExtensionValue names the parts of the extensions that use context tags.
func labelExtensionValue(oid string, n *Node) {
	switch oid {
	case OIDSubjectAltName, oidIssuerAlt, OIDSecurityIdentifier:
		labelGeneralNames(n)
	case OIDKeyUsage:
		if n.tag == cbasn1.BIT_STRING {
			n.describeKeyUsage()
		}
	case OIDBasicConstraints:
		labelByTag(n, map[cbasn1.Tag]string{cbasn1.BOOLEAN: "cA", cbasn1.INTEGER: "pathLenConstraint"})
	case oidAuthorityID:
		labelByTag(n, map[cbasn1.Tag]string{contextTag(0): "keyIdentifier",
			constructedTag(1): "authorityCertIssuer", contextTag(2): "authorityCertSerialNumber"})
		for _, child := range n.Children {
			labelGeneralNames(child)
		}
	case oidAuthInfo:
		for _, access := range n.Children {
			labelGeneralName(access.child(1))
		}
	case oidCRLPoints:
		labelCRLPoints(n)
	case oidNameLimits:
		labelByTag(n, map[cbasn1.Tag]string{constructedTag(0): "permittedSubtrees", constructedTag(1): "excludedSubtrees"})
		for _, subtrees := range n.Children {
			for _, subtree := range subtrees.Children {
				labelGeneralName(subtree.child(0))
			}
		}
	}
}

func labelByTag(n *Node, labels map[cbasn1.Tag]string) {
	for _, child := range n.Children {
		child.Label = labels[child.tag]
	}
}

func labelCRLPoints(n *Node) {
	for _, point := range n.Children {
		labelByTag(point, map[cbasn1.Tag]string{constructedTag(0): "distributionPoint",
			contextTag(1): "reasons", constructedTag(2): "cRLIssuer"})
		for _, field := range point.Children {
			switch field.tag {
			case constructedTag(0):
				labelByTag(field, map[cbasn1.Tag]string{constructedTag(0): "fullName", constructedTag(1): "nameRelativeToCRLIssuer"})
				for _, name := range field.Children {
					if name.tag == constructedTag(0) {
						labelGeneralNames(name)
					}
				}
			case constructedTag(2):
				labelGeneralNames(field)
			}
		}
	}
}

var generalNameLabels = map[cbasn1.Tag]string{
	tagOtherName: "otherName", tagRFC822Name: "rfc822Name", tagDNSName: "dNSName", constructedTag(3): "x400Address",
	tagDirectory: "directoryName", constructedTag(5): "ediPartyName", tagURI: "uniformResourceIdentifier",
	tagIPAddress: "iPAddress", tagRegisteredID: "registeredID",
}

func labelGeneralNames(n *Node) {
	for _, child := range n.Children {
		labelGeneralName(child)
	}
}

func labelGeneralName(n *Node) {
	n.Label = generalNameLabels[n.tag]
	switch n.tag {
	case tagRFC822Name, tagDNSName, tagURI:
		n.Value = quoteText(string(n.body))
	case tagIPAddress:
		n.describeAddress()
	case tagRegisteredID:
		n.Value = ""
		n.describeOID()
	case tagOtherName:
		if !n.is(cbasn1.OBJECT_IDENTIFIER, tagExplicit0) {
			return
		}
		n.Children[1].Label = "value"
		if octets := n.Children[1].child(0); n.Children[0].OID == oidNTDSObject && octets.tag == cbasn1.OCTET_STRING {
			octets.Value = quoteText(string(octets.body))
		} else if n.Children[0].OID == oidGUID && octets.tag == cbasn1.OCTET_STRING && len(octets.body) == 16 {
			octets.Value = formatGUID(octets.body)
		}
	}
}
